"""bounded-recovery and lease-loss-is-told: what happens when an instance falls silent."""

from __future__ import annotations

import pytest
from histories import History, T, X, cluster

from labsched.schedule import manual
from labsched.worlds.checks import bounded_recovery, lease_loss_is_told

# --- bounded-recovery: max(4 s lease, 5 s leader lease) + 1 s sweep + 0.5 s for requests = 6.5 s


def killed(
    lost_at: float | None, *, until: float = 13.8, fault: bool = True, rerun: float | None = 0.1
) -> History:
    """i2, a follower, is killed at 10 s while it runs the slot of 5 s; its lease ends at `until`."""
    h = cluster().at(5).ready(X(5), slot=5, epoch=3).run(X(5), 9, "i2")
    if fault:
        h.at(10).fault("kill", "i2")
    if lost_at is not None:
        h.at(lost_at).gone("i2", 2, until=until).lose(X(5), 9, "i2")
        if rerun is not None:
            h.at(lost_at + rerun).run(X(5), 10, "i1", attempt=2)
    return h


def test_recovery_in_time_is_counted():
    found = bounded_recovery(killed(14.5).rec(end=60))
    assert found.ok and found.tested == 1


def test_the_bound_counts_from_the_last_renewal():
    assert bounded_recovery(killed(16.3).rec(end=60)).ok
    (violation,) = bounded_recovery(killed(16.301).rec(end=60)).violations
    assert "i2 last renewed its lease at 9.800 s" in violation.sentence
    assert "had to be recovered by 16.300 s" in violation.sentence


def test_what_is_never_recovered_is_a_violation():
    (violation,) = bounded_recovery(killed(None).rec(end=60)).violations
    assert "i2 was hit by a kill at 10.000 s" in violation.sentence and "at the end" in violation.sentence


def test_an_unrecorded_death_is_judged_by_its_lost_lease():
    assert bounded_recovery(killed(14.5, fault=False).rec(end=60)).tested == 1
    assert not bounded_recovery(killed(17, fault=False).rec(end=60)).ok


def test_a_lease_that_somebody_prolonged_after_the_kill_is_no_excuse():
    assert not bounded_recovery(killed(21, until=20).rec(end=60)).ok


def test_before_the_bound_nothing_is_demanded():
    found = bounded_recovery(killed(None).rec(end=16.4))
    assert found.ok and found.tested == 0 and "1 more not counted" in found.note


@pytest.mark.parametrize("end", ["SUCCEEDED", "CANCELLED", "DEAD"])
def test_an_attempt_that_ended_otherwise_needs_no_recovery(end):
    h = killed(None).at(11).done(X(5), 9, "i2", kind=end)
    assert bounded_recovery(h.rec(end=60)).ok


def test_without_another_healthy_instance_nothing_is_demanded():
    h = killed(None).at(9).fault("kill", "i1")
    found = bounded_recovery(h.rec(end=60))
    assert found.ok and found.tested == 0


def test_an_instance_that_left_meanwhile_is_none_that_recovers():
    h = killed(None).at(12).add("INSTANCE_LEFT", instance="i1", token=1)
    assert bounded_recovery(h.rec(end=60)).tested == 0


def test_trouble_with_the_server_suspends_the_promise():
    found = bounded_recovery(killed(None).at(12).fault("restart_server", "server").rec(end=60))
    assert found.ok and found.tested == 0
    assert not bounded_recovery(killed(None).at(2).fault("restart_server", "server").rec(end=60)).ok


def test_a_leader_that_is_hit_meanwhile_begins_a_takeover():
    def both(lost_at: float) -> History:
        h = killed(lost_at, rerun=None).join("i3", 20)
        h.events.insert(0, h.events.pop())
        h.events[0] = History().join("i3", 4).events[0]
        return h.at(15).fault("kill", "i1").at(lost_at + 0.2).run(X(5), 21, "i3", attempt=2)

    assert bounded_recovery(both(21.5).rec(end=60)).ok  # 15 + 5 + 1 + 0.5
    assert not bounded_recovery(both(21.6).rec(end=60)).ok
    assert not bounded_recovery(killed(21.5).rec(end=60)).ok


