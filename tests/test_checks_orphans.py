"""nothing-lost: no attempt is RUNNING at a live instance that knows nothing of it.

A granted claim, or the end of an attempt, has lease + 1 s + requests = 5.5 s to get through.
"""

from __future__ import annotations

import pytest
from histories import EMPTY, History, T

from labsched.worlds.checks import nothing_lost
from labsched.worlds.checks.orphans import orphans


def proving(h: History, times: list[float], knows: list[int] | None = None) -> History:
    """i1 hears at those times that its lease was renewed, and runs attempts with those tokens."""
    for t in times:
        h.at(t).note("proved", "i1", 1, sent=t, server=T(t), runs=knows or [])
    return h


def running(**journal: list[float]) -> History:
    """i1 has been given job!1 with token 9 at 10 s; heartbeats that do not know it, and ones that do."""
    h = History().join("i1", 1).elect("i1", 3).at(10).ready("job!1", source="trigger").run("job!1", 9, "i1")
    proving(h, journal.get("before", []))
    proving(h, journal.get("known", []), [9])
    return proving(h, journal.get("unknown", []))


def said(h: History, end: float = 30, **fields: object) -> list[str]:
    return [v.sentence for v in nothing_lost(h.rec(end=end, **fields)).violations]


EARLY, LATE = [11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 16.5], [11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 16.6]


def test_a_claim_that_was_granted_to_nobodys_knowledge_is_a_violation():
    assert said(running(unknown=EARLY)) == []
    assert said(running(unknown=LATE)) == [
        "job!1 was RUNNING at i1, which knew nothing of it from 11.000 s to 16.600 s"
    ]


def test_an_end_that_was_never_told_is_one_too():
    (sentence,) = said(running(known=[11.0, 12.0], unknown=[13.0, 18.0, 19.0]))
    assert sentence.endswith("from 13.000 s to 19.000 s")


def test_an_attempt_that_its_instance_runs_is_counted_and_fine():
    h = running(known=LATE)
    assert orphans(h.rec(end=30)) == (1, []) and said(h) == []
    assert orphans(running(known=EARLY[:4]).rec(end=30)) == (0, [])


def test_word_that_came_in_between_begins_the_time_anew():
    assert said(running(before=[11.0, 15.0], known=[16.0], unknown=[17.0, 22.0])) == []


@pytest.mark.parametrize("end", ["SUCCEEDED", "RETRYING", "CANCELLED"])
def test_what_the_server_no_longer_counts_as_running_nobody_has_to_know(end):
    h = running()
    h.at(16).done("job!1", 9, "i1", kind=end, retry_at=T(500))
    assert said(proving(h, LATE)) == []


def test_another_life_of_that_name_answers_for_its_own_attempts():
    h = running()
    h.at(11).gone("i1", 1, until=11).join("i1", 2).lose("job!1", 9, "i1").run("job!1", 12, "i1")
    assert said(proving(h, LATE)) == []


@pytest.mark.parametrize(
    ("kind", "target"), [("lossy", "i1"), ("partition", "i1"), ("pause", "server"), ("slow", "i1")]
)
def test_while_the_link_or_the_server_was_in_trouble_nothing_is_demanded(kind, target):
    def hurt(until: float) -> History:
        h = running(unknown=LATE)
        return h.at(10.5).fault(kind, target).at(until).fault("resume" if kind == "pause" else "heal", target)

    assert said(hurt(until=12.5)) == []
    assert len(said(proving(hurt(until=12.5), [18.0, 19.0]))) == 1, "it is well again, and has had its time"
    assert len(said(hurt(until=10.9))) == 1


def test_a_draining_instance_hands_back_what_it_holds_in_its_own_time():
    h = running()
    h.at(12).add("INSTANCE_DRAINING", instance="i1", token=1)
    assert orphans(proving(h, LATE).rec(end=30))[1] == []


def test_a_journal_that_does_not_say_what_runs_accuses_nobody():
    h = running()
    for t in LATE:
        h.at(t).note("proved", "i1", 1, sent=t)
    assert orphans(h.rec(end=30)) == (0, [])


def test_an_attempt_of_the_snapshot_is_judged_from_the_beginning_of_the_recording():
    x = {"state": "RUNNING", "task": "job", "token": 9, "attempt": 1, "instance": "i1"}
    snap = EMPTY | {"executions": {"job!1": x}, "instances": {"i1": {"incarnation": 1}}}
    assert len(orphans(proving(History(), LATE).rec(end=30, snapshot=snap))[1]) == 1
    assert orphans(proving(History(), LATE, [9]).rec(end=30, snapshot=snap)) == (1, [])


def test_lost_writes_of_the_server_are_no_fault_of_the_journal():
    report = running(unknown=LATE).at(9).fault("failover", "server", lost=3).rec(end=30).check()
    assert report["nothing-lost"].status == "history reset"
    assert report["lease-loss-is-told"].ok, "of a journal that began before the recording nothing is demanded"


def test_heartbeats_after_the_servers_clock_was_set_back_are_not_taken_for_earlier_ones():
    h = running(known=[11.0, 12.0, 18.0]).at(18.5).fault("skew", "server", offset=-8)
    # The clock shows 10.6 s; the event keeps the id that the stream has reached.
    h.at(18.6).done("job!1", 9, "i1")
    for t in (11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0):
        h.at(t).note("proved", "i1", 1, sent=t + 8, server=T(t), runs=[])
    assert said(h) == []
