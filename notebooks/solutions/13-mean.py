import statistics

BATCHES, STUDENT = 20, 2.09  # Student's t for 19 degrees of freedom at 95 %


def estimate(waits):
    settled = waits[len(waits) // 10 :]
    size = len(settled) // BATCHES
    means = [statistics.fmean(settled[n * size : (n + 1) * size]) for n in range(BATCHES)]
    return statistics.fmean(means), STUDENT * statistics.stdev(means) / BATCHES**0.5
