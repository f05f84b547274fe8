"""ddmin: what stays fails, and would not without any one of it."""

from __future__ import annotations

import random

import pytest

from labsched.worlds.shrinker_ddmin import ddmin


def asked(needed, items, least=0):
    """What ddmin keeps when all of `needed` must be there, and how often it asked."""
    calls = []

    def fails(some):
        calls.append(list(some))
        return set(needed) <= set(some)

    return ddmin(items, fails, least=least), calls


@pytest.mark.parametrize("seed", range(30))
def test_exactly_what_is_needed_stays_in_its_order(seed):
    rng = random.Random(seed)
    items = list(range(rng.randint(1, 40)))
    needed = sorted(rng.sample(items, rng.randint(0, min(5, len(items)))))
    assert asked(needed, items)[0] == needed


def test_when_nothing_is_needed_one_question_is_enough():
    kept, calls = asked([], list(range(100)))
    assert kept == [] and calls == [[]]


def test_one_of_many_is_found_with_few_questions():
    kept, calls = asked([37], list(range(64)))
    assert kept == [37] and len(calls) < 25


def test_a_least_number_of_items_stays_and_fewer_are_never_tried():
    kept, calls = asked([], list(range(9)), least=1)
    assert len(kept) == 1 and all(calls)


def test_without_any_one_item_of_the_result_it_would_not_fail():
    def fails(some):  # not monotone: the two ends, or three of the middle
        return {0, 19} <= set(some) or len(set(some) & set(range(5, 15))) == 3

    kept = ddmin(list(range(20)), fails)
    assert fails(kept) and not any(fails([x for x in kept if x != gone]) for gone in kept)
