"""Checks that can fail: without one safeguard, a seed of the swarm shows the guarantee broken that rests on it.

The seeds are the first that do (`python tests/mutation_table.py`, docs/safeguards.md). A change of the swarm or of
ring 1 moves them: then that command says where they are now.
"""

from __future__ import annotations

import functools

import pytest
from mutation import Edit, broken, record, switched_off
from safeguards import FIRST, PAIRS, SAFEGUARDS

KNOWN = SAFEGUARDS | PAIRS


@functools.cache
def healthy(seed: int) -> dict[str, str]:
    return broken(record(seed))


@pytest.mark.parametrize("name", FIRST)
def test_without_it_the_guarantee_falls_and_with_it_the_same_seed_is_fine(name):
    seed, expected = FIRST[name], KNOWN[name].breaks
    found = broken(record(seed, KNOWN[name]))
    assert expected in found, f"seed {seed} no longer shows it: python tests/mutation_table.py {name!r}"
    assert not healthy(seed)


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_each_can_still_be_switched_off(name):
    with switched_off(SAFEGUARDS[name]):
        pass


def test_every_guarantee_has_a_safeguard_without_which_it_falls():
    from labsched.worlds.checks import GUARANTEES

    assert {KNOWN[name].breaks for name in FIRST} == set(GUARANTEES)


def test_a_text_that_occurs_twice_or_not_at_all_is_no_switch():
    with pytest.raises(AssertionError, match="occurs 2 times"):
        Edit("finish", "a", "b").apply("finish", "a a")
    with pytest.raises(AssertionError, match="occurs 0 times"):
        Edit("finish", "a", "b").apply("finish", "c")
