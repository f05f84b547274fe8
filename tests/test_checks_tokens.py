"""one-holder, no-stale-write, one-leader-per-epoch: who may act."""

from __future__ import annotations

import msgspec
import pytest
from histories import EMPTY, History, T, X, cluster, quiet

from labsched.worlds.checks import no_stale_write, one_holder, one_leader_per_epoch

# --- one-holder


def test_a_lock_may_be_granted_again_once_it_ended_or_was_released():
    h = History().take("a", 1, "i1", until=10)
    h.at(4).release("a", 1, "i1").take("a", 2, "i2", until=8)
    h.at(8).take("a", 3, "i1", until=9).at(30).take("a", 4, "i2", until=40)
    found = one_holder(h.rec())
    assert found.ok and found.tested == 3


def test_two_grants_that_overlap_by_a_millisecond_are_a_violation():
    h = History().take("a", 1, "i1", until=10).at(9.999).take("a", 2, "i2", until=20)
    (violation,) = one_holder(h.rec()).violations
    assert "i2 (#2)" in violation.sentence and "i1 (#1) held it until 10.000 s" in violation.sentence
    assert violation.events == (h.events[0].id, h.events[1].id)
    assert violation.at == T(9.999) / 1000


def test_a_handover_in_the_millisecond_of_the_end_is_fine():
    assert one_holder(History().take("a", 1, "i1", until=10).at(10).take("a", 2, "i2", until=20).rec()).ok


def test_an_extended_lock_lasts_until_its_new_end():
    h = History().take("a", 1, "i1", until=10).at(9).extend("a", 1, "i1", until=20)
    assert not one_holder(h.at(15).take("a", 2, "i2", until=20).rec()).ok


def test_a_lock_extended_to_an_earlier_end_is_free_earlier():
    h = History().take("a", 1, "i1", until=10).at(1).extend("a", 1, "i1", until=2)
    assert one_holder(h.at(3).take("a", 2, "i2", until=20).rec()).ok


def test_a_release_before_at_least_for_keeps_the_lock_taken():
    h = History().take("a", 1, "i1", until=10, least=5).at(1).release("a", 1, "i1", until=5)
    early, late = History(), History()
    early.events, late.events = [*h.events], [*h.events]
    assert not one_holder(early.at(4).take("a", 2, "i2", until=9).rec()).ok
    assert one_holder(late.at(5).take("a", 2, "i2", until=9).rec()).ok


def test_an_extension_does_not_cut_at_least_for():
    h = History().take("a", 1, "i1", until=10, least=5).at(1).extend("a", 1, "i1", until=2)
    assert not one_holder(h.at(4).take("a", 2, "i2", until=9).rec()).ok


def test_a_former_holder_cannot_prolong_the_hold_of_another():
    h = History().take("a", 5, "i1", until=10).at(1).extend("a", 4, "i2", until=30)
    assert one_holder(h.at(11).take("a", 6, "i2", until=20).rec()).ok


def test_a_lock_held_at_the_start_counts():
    snap = EMPTY | {"locks": {"a": {"owner": "i9", "token": 1, "until": T(10)}}}
    found = one_holder(History().at(9).take("a", 2, "i1", until=20).rec(snapshot=snap))
    assert found.tested == 1 and not found.ok


def test_different_locks_do_not_exclude_each_other():
    found = one_holder(History().take("a", 1, "i1", until=9).take("b", 2, "i2", until=9).rec())
    assert found.ok and found.tested == 0 and found.status == "not exercised"


def test_another_owners_release_does_not_free_a_lock():
    h = History().take("a", 5, "i1", until=10).at(1).release("a", 4, "i2")
    assert not one_holder(h.at(2).take("a", 6, "i2", until=20).rec()).ok


@pytest.mark.parametrize("token", [5, 4])
def test_tokens_must_grow_strictly_over_all_that_takes_one(token):
    h = History().join("i1", 5).take("a", token, "i1", until=10)
    (violation,) = one_holder(h.rec()).violations
    assert f"got token {token}, though 5" in violation.sentence


