"""lease-loss-is-told: an instance that lost its lease hears of it in time, and its bodies stop."""

from __future__ import annotations

from histories import History, T, cluster

from labsched.worlds.checks import lease_loss_is_told

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


def blocked_until(end: float, *, loop_hears: float) -> History:
    h = journal(0, 1, 2).at(5.0)
    h.note("lease-lost", "i1", 1, deadline=5.0, running=["a"], by="alarm")
    h.at(end).note("stopped", "i1", 1, execution="a", token=9, how="ended")
    return h.at(loop_hears).note("lease-lost", "i1", 1, deadline=5.0, running=[], by="loop").at(20)


def test_a_body_that_blocked_the_loop_may_end_by_itself():
    assert lease_loss_is_told(blocked_until(9, loop_hears=9.001).rec()).ok


def test_a_body_that_went_on_beside_a_running_loop_was_not_stopped():
    (violation,) = lease_loss_is_told(blocked_until(9, loop_hears=12).rec()).violations
    assert "stopped a only 4.000 s after" in violation.sentence


def test_a_lease_that_was_over_when_its_grant_was_heard_is_told_then():
    # Seed 73 of the swarm: the loop was blocked while the join was on its way.
    def heard_at_6(at: float) -> History:
        h = cluster().at(6).note("joined", "i1", 1, lease=4.0, lease_margin=1.0, cancel_grace=0.5)
        return told(h.note("proved", "i1", 1, sent=1.0), at, 4.0)

    assert lease_loss_is_told(heard_at_6(6.0).rec()).ok
    assert not lease_loss_is_told(heard_at_6(6.6).rec()).ok