def test_without_election_no_takeover_is_waited_for():
    def both(election: bool) -> History:
        h = killed(21.5, rerun=None).at(21.6).run(X(5), 21, "i3", attempt=2)
        h.events[0:0] = History().join("i3", 4).events
        for e in h.events:
            if e.kind == "INSTANCE_JOINED":
                e.data["election"] = election
        return h.at(15).fault("kill", "i1")

    assert bounded_recovery(both(True).rec(end=60)).ok
    assert not bounded_recovery(both(False).rec(end=60)).ok


@pytest.mark.parametrize(("seconds", "tested"), [(3, 0), (4.4, 0), (20, 1)])
def test_only_a_pause_past_the_lease_demands_recovery(seconds, tested):
    h = cluster().at(5).ready(X(5), slot=5).run(X(5), 9, "i2").at(10).fault("pause", "i2")
    found = bounded_recovery(h.at(10 + seconds).fault("resume", "i2").rec(end=60))
    assert found.tested == tested and found.ok == (tested == 0)


@pytest.mark.parametrize(("direction", "tested"), [("both", 1), ("requests", 1), ("replies", 0)])
def test_a_cut_demands_recovery_when_renewals_cannot_arrive(direction, tested):
    h = (
        cluster()
        .at(5)
        .ready(X(5), slot=5)
        .run(X(5), 9, "i2")
        .at(10)
        .fault("partition", "i2", direction=direction)
    )
    assert bounded_recovery(h.rec(end=60)).tested == tested


def test_a_superseded_incarnation_holds_nothing_from_that_step_on():
    h = cluster().at(5).ready(X(5), slot=5).run(X(5), 9, "i2")
    h.at(10).gone("i2", 2, until=12, reason="superseded")
    good, bad = History(), History()
    good.events, bad.events = [*h.events], [*h.events]
    good.at(10).lose(X(5), 9, "i2").join("i2", 20).run(X(5), 21, "i1")
    found = bounded_recovery(good.rec(end=60))
    assert found.ok and found.tested == 1
    bad.at(10).join("i2", 20).at(10.001).lose(X(5), 9, "i2").run(X(5), 21, "i1")
    (violation,) = bounded_recovery(bad.rec(end=60)).violations
    assert "was superseded" in violation.sentence


def test_an_instance_that_held_nothing_exercises_nothing():
    assert bounded_recovery(cluster().at(14).gone("i2", 2, until=13).rec(end=60)).tested == 0


# READY again, but never started: 4 s lease + 1 s wake-up + 0.5 s for requests = 5.5 s


def test_lost_work_must_start_when_a_slot_is_free():
    assert bounded_recovery(killed(14.5, rerun=5.5).rec(end=60)).ok
    (violation,) = bounded_recovery(killed(14.5, rerun=5.6).rec(end=60)).violations
    assert "READY at 14.500 s, could start from 14.500 s on, but had not at 20.100 s" in violation.sentence
    assert not bounded_recovery(killed(14.5, rerun=None).rec(end=60)).ok


def test_other_work_that_waits_is_not_this_promise():
    h = cluster().at(12).ready("job!1", source="trigger")
    assert bounded_recovery(h.rec(end=60)).ok


def busy(h: History, first: float, last: float) -> History:
    """i1 runs two jobs in that time, which is all that it can."""
    more = History().at(first)
    for n in range(2):
        more.ready(f"job!{n}", source="trigger").run(f"job!{n}", 70 + n, "i1")
    more.at(last)
    for n in range(2):
        more.done(f"job!{n}", 70 + n, "i1")
    h.events = sorted([*h.events, *more.events], key=lambda e: e.at)
    return h


def test_lost_work_waits_for_a_slot():
    assert bounded_recovery(busy(killed(14.5, rerun=20), 12, 30).rec(end=60)).ok
    assert not bounded_recovery(busy(killed(14.5, rerun=30), 12, 30).rec(end=60)).ok


