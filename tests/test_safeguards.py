"""Checks that can fail: without one safeguard, a seed of the swarm shows the guarantee broken that rests on it.

The seeds are the first that do (`python tests/mutation_table.py`, docs/safeguards.md). A change of the swarm or of
ring 1 moves them: then that command says where they are now.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from mutation import Edit, broken, record, switched_off
from mutation_table import main as print_table
from safeguards import FIRST, PAIRS, SAFEGUARDS, UNSEEN

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


def test_every_safeguard_that_breaks_something_is_shown_or_known_to_be_missed():
    assert {s.name for s in KNOWN.values() if s.breaks} == FIRST.keys() | UNSEEN
    assert not FIRST.keys() & UNSEEN


def test_the_page_has_every_safeguard_and_the_same_first_seeds():
    page = (Path(__file__).parent.parent / "docs" / "safeguards.md").read_text()
    rows = re.findall(r"^\| (.+?) \| `([\w-]+)` \| (\d+) \|", page, re.MULTILINE)
    assert {name: (breaks, int(seed)) for name, breaks, seed in rows} == {
        name: (KNOWN[name].breaks, seed) for name, seed in FIRST.items()
    }
    assert not [name for name in SAFEGUARDS if name not in page]


def test_the_table_says_by_its_exit_code_whether_one_is_missed_that_was_seen(capsys):
    late, (unseen,) = max(FIRST, key=lambda name: FIRST[name]), UNSEEN
    assert print_table(["--seeds", "1", unseen, "lease loss: alarm"]) == 0
    assert print_table(["--seeds", "1", late]) == 1
    *_, missed, alarm, _, _, again = capsys.readouterr().out.splitlines()
    assert "| none in 1 |" in missed and "| 0 |" in alarm and "| none in 1 |" in again


def test_a_text_that_occurs_twice_or_not_at_all_is_no_switch():
    with pytest.raises(AssertionError, match="occurs 2 times"):
        Edit("finish", "a", "b").apply("finish", "a a")
    with pytest.raises(AssertionError, match="occurs 0 times"):
        Edit("finish", "a", "b").apply("finish", "c")
