"""What notebooks 03 to 07 stand on: a report that two write, a leadership that two want, a pause in every place."""

from __future__ import annotations

import pandas as pd
import pytest

from labsched.lab.exercises.elections import Candidates, Term, compared_dispatch, until_told
from labsched.lab.exercises.locking import BEFORE, CASES, Each, after, every_pause, taking
from labsched.lab.exercises.reports import Report, fenced_write, story
from labsched.lab.stored import n05


async def in_three(redis, name, owner, ms):
    await redis.get(name)
    await redis.get(name)
    return await redis.set(name, owner, nx=True, px=ms)


def told(report, **fault):
    return [line.split(" s  ", 1)[1] for line in story(report.run(**fault)).splitlines()]


def test_a_pause_is_tried_after_each_command_while_the_other_gets_as_far_as_each_of_its_own():
    explored = every_pause(Each(in_three, taking(CASES[0])), 1.0, lambda outcome: "")
    places = {
        (order.index("~"), len(order[order.index("~") + 1 :].partition("A")[0]))
        for order in explored.orders.order
    }
    assert {place for place, _ in places} == {1, 2, 3}
    assert {far for place, far in places if place == 1} == {0, 1, 2, 3}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_lease_is_closed_before_its_end(case):
    assert after(Each(in_three, taking(case)), case.ms / 1000 * BEFORE).results == {"A": True, "B": False}


def test_without_a_fault_one_report_is_written_and_the_lock_is_freed():
    assert told(Report()) == ["a takes the lock (#3)", "a writes the report (#3)", "a frees the lock (#3)"]


def test_who_slept_past_its_lock_writes_over_its_successor_unless_the_store_compares():
    pause = {"pause": 3.2, "length": 12.0}
    assert told(Report(), **pause)[-2:] == ["a wakes up", "a writes the report (#3)"]
    assert told(Report(write=fenced_write), **pause)[-1] == "a is refused by the store (#3)"
    assert not Report().run(**pause).check()["no-stale-write"].ok
    assert Report(write=fenced_write).run(**pause).check()["no-stale-write"].ok


def test_before_the_successors_first_write_only_a_raised_fence_refuses():
    pause = {"pause": 3.2, "length": 9.3}
    assert "a writes the report (#3)" in told(Report(write=fenced_write), **pause)
    assert "a is refused by the store (#3)" in told(Report(write=fenced_write, raises=True), **pause)


def test_the_stored_pauses_are_those_that_a_run_gives_and_stay_between_the_two_bounds():
    stored = pd.read_csv(n05.FILE)
    assert len(stored) == len(n05.RENEWALS) * len(n05.PAUSES) * n05.PHASES
    lasts = Report().lasts
    assert stored[stored.pause >= lasts].hurt.all()
    assert not stored[stored.pause <= lasts - stored.renew].hurt.any()
    for row in stored[stored.pause.isin([8.0, 9.5])].iloc[:: n05.PHASES - 1].itertuples():
        assert n05.one(row.renew, row.pause, row.phase) == row.hurt


def test_a_clash_is_when_two_believe_at_once():
    term = Term(None, "it", (("a", 0.0, 5.0), ("b", 4.0, 9.0), ("a", 9.0, 12.0)), 12.0)
    assert term.clashes == ((4.0, 5.0),) and repr(term) == "it: two believe for 1.0 s"


@pytest.mark.parametrize("at", [10.0, 10.4, 10.9])
def test_a_partition_gives_no_second_believer_and_a_pause_one_for_as_long_as_it_lasts(at):
    assert Candidates().run("kill", at).clashes == ()
    assert Candidates().run("partition", at, 15.0).clashes == ()
    assert Candidates(until=until_told).run("partition", at, 15.0).longest > 8
    short, long = (Candidates().run("pause", at, length).longest for length in (12.0, 20.0))
    assert long - short == pytest.approx(8.0, abs=0.01) and short > 5


def test_an_order_from_the_past_is_refused_where_the_epoch_is_compared():
    plain, compared = (
        Candidates(**how).run("pause", 10.4, 12.0) for how in ({}, {"dispatch": compared_dispatch})
    )
    assert not plain.rec.check()["one-execution-per-slot"].ok
    assert compared.rec.check()["one-execution-per-slot"].ok
    refused = compared.rec.events.query("kind == 'REFUSED'")
    assert refused.instance.tolist() == ["a"] and refused.epoch.tolist() == [1]