def test_lost_work_waits_while_the_only_other_instance_is_paused():
    h = killed(14.5, rerun=20).at(14.6).fault("pause", "i1").at(33).fault("resume", "i1")
    assert bounded_recovery(h.rec(end=60)).ok


def test_an_instance_may_be_busy_with_a_body_whose_attempt_was_lost():
    h = cluster(pool_size=1).at(5).ready(X(5), slot=5).run(X(5), 9, "i1", until=10)
    h.at(10.2).lose(X(5), 9, "i1", reason="hard-end")
    assert bounded_recovery(
        without_i2(h).note("stopped", "i1", 1, token=9, execution=X(5), how="ignored").rec(end=60)
    ).ok
    assert not bounded_recovery(without_i2(h, journal=False).rec(end=60)).ok


def without_i2(h: History, *, journal: bool = True) -> History:
    h.events = [e for e in h.events if e.instance != "i2"]
    if not journal:
        h.journals.clear()
    return h


def test_lost_work_waits_for_its_task_to_be_allowed():
    h = killed(14.5, rerun=None).define("job", manual())
    h.events[0].data["definition"]["max_concurrency"] = 1
    more = History().at(14.4).ready(X(10), slot=10).run(X(10), 60, "i1")
    h.events = sorted([*h.events, *more.events], key=lambda e: e.at)
    assert bounded_recovery(h.rec(end=60)).ok


# --- lease-loss-is-told: 4 s lease - 1 s margin; told at most 0.5 s late


def journal(*proofs: float) -> History:
    h = cluster().at(0).note("joined", "i1", 1, lease=4.0, lease_margin=1.0, cancel_grace=0.5)
    for sent in proofs:
        h.at(sent + 0.01).note("proved", "i1", 1, sent=sent)
    return h


def told(h: History, at: float, deadline: float, *running: str) -> History:
    return h.at(at).note("lease-lost", "i1", 1, deadline=deadline, running=list(running), by="loop")


def test_told_at_the_deadline_and_stopped_in_time():
    h = (
        told(journal(0, 1, 2), 5.0, 5.0, "a")
        .at(5.3)
        .note("stopped", "i1", 1, execution="a", token=9, how="cancelled")
    )
    found = lease_loss_is_told(h.at(9).note("proved", "i1", 0, sent=8.9).rec())
    assert found.ok and found.tested == 1


def test_told_late_is_a_violation():
    assert lease_loss_is_told(told(journal(0, 1, 2), 5.5, 5.0).rec()).ok
    (violation,) = lease_loss_is_told(told(journal(0, 1, 2), 5.51, 5.0).rec()).violations
    assert "0.510 s after the deadline 5.000" in violation.sentence


def test_the_deadline_counts_from_sending_not_from_the_reply():
    h = journal(0).at(2.9).note("proved", "i1", 1, sent=1.0)
    assert not lease_loss_is_told(told(h, 5.8, 5.8).rec()).ok


def test_a_deadline_later_than_proved_is_a_violation_even_when_told_in_time():
    (violation,) = lease_loss_is_told(told(journal(0, 1, 2), 5.1, 5.1).rec()).violations
    assert "for 0.100 s more" in violation.sentence


def test_told_before_the_deadline_is_fine():
    # The server refused a heartbeat.
    assert lease_loss_is_told(told(journal(0, 1, 2), 3.0, 5.0).rec()).ok


def test_renewals_in_time_exercise_nothing():
    assert lease_loss_is_told(journal(0, 1, 2, 3, 5.4).rec()).tested == 0


def test_a_gap_that_nobody_told_of_is_a_violation():
    found = lease_loss_is_told(journal(0, 1, 6).rec())
    assert found.tested == 1 and "never told" in found.violations[0].sentence


