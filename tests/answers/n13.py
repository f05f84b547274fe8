"""Answers to the exercises of notebook 13: plausible wrong ones with the guarantee that they break, and right ones."""

import statistics

from labsched.lab.exercises.n13_world import Policy


def as_if_independent(waits):
    return statistics.fmean(waits), 1.96 * statistics.stdev(waits) / len(waits) ** 0.5


def independent_but_settled(waits):
    settled = waits[len(waits) // 10 :]
    return statistics.fmean(settled), 1.96 * statistics.stdev(settled) / len(settled) ** 0.5


def the_spread_itself(waits):
    settled = waits[len(waits) // 10 :]
    return statistics.fmean(settled), 1.96 * statistics.stdev(settled)


def batches_with_the_beginning(waits):
    size = len(waits) // 20
    means = [statistics.fmean(waits[n * size : (n + 1) * size]) for n in range(20)]
    return statistics.fmean(means), 2.09 * statistics.stdev(means) / 20**0.5


def tiny_batches(waits):
    settled = waits[len(waits) // 10 :]
    means = [statistics.fmean(settled[n : n + 2]) for n in range(0, len(settled) - 1, 2)]
    return statistics.fmean(means), 1.96 * statistics.stdev(means) / len(means) ** 0.5


def only_a_mean(waits):
    return statistics.fmean(waits)


def medians(waits):
    return statistics.median(waits), 0.0


def correlated(waits):
    """The variance of the mean from the autocovariances of blocks of 100, in a window of 20 of them."""
    settled = waits[5000:]
    blocks = [statistics.fmean(settled[n : n + 100]) for n in range(0, len(settled) - 99, 100)]
    count, middle = len(blocks), statistics.fmean(blocks)
    off = [block - middle for block in blocks]
    total = 0.0
    for lag in range(-20, 21):
        cov = sum(off[n] * off[n + abs(lag)] for n in range(count - abs(lag))) / count
        total += (1 - abs(lag) / 21) * cov
    return middle, 2.0 * (total / count) ** 0.5


WRONG = {
    "13-mean": [
        (as_if_independent, "honest-interval"),
        (independent_but_settled, "honest-interval"),
        (the_spread_itself, "narrow-enough"),
        (batches_with_the_beginning, "narrow-enough"),
        (tiny_batches, "honest-interval"),
        (only_a_mean, ""),
        (medians, "honest-interval"),
    ],
    "13-policy": [
        (Policy(), "queue-bounded"),
        (Policy(max_backlog=8), "recovers"),
        (Policy(cancel=True), "queue-bounded"),
        (Policy(pause=1.0, factor=2.0, retries=5), "queue-bounded"),
        (Policy(retries=0), "queue-bounded"),
        (Policy(max_backlog=8, patience=0.5, retries=4, pause=1.0, cancel=True), "served"),
        (Policy(max_backlog=0), ""),
        ({"max_backlog": 8}, ""),
    ],
}
RIGHT = {
    "13-mean": [correlated],
    "13-policy": [Policy(max_backlog=6, patience=3.0, retries=3, pause=1.0, factor=2.0, cancel=True)],
}