def test_an_epoch_is_a_token_too():
    assert not one_holder(History().join("i1", 5).elect("i1", 4).rec()).ok
    assert one_holder(History().join("i1", 5).elect("i1", 6).rec()).ok


def test_an_attempt_shares_its_token_with_its_lock():
    x, y = X(5), X(5, "job")
    h = History().at(5).ready(x, slot=5).ready(y, slot=5)
    h.run(x, 1, "i1").run(y, 2, "i1").take("task:tick", 1, "i1", until=9, x=x).take(
        "task:job", 2, "i1", until=9, x=y
    )
    assert one_holder(h.rec()).ok


def test_an_attempts_token_taken_by_a_strange_lock_is_a_violation():
    h = History().at(5).ready(X(5), slot=5).run(X(5), 1, "i1").take("a", 1, "i2", until=9)
    assert not one_holder(h.rec()).ok


# --- no-stale-write


def recovered() -> History:
    """i2 took over what i1 had: token 11 is stale, 12 is current."""
    h = cluster().at(5).ready(X(5), slot=5, epoch=3).run(X(5), 11, "i1")
    return h.at(10).gone("i1", 1, until=9).lose(X(5), 11, "i1").at(10.1).run(X(5), 12, "i2", attempt=2)


def test_the_current_token_may_write_and_the_refusals_count():
    h = recovered().add("REFUSED", X(5), token=11, instance="i1", what="finish", why="token")
    found = no_stale_write(h.add("FENCE_WRITTEN", X(5), token=12, key="k").done(X(5), 12, "i2").rec())
    assert found.ok and found.tested == 3


@pytest.mark.parametrize("kind", ["SUCCEEDED", "FAILED", "RETRYING", "FENCE_WRITTEN", "LOST"])
def test_a_revoked_token_that_writes_is_a_violation(kind):
    (violation,) = no_stale_write(recovered().done(X(5), 11, "i1", kind=kind).rec()).violations
    assert f"i1 wrote {kind}" in violation.sentence and "current was #5" in violation.sentence


def cancelled(token: int, instance: str, execution: str = X(5)) -> History:
    h = recovered().add("CANCEL_REQUESTED", X(5), attempt=2, token=12, instance="i2")
    return h.done(execution, token, instance, kind="CANCELLED", was="RUNNING", force=False)


def test_the_end_of_a_cancelled_attempt_is_its_holders():
    assert no_stale_write(cancelled(12, "i2").rec()).ok
    (stale,) = no_stale_write(cancelled(11, "i1").rec()).violations
    assert "i1 wrote CANCELLED" in stale.sentence and "current was #5" in stale.sentence
    (stranger,) = no_stale_write(cancelled(12, "i9").rec()).violations
    assert stranger.sentence.endswith("with the token of i2 of " + X(5) + "; it was not its own")


@pytest.mark.parametrize("kind", ["CANCELLED", "DEAD"])
def test_what_ends_with_its_loss_ends_in_the_name_of_the_lost_attempt(kind):
    def lost(token: int, instance: str) -> bool:
        h = recovered().at(20).gone("i2", 2, until=19)
        h.add("LOST", X(5), attempt=2, token=12, instance="i2", reason="lease", losses=2)
        return no_stale_write(h.done(X(5), token, instance, kind=kind, was="RUNNING").rec()).ok

    assert lost(12, "i2")
    assert not lost(11, "i2") and not lost(12, "i9")


