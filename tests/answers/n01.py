"""Answers to the exercises of notebook 01 that must be refused, and others that must pass."""

import heapq
import itertools
import random
import time as clock
import zlib


def run_a_heap_of_pairs(start, handle, until):
    pending, happened = list(start), []
    heapq.heapify(pending)
    while pending and pending[0][0] <= until:
        time, what = heapq.heappop(pending)
        happened.append((time, what))
        for entry in handle(time, what):
            heapq.heappush(pending, entry)
    return happened


def run_sorting_once(start, handle, until):
    pending, happened = sorted(start, key=lambda entry: entry[0]), []
    for time, what in pending:
        if time <= until:
            happened.append((time, what))
            pending.extend(handle(time, what))
    return happened


def run_stopping_short(start, handle, until):
    pending, happened = list(start), []
    while pending and min(entry[0] for entry in pending) < until:
        entry = min(pending, key=lambda entry: entry[0])
        pending.remove(entry)
        happened.append(entry)
        pending.extend(handle(*entry))
    return happened


def run_going_too_far(start, handle, until):
    pending, happened = list(start), []
    time = 0
    while pending and time < until:
        entry = min(pending, key=lambda entry: entry[0])
        pending.remove(entry)
        time = entry[0]
        happened.append(entry)
        pending.extend(handle(*entry))
    return happened


def run_last_come_first(start, handle, until):
    pending, happened = list(start), []
    while pending:
        entry = min(reversed(pending), key=lambda entry: entry[0])
        if entry[0] > until:
            break
        pending.remove(entry)
        happened.append(entry)
        pending.extend(handle(*entry))
    return happened


def run_forgetting_what_follows(start, handle, until):
    return sorted((entry for entry in start if entry[0] <= until), key=lambda entry: entry[0])


def run_on_real_time(start, handle, until):
    clock.sleep(0.001)
    return run_insertion(start, handle, until)


def run_without_end(start, handle, until):
    happened = []
    while start:
        happened = []
    return happened


def run_insertion(start, handle, until):
    """Right, and without a heap: the list is scanned for the first of the least time."""
    pending, happened = list(start), []
    while pending:
        soonest = min(range(len(pending)), key=lambda place: pending[place][0])
        if pending[soonest][0] > until:
            return happened
        time, what = pending.pop(soonest)
        happened.append((time, what))
        pending.extend(handle(time, what))
    return happened


class Ordered:
    """An entry that is compared by time and number."""

    numbers = itertools.count()

    def __init__(self, time, what):
        self.time, self.what, self.number = time, what, next(self.numbers)

    def __lt__(self, other):
        return (self.time, self.number) < (other.time, other.number)


def run_with_a_class(start, handle, until):
    pending = [Ordered(*entry) for entry in start]
    heapq.heapify(pending)
    happened = []
    while pending and pending[0].time <= until:
        entry = heapq.heappop(pending)
        happened.append((entry.time, entry.what))
        for more in handle(entry.time, entry.what):
            heapq.heappush(pending, Ordered(*more))
    return happened


async def luck_of_the_process(ctx):
    await ctx.work(random.uniform(0.5, 1.5))


async def luck_seeded_each_time(ctx):
    random.seed(1)
    await ctx.work(random.uniform(0.5, 1.5))


async def luck_by_hash(ctx):
    await ctx.work(0.5 + hash(ctx.execution) % 1000 / 1000)


async def luck_too_wide(ctx):
    await ctx.work(random.Random(ctx.execution).expovariate(1))


async def luck_of_the_clock(ctx):
    await ctx.work(random.Random(clock.time_ns()).uniform(0.5, 1.5))


async def luck_by_checksum(ctx):
    await ctx.work(0.5 + zlib.crc32(ctx.execution.encode()) % 1000 / 1000)


WRONG = {
    "01-run": [
        (run_a_heap_of_pairs, "first-come"),
        (run_sorting_once, "in-time-order"),
        (run_stopping_short, "nothing-lost"),
        (run_going_too_far, "ends-at-until"),
        (run_last_come_first, "first-come"),
        (run_forgetting_what_follows, "nothing-lost"),
        (run_on_real_time, ""),
        (run_without_end, ""),
    ],
    "01-order": [
        (["backup", "index", "report", "alert", "mail"], "priority-first"),
        (["backup", "report", "alert", "mail", "index"], "priority-first"),
        (["backup", "alert", "mail", "report", "index"], "oldest-first"),
        (["alert", "report", "mail", "backup", "index"], "nothing-early"),
        (["backup", "alert"], ""),
    ],
    "01-luck": [
        (luck_of_the_process, "same-seed-same-run"),
        (luck_seeded_each_time, "varies"),
        (luck_by_hash, "same-seed-same-run"),
        (luck_too_wide, "within-limits"),
        (luck_of_the_clock, "same-seed-same-run"),
    ],
}
RIGHT = {
    "01-run": [run_insertion, run_with_a_class],
    "01-order": ["backup, alert, report, mail, index"],
    "01-luck": [luck_by_checksum],
}
