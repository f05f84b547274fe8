"""Answers to the exercises of notebook 16: plausible wrong ones with the guarantee that they break, and right ones."""

import itertools
import math


def three_over_share(share, sure):
    return math.ceil(3 / share)


def one_over_share(share, sure):
    return math.ceil(1 / share)


def rounded_down(share, sure):
    return int(math.log(1 - sure) / math.log(1 - share))


def expected_share(share, sure):
    return math.ceil(sure / share)


def a_fraction(share, sure):
    return math.log(1 - sure) / math.log(1 - share)


def counts_for_ever(share, sure):
    n, missed = 0, 1.0
    while missed > 1 - sure:
        n += 1
    return n


def counted(share, sure):
    n, missed = 0, 1.0
    while missed > 1 - sure:
        n, missed = n + 1, missed * (1 - share)
    return n


def all_of_them(faults, fails):
    return list(faults)


def one_alone(faults, fails):
    return next(([fault] for fault in faults if fails([fault])), list(faults[:1]))


def one_pass(faults, fails):
    kept = list(faults)
    for fault in faults:
        fewer = [one for one in kept if one != fault]
        if fails(fewer):
            kept = fewer
    return kept


def one_pass_from_the_end(faults, fails):
    kept = list(faults)
    for fault in reversed(faults):
        fewer = [one for one in kept if one != fault]
        if fails(fewer):
            kept = fewer
    return kept


def halves(faults, fails):
    kept = list(faults)
    while len(kept) > 1:
        middle = len(kept) // 2
        if fails(kept[:middle]):
            kept = kept[:middle]
        elif fails(kept[middle:]):
            kept = kept[middle:]
        else:
            break
    return kept


def each_by_itself(faults, fails):
    return [fault for fault in faults if not fails([one for one in faults if one != fault])]


def every_subset(faults, fails):
    for size in range(len(faults) + 1):
        for some in itertools.combinations(faults, size):
            if fails(list(some)):
                return list(some)


def ddmin(faults, fails):
    kept, parts = list(faults), 2
    while kept:
        size = max(len(kept) // parts, 1)
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            if fails(rest):
                kept, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                return kept
            parts = min(2 * parts, len(kept))
    return kept


def content(lines):
    return None


def suspicious(lines):
    return lines[-1]


def taken_twice_without_release(lines):
    taken = False
    for line in lines:
        if line["kind"] == "acquired" and taken:
            return line
        taken = line["kind"] != "released"
    return None


def believes_every_line(lines):
    until = 0
    for line in lines:
        if line["kind"] == "acquired" and line["at"] < until:
            return line
        until = line["until"]
    return None


def ignores_extensions(lines):
    until = 0
    for line in lines:
        if line["kind"] == "acquired" and line["at"] < until:
            return line
        if line["kind"] != "extended":
            until = line["until"]
    return None


def tokens_grow(lines):
    last = 0
    for line in lines:
        if line["token"] < last:
            return line
        last = line["token"]
    return None


def compares_tokens_only(lines):
    token, until = 0, 0
    for line in lines:
        if line["kind"] == "acquired":
            if line["at"] < until:
                return line
            token = line["token"]
        elif line["token"] != token:
            return line
        until = line["until"]
    return None


def by_grants(lines):
    grants = {}
    for line in lines:
        if line["kind"] == "acquired":
            if any(line["at"] < until for until in grants.values()):
                return line
        elif grants.get(line["token"], 0) <= line["at"]:
            return line
        grants[line["token"]] = line["until"]
    return None


WRONG = {
    "16-seeds": [
        (three_over_share, "within-budget"),
        (one_over_share, "caught-that-surely"),
        (rounded_down, "caught-that-surely"),
        (expected_share, "caught-that-surely"),
        (a_fraction, ""),
        (counts_for_ever, ""),
        (95, ""),
    ],
    "16-shrink": [
        (all_of_them, "none-to-spare"),
        (one_alone, "still-fails"),
        (one_pass, "none-to-spare"),
        (one_pass_from_the_end, "none-to-spare"),
        (halves, "none-to-spare"),
        (each_by_itself, "none-to-spare"),
        (every_subset, "within-budget"),
    ],
    "16-invariant": [
        (content, "mutants-killed"),
        (suspicious, "no-false-alarm"),
        (taken_twice_without_release, "no-false-alarm"),
        (believes_every_line, "mutants-killed"),
        (ignores_extensions, "no-false-alarm"),
        (tokens_grow, "mutants-killed"),
        (compares_tokens_only, "mutants-killed"),
    ],
}
RIGHT = {"16-seeds": [counted], "16-shrink": [ddmin], "16-invariant": [by_grants]}