def test_what_waits_is_cancelled_without_a_token():
    h = cluster().at(5).ready(X(5), slot=5, epoch=3, instance="i1")
    assert no_stale_write(h.add("CANCELLED", X(5), was="READY", force=False).rec()).ok


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "READY", "source": "schedule", "slot": T(10), "by": "i1"},
        {"kind": "BUFFERED", "reason": "overlap", "slot": T(10), "instance": "i1"},
        {"kind": "READY", "source": "retry", "instance": "i1"},
        {"kind": "READY", "source": "delayed", "instance": "i1"},
    ],
)
def test_whoever_takes_part_in_elections_dispatches_nothing_without_an_epoch(event):
    def found(h: History, **more: object) -> list[str]:
        rec = h.at(10).add(execution=X(10), **(event | more)).rec()
        return [violation.sentence for violation in no_stale_write(rec).violations]

    (sentence,) = found(cluster())
    assert sentence.endswith("with no epoch; its instance takes part in elections")
    assert found(cluster(), epoch=3) == []
    assert found(cluster(election=False)) == []
    assert found(History()) == []  # who that was is not known


def test_a_token_is_revoked_by_the_loss_itself():
    h = cluster().at(5).ready(X(5), slot=5, epoch=3).run(X(5), 11, "i1").lose(X(5), 11, "i1")
    assert not no_stale_write(h.done(X(5), 11, "i1").rec()).ok


@pytest.mark.parametrize("end", ["SUCCEEDED", "CANCELLED", "DEAD", "READY"])
def test_a_token_is_over_with_its_attempt(end):
    h = cluster().at(5).ready(X(5), slot=5, epoch=3).run(X(5), 11, "i1").done(X(5), 11, "i1", kind=end)
    assert not no_stale_write(h.add("FENCE_WRITTEN", X(5), token=11, key="k").rec()).ok


def test_a_first_attempt_that_nobody_could_have_superseded_is_not_counted():
    found = no_stale_write(quiet(30).rec())
    assert found.ok and found.tested == 0


def test_an_attempt_running_at_the_start_may_finish():
    snap = EMPTY | {"executions": {X(0): {"state": "RUNNING", "task": "tick", "token": 4, "instance": "i1"}}}
    assert no_stale_write(History().done(X(0), 4, "i1").rec(snapshot=snap)).ok
    assert not no_stale_write(History().done(X(0), 3, "i1").rec(snapshot=snap)).ok


def test_an_expired_attempt_that_nobody_recovered_may_commit():
    h = cluster().at(5).ready(X(5), slot=5, epoch=3).run(X(5), 11, "i1", until=6)
    assert no_stale_write(h.at(30).done(X(5), 11, "i1").rec()).ok


def test_dispatch_with_an_older_epoch_is_a_violation():
    h = cluster().at(6).elect("i2", 4)
    h.at(10).ready(X(10), slot=10, epoch=4, instance="i2").ready(X(5), slot=5, epoch=3, instance="i1")
    (violation,) = no_stale_write(h.rec()).violations
    assert "epoch #3" in violation.sentence and "current was #4" in violation.sentence


def test_dispatch_after_stepping_down_is_a_violation_and_before_is_not():
    h = (
        cluster()
        .at(5)
        .ready(X(5), slot=5, epoch=3)
        .at(6)
        .add("LEADER_RESIGNED", instance="i1", token=1, epoch=3)
    )
    assert no_stale_write(h.rec()).ok
    assert not no_stale_write(h.at(6.001).ready(X(6), slot=6, epoch=3).rec()).ok


def test_a_leader_that_was_never_replaced_may_dispatch_after_its_first_lease_ended():
    # Renewals have no event.
    assert no_stale_write(cluster().at(500).ready(X(500), slot=500, epoch=3).rec()).ok


@pytest.mark.parametrize("kind", ["INSTANCE_DRAINING", "INSTANCE_LEFT", "LEADER_ELECTED"])
def test_what_an_incarnation_does_after_its_end_is_a_violation(kind):
    h = cluster().at(10).gone("i2", 2, until=9)
    assert not no_stale_write(h.at(11).add(kind, instance="i2", token=2, epoch=9, until=T(20)).rec()).ok
    assert (
        no_stale_write(h.join("i2", 9).add("INSTANCE_DRAINING", instance="i2", token=9).rec()).violations[1:]
        == ()
    )


