"""The five recorded days of notebook 10: they load, keep what a cluster knows, and say nothing of what was done."""

from __future__ import annotations

import pytest

from labsched.lab.exercises.n10 import INCIDENTS, TRUE
from labsched.lab.exercises.n10_evidence import AGAINST
from labsched.worlds import load

DAYS = [pytest.param(day, id=day) for day in TRUE]


@pytest.mark.parametrize("day", DAYS)
def test_a_day_loads_and_holds_its_guarantees_without_its_faults(day):
    rec = load(INCIDENTS / f"{day}.json.gz")
    assert len(rec.history) > 1000 and rec.check().ok
    assert not (rec.fault_log or rec.plan or rec.message_log or rec.journals)


@pytest.mark.parametrize("day", DAYS)
def test_something_speaks_against_every_cause_but_the_true_one(day):
    rec = load(INCIDENTS / f"{day}.json.gz")
    for cause, against in AGAINST.items():
        if cause != TRUE[day]:
            assert against(rec), cause


def test_each_cause_is_used_once_at_most_and_no_day_is_missing():
    assert len(set(TRUE.values())) == len(TRUE) == len(list(INCIDENTS.glob("*.json.gz")))
