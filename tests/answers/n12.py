"""Answers to the exercises of notebook 12: plausible wrong ones with the guarantee that they break, and right ones."""

import random
import zlib


def none_at_all(task, jitter):
    return 0.0


def drawn_anew(task, jitter):
    return random.uniform(0, jitter * 0.999)


def by_hash(task, jitter):
    return hash(task) % 1000 / 1000 * jitter


def by_length(task, jitter):
    return len(task) % 10 / 10 * jitter


def by_letters(task, jitter):
    return sum(task.encode()) % jitter


def too_far(task, jitter):
    return zlib.crc32(task.encode()) % (2 * jitter)


def by_checksum(task, jitter):
    return zlib.crc32(task.encode()) / 2**32 * jitter


def by_seeded_luck(task, jitter):
    return random.Random(task).random() * jitter


def at_the_end(left, luck):
    return left


def a_little_later(left, luck):
    return left + 0.5


def within_a_tenth(left, luck):
    return left + luck.uniform(0, 0.1)


def any_time_before(left, luck):
    return luck.uniform(0, left)


def ten_times_a_second(left, luck):
    return luck.uniform(0.05, 0.15)


def ten_seconds_later(left, luck):
    return left + luck.uniform(0, 10)


def a_fifth_longer(left, luck):
    return 1.2 * left


def never_again(left, luck):
    return 1e9


def at_once(left, luck):
    return 0


def nothing(left, luck):
    return None


def in_twenty_places(left, luck):
    return left + luck.choice(range(20)) * 0.06


def two_draws(left, luck):
    return left + 0.3 * luck.random() + 0.9 * luck.random()


WRONG = {
    "12-offset": [
        (none_at_all, "no-herd"),
        (drawn_anew, "stable-offset"),
        (by_hash, "stable-offset"),
        (by_length, "no-herd"),
        (by_letters, "no-herd"),
        (too_far, ""),
    ],
    "12-next-try": [
        (at_the_end, "no-herd"),
        (a_little_later, "no-herd"),
        (within_a_tenth, "no-herd"),
        (any_time_before, "no-herd"),
        (a_fifth_longer, "no-herd"),
        (ten_times_a_second, "within-budget"),
        (ten_seconds_later, "bounded-recovery"),
        (never_again, "bounded-recovery"),
        (at_once, "within-budget"),
        (nothing, ""),
    ],
}
RIGHT = {"12-offset": [by_checksum, by_seeded_luck], "12-next-try": [in_twenty_places, two_draws]}