@pytest.mark.parametrize("kind", ["INSTANCE_DRAINING", "INSTANCE_LEFT", "INSTANCE_LOST", "LEADER_ELECTED"])
def test_what_becomes_of_an_instance_is_told_of_the_incarnation_that_lives(kind):
    def found(token: int) -> bool:
        return no_stale_write(cluster().at(10).add(kind, instance="i2", token=token, until=T(9)).rec()).ok

    assert found(2) and not found(1) and not found(7)


def test_no_instance_is_lost_twice():
    h = cluster().at(10).gone("i2", 2, until=9)
    assert no_stale_write(h.rec()).ok and not no_stale_write(h.gone("i2", 2, until=9).rec()).ok


def test_nobody_claims_who_never_joined():
    claim = {"attempt": 1, "token": 11, "instance": "i9", "inc": 8}
    h = cluster().at(5).ready(X(5), slot=5, epoch=3, instance="i1").add("RUNNING", X(5), **claim)
    (violation,) = no_stale_write(h.rec()).violations
    assert violation.sentence.endswith("it never joined")
    middle = {key: value for key, value in EMPTY.items() if key != "instances"}
    assert no_stale_write(h.rec(snapshot=middle)).ok


@pytest.mark.parametrize(
    "wrong",
    [{"instance": "i2"}, {"task": "job"}, {"execution": X(10)}, {"instance": "i9"}],
)
@pytest.mark.parametrize("kind", ["LOCK_ACQUIRED", "LOCK_RELEASED"])
def test_a_tasks_lock_is_its_runs(kind, wrong):
    h = cluster().at(5).ready(X(5), slot=5, epoch=3, instance="i1").run(X(5), 11, "i1")
    h.take("task:tick", 11, "i1", until=99, x=X(5)).at(6).release("task:tick", 11, "i1", x=X(5))
    assert no_stale_write(h.rec()).ok
    h.events[:] = [msgspec.structs.replace(e, **wrong) if e.kind == kind else e for e in h.events]
    assert not no_stale_write(h.rec()).ok


def test_a_superseded_incarnation_may_not_drain_but_its_successor_may():
    h = cluster().at(5).join("i2", 7)
    assert no_stale_write(h.add("INSTANCE_DRAINING", instance="i2", token=7).rec()).ok
    assert not no_stale_write(h.add("INSTANCE_DRAINING", instance="i2", token=2).rec()).ok


@pytest.mark.parametrize("reason", ["INSTANCE_LOST", "INSTANCE_LEFT"])
def test_claiming_and_dispatching_under_a_name_that_is_gone_is_a_violation(reason):
    h = cluster().at(5).ready(X(5), slot=5, epoch=3).at(10).add(reason, instance="i1", token=1, until=T(9))
    assert not no_stale_write(h.at(11).ready(X(10), slot=10, epoch=3, instance="i1").rec()).ok
    h.events.pop()
    assert not no_stale_write(h.run(X(5), 11, "i1").rec()).ok
    h.events.pop()
    assert no_stale_write(h.join("i1", 9).run(X(5), 11, "i1").rec()).ok


def test_a_claim_by_a_superseded_incarnation_of_a_live_name_is_a_violation():
    h = quiet().at(5).join("i1", 50).at(6).ready("job~a", source="trigger")
    assert not no_stale_write(
        h.at(7).add("RUNNING", "job~a", attempt=1, token=60, instance="i1", inc=50).rec()
    ).violations
    stale = (
        h.at(8)
        .ready("job~b", source="trigger")
        .add("RUNNING", "job~b", attempt=1, token=61, instance="i1", inc=1)
    )
    (violation,) = no_stale_write(stale.rec()).violations
    assert "incarnation" in violation.sentence


def test_a_lock_is_released_and_extended_by_its_holder_alone():
    h = History().take("a", 1, "i1", until=5).at(6).take("a", 2, "i2", until=20)
    found = no_stale_write(h.at(7).extend("a", 2, "i2", until=30).at(8).release("a", 2, "i2").rec())
    assert found.ok and found.tested == 2


