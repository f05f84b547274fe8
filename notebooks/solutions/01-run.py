import heapq
import itertools


def run(start, handle, until):
    number = itertools.count()  # nothing else decides between events of one moment
    pending = [(time, next(number), what) for time, what in start]
    heapq.heapify(pending)
    happened = []
    while pending and pending[0][0] <= until:
        time, _, what = heapq.heappop(pending)
        happened.append((time, what))
        for later, following in handle(time, what):
            heapq.heappush(pending, (later, next(number), following))
    return happened