def test_a_paused_instance_is_told_when_it_wakes():
    h = told(journal(0, 1, 2).at(2.1).fault("pause", "i1").at(14).fault("resume", "i1"), 14.1, 5.0)
    found = lease_loss_is_told(h.rec())
    assert found.ok and found.tested == 1
    assert not lease_loss_is_told(told(journal(0, 1, 2).at(2.1).fault("pause", "i2"), 14.1, 5.0).rec()).ok
    h.faults[-1]["at"] = T(5) / 1000
    assert not lease_loss_is_told(h.rec()).ok


def test_a_journal_that_simply_ends_is_no_violation():
    assert lease_loss_is_told(journal(0, 1, 2).at(7).gone("i1", 1, until=6).rec(end=60)).tested == 0


def test_a_process_that_goes_on_without_having_been_told_is_a_violation():
    h = journal(0, 1, 2).at(7).gone("i1", 1, until=6).at(9).join("i1", 20)
    h.note("joined", "i1", 20, lease=4.0, lease_margin=1.0, cancel_grace=0.5)
    assert not lease_loss_is_told(h.rec()).ok
    assert lease_loss_is_told(h.at(3).fault("kill", "i1").at(9).rec()).ok
    h.faults.clear()
    h.events[-1].data["pid"] = 101  # another process took the name
    assert lease_loss_is_told(h.rec()).ok


def test_a_cut_off_instance_must_be_told_though_it_wrote_nothing_more():
    h = journal(0, 1, 2).at(2.2).fault("partition", "i1").at(7).gone("i1", 1, until=6)
    (violation,) = lease_loss_is_told(h.rec(end=60)).violations
    assert violation.at == T(7) / 1000
    assert lease_loss_is_told(h.at(3).fault("kill", "i1").rec(end=60)).ok
    h.faults.pop()
    assert lease_loss_is_told(told(h, 5.0, 5.0).rec(end=60)).ok


def test_a_body_that_was_told_and_never_stopped_is_a_violation():
    h = told(journal(0, 1, 2), 5.0, 5.0, "a")
    assert lease_loss_is_told(h.rec(end=60)).ok  # nothing shows that the process lived on
    h.at(9).note("drain", "i1", 0, stage="signal", took=0)
    (violation,) = lease_loss_is_told(h.rec(end=60)).violations
    assert "told a that its lease was lost and never stopped it" in violation.sentence
    assert lease_loss_is_told(h.at(5.1).done("a", 9, "i1").rec(end=60)).ok


def test_a_body_stopped_late_is_a_violation_and_one_that_ignores_it_is_noted():
    h = (
        told(journal(0, 1, 2), 5.0, 5.0, "a")
        .at(6.1)
        .note("stopped", "i1", 1, execution="a", token=9, how="cancelled")
    )
    assert "1.100 s after" in lease_loss_is_told(h.rec()).violations[0].sentence
    h.journals[-1]["how"] = "ignored"
    found = lease_loss_is_told(h.rec())
    assert found.ok and "1 bodies went on" in found.note


def test_a_second_stop_of_the_same_execution_in_a_later_life_is_not_the_first_one_late():
    h = told(journal(0, 1, 2), 5.0, 5.0, "a").at(5.1)
    h.note("stopped", "i1", 1, execution="a", token=9, how="killed")
    h.at(6).note("joined", "i1", 2, lease=4.0, lease_margin=1.0, cancel_grace=0.5)
    h.at(9.0).note("lease-lost", "i1", 2, deadline=9.0, running=["a"], by="loop")
    h.at(9.1).note("stopped", "i1", 0, execution="a", token=12, how="killed")
    assert lease_loss_is_told(h.rec(end=60)).ok


def test_what_is_written_between_two_lives_belongs_to_the_last_one():
    h = (
        told(journal(0, 1, 2), 5.0, 5.0, "a")
        .at(5.2)
        .note("stopped", "i1", 0, execution="a", token=9, how="flagged")
    )
    h.at(9).note("joined", "i1", 20, lease=4.0, lease_margin=1.0, cancel_grace=0.5)
    assert lease_loss_is_told(h.rec()).ok


def test_without_journals_nothing_is_claimed():
    assert lease_loss_is_told(cluster().rec()).status == "not exercised"