@pytest.mark.parametrize("verb", ["extend", "release"])
def test_a_former_holder_that_extends_or_releases_is_a_violation(verb):
    h = History().take("a", 1, "i1", until=5).at(6).take("a", 2, "i2", until=20)
    h.extend("a", 1, "i1", until=30) if verb == "extend" else h.release("a", 1, "i1")
    (violation,) = no_stale_write(h.rec()).violations
    assert "its holder was #2" in violation.sentence


def test_extending_a_lock_after_its_end_is_a_violation_though_nobody_took_it():
    h = History().take("a", 1, "i1", until=5)
    assert no_stale_write(h.at(5).extend("a", 1, "i1", until=9).rec()).ok
    assert not no_stale_write(h.at(9.001).extend("a", 1, "i1", until=20).rec()).ok


def test_a_lock_released_twice_is_a_violation():
    h = History().take("a", 1, "i1", until=5).at(1).release("a", 1, "i1").release("a", 1, "i1")
    assert not no_stale_write(h.rec()).ok


def test_a_task_lock_is_released_by_the_recovery_that_revoked_its_token():
    h = cluster().at(5).ready(X(5), slot=5).run(X(5), 11, "i1").take("task:tick", 11, "i1", until=99, x=X(5))
    h.at(9).release("task:tick", 11, "i1", x=X(5)).lose(X(5), 11, "i1")
    assert no_stale_write(h.rec()).ok


def test_a_finish_of_what_never_ran_is_a_violation():
    assert not no_stale_write(History().done("j", 4, "i1").rec()).ok


def test_a_stream_read_from_its_middle_does_not_accuse_what_began_before():
    assert no_stale_write(History().done(X(0), 4, "i1").release("a", 3, "i1").rec(snapshot={})).ok


# --- one-leader-per-epoch


def test_a_leader_may_follow_when_the_lease_ended_or_was_given_up():
    h = cluster().at(5).elect("i2", 4).at(6).add("LEADER_RESIGNED", instance="i2", epoch=4).elect("i1", 5)
    found = one_leader_per_epoch(h.rec())
    assert found.ok and found.tested == 2


def test_one_epoch_for_two_leaders_is_a_violation():
    (violation,) = one_leader_per_epoch(cluster().at(9).elect("i2", 3).rec()).violations
    assert "given to i1 and again to i2" in violation.sentence


def test_an_epoch_that_falls_is_a_violation():
    assert not one_leader_per_epoch(cluster().at(9).elect("i2", 2).rec()).ok


def test_an_election_during_another_lease_is_a_violation():
    (violation,) = one_leader_per_epoch(cluster().at(4.999).elect("i2", 4).rec()).violations
    assert "while i1 led until 5.000 s" in violation.sentence


def test_the_leader_of_the_snapshot_counts():
    snap = EMPTY | {"leader": {"instance": "i9", "incarnation": 1, "epoch": 2, "until": T(3)}}
    found = one_leader_per_epoch(History().at(2).elect("i1", 5).rec(snapshot=snap))
    assert not found.ok and found.tested == 1


def test_dispatch_with_the_epoch_of_another_is_a_violation():
    h = cluster().at(6).elect("i2", 4)
    assert one_leader_per_epoch(h.ready(X(5), slot=5, epoch=4, instance="i2").rec()).tested == 2
    (violation,) = one_leader_per_epoch(h.ready(X(6), slot=6, epoch=4, instance="i1").rec()).violations
    assert "i1 dispatched" in violation.sentence


def test_one_election_exercises_nothing():
    assert one_leader_per_epoch(quiet(30).rec()).status == "not exercised"


@pytest.mark.parametrize("kind", ["FORGOTTEN", "LEADER_RESIGNED"])
def test_only_the_leader_of_an_epoch_forgets_and_steps_down_with_it(kind):
    def found(by: str) -> list[str]:
        h = cluster().at(9).add(kind, instance=by, epoch=3, count=1)
        return [violation.sentence for violation in one_leader_per_epoch(h.rec()).violations]

    assert found("i1") == []
    assert found("i2") == [f"i2 wrote {kind} at 9.000 s with epoch #3 of i1"]
