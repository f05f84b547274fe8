"""legal-transitions, effect-once, pool-respected, clean-drain."""

from __future__ import annotations

import pytest
from histories import EMPTY, History, T, X, cluster, one_runs, quiet

from labsched.model import TRANSITIONS, State
from labsched.schedule import manual
from labsched.worlds.checks import clean_drain, effect_once, legal_transitions, pool_respected

# --- legal-transitions


def test_every_step_of_a_healthy_history_is_legal_and_counted():
    found = legal_transitions(quiet(30).rec())
    assert found.ok and found.tested == 3 * 6


@pytest.mark.parametrize("before", sorted(TRANSITIONS))
@pytest.mark.parametrize("after", sorted(State))
def test_the_table_decides(before, after):
    known = {"j": {"state": before, "task": "job"}} if before else {}
    h = History().add(after, "j", task="job")
    if before == "RUNNING" and after == "READY":
        h = History().add("LOST", "j", task="job").ready("j", source="lost", task="job")
    found = legal_transitions(h.rec(snapshot=EMPTY | {"executions": known}))
    assert found.ok == (after in TRANSITIONS[before])


def running(h: History | None = None) -> History:
    return (h or History()).ready("j", source="trigger").run("j", 1, "i1")


@pytest.mark.parametrize("source", ["lost", "returned", "retry", "buffer", "delayed", "requeue", "trigger"])
def test_ready_comes_from_where_its_source_says(source):
    paths = {
        "lost": lambda: running().add("LOST", "j"),
        "returned": running,
        "retry": lambda: running().add("RETRYING", "j"),
        "buffer": lambda: History().add("BUFFERED", "j", reason="overlap"),
        "delayed": lambda: History().add("BUFFERED", "j", reason="delayed"),
        "requeue": lambda: running().add("FAILED", "j"),
        "trigger": History,
    }
    for name, path in paths.items():
        # A snapshot may leave out what had ended, so a requeue may come as the first word.
        same = (
            name == source
            or {name, source} == {"buffer", "delayed"}
            or (name, source) == ("trigger", "requeue")
        )
        assert legal_transitions(path().ready("j", source=source).rec()).ok == same, (name, source)


@pytest.mark.parametrize("kind", ["LOST", "CANCEL_REQUESTED", "FENCE_WRITTEN"])
def test_some_things_happen_only_to_what_runs(kind):
    assert legal_transitions(running().add(kind, "j").rec()).ok
    assert not legal_transitions(running().add("SUCCEEDED", "j").add(kind, "j").rec()).ok
    assert not legal_transitions(History().add(kind, "j").rec()).ok
    assert not legal_transitions(running().add("LOST", "j").add(kind, "j").rec()).ok


def test_a_lost_attempt_cannot_end_well():
    (violation,) = legal_transitions(running().add("LOST", "j").add("SUCCEEDED", "j").rec()).violations
    assert violation.sentence == "j became SUCCEEDED after its attempt was LOST at 0.000 s"


def test_one_bad_step_is_one_violation():
    h = running().add("RETRYING", "j").add("SUCCEEDED", "j")
    assert len(legal_transitions(h.rec()).violations) == 1


def test_a_requeue_of_what_the_snapshot_left_out_is_no_violation():
    assert legal_transitions(History().ready("j", source="requeue").rec()).ok


def test_a_trigger_id_may_be_used_again_once_it_was_forgotten():
    h = running().at(1).done("j", 1, "i1").at(9).add("FORGOTTEN", count=1, before=T(5))
    assert legal_transitions(h.ready("j", source="trigger").rec()).ok
    h.events[-2].data["before"] = T(1)
    assert not legal_transitions(h.rec()).ok


# --- what the events of an execution say of its attempts


def told(h: History, **fields: object) -> list[str]:
    return [violation.sentence for violation in legal_transitions(h.rec(end=60, **fields)).violations]


def given(**options: object) -> History:
    """A `job!1` that was triggered in a cluster; `options` are those of its task."""
    return cluster().define("job", manual(), **options).at(10).ready("job!1", source="trigger")


def ran(h: History, token: int, attempt: int, kind: str = "RETRYING", **data: object) -> History:
    """One attempt of half a second, with its end."""
    h.run("job!1", token, "i1", attempt=attempt).at(h.now + 0.5)
    return h.add(kind, "job!1", attempt=attempt, token=token, instance="i1", **data)


def test_attempts_are_numbered_one_by_one():
    first = ran(given(retries=1), 11, 1, retry_at=T(11)).at(11).ready("job!1", source="retry")
    assert told(ran(first, 12, 2, "SUCCEEDED")) == []
    assert told(given().run("job!1", 11, "i1", attempt=2)) == [
        "job!1 became RUNNING as attempt 2 after attempt 0 at 10.000 s"
    ]
    again = given().run("job!1", 11, "i1").lose("job!1", 11, "i1")
    assert told(again.run("job!1", 12, "i2"))[0].startswith(
        "job!1 became RUNNING as attempt 1 after attempt 1"
    )


def test_what_was_handed_back_unstarted_was_no_try():
    back = given().run("job!1", 11, "i1").ready("job!1", source="returned")
    assert told(ran(back, 12, 1, "SUCCEEDED")) == []
    started = given().run("job!1", 11, "i1").ready("job!1", source="returned")
    assert told(ran(started, 12, 2, "SUCCEEDED")) == []


def test_attempts_go_on_being_counted_after_a_requeue_and_from_the_snapshot():
    h = ran(given(), 11, 1, "FAILED").ready("job!1", source="requeue")
    assert told(ran(h, 12, 2, "SUCCEEDED")) == []
    for known, wrong in (({"attempt": 3}, 0), ({"attempt": 1}, 1), ({}, 0)):
        snap = EMPTY | {"executions": {"job!1": {"state": "READY", "task": "job"} | known}}
        assert len(told(ran(History(), 12, 4, "SUCCEEDED"), snapshot=snap)) == wrong


@pytest.mark.parametrize(
    "kind", ["SUCCEEDED", "FAILED", "RETRYING", "LOST", "CANCEL_REQUESTED", "FENCE_WRITTEN", "CANCELLED"]
)
def test_what_an_attempt_does_carries_its_number(kind):
    h = given(retries=int(kind == "RETRYING")).run("job!1", 11, "i1")
    wrong = h.add(kind, "job!1", attempt=2, token=11, instance="i1", force=True)
    assert f"job!1 had {kind} of attempt 2, though attempt 1 was the last at 10.000 s" in told(wrong)


@pytest.mark.parametrize("kind", ["RUNNING", "SUCCEEDED", "LOST", "RETRYING", "FAILED"])
def test_an_execution_is_one_of_the_same_task_all_its_life(kind):
    h = given(retries=int(kind == "RETRYING"))
    h = h if kind == "RUNNING" else h.run("job!1", 11, "i1")
    assert told(h.add(kind, "job!1", task="tick", attempt=1, token=11, instance="i1")) == [
        f"job!1 had {kind} of task tick, though it is one of job at 10.000 s"
    ]


def test_there_are_as_many_retries_as_the_task_allows():
    def retried(retries: int, end: str = "FAILED") -> list[str]:
        h = given(retries=retries)
        for n in (1, 2):
            ran(h, 10 + n, n, retry_at=T(h.now + 0.5)).ready("job!1", source="retry")
        return told(ran(h, 13, 3, end))

    assert retried(2) == [] == retried(3, "SUCCEEDED")
    assert retried(1) == ["job!1 became RETRYING for the 2. time, and its task allows 1 at 11.000 s"]
    assert retried(3) == ["job!1 became FAILED after 2 of 3 retries at 11.500 s"]


def test_a_requeue_gives_all_retries_again():
    h = ran(given(), 11, 1, "FAILED").define("job", manual(), retries=1).ready("job!1", source="requeue")
    ran(h, 12, 2, retry_at=T(h.now + 0.5)).ready("job!1", source="retry")
    assert told(ran(h, 13, 3, "FAILED")) == []


def test_the_retries_of_an_instance_that_was_there_before_the_recording_are_its_own():
    snap = EMPTY | {"instances": {"i1": {"incarnation": 1, "until": T(9)}}}
    h = History().define("job", manual(), retries=0).ready("job!1", source="trigger")
    assert told(ran(h, 11, 1, retry_at=T(1)), snapshot=snap) == []


def test_an_instance_may_go_by_another_definition_of_the_same_version():
    h = cluster().define("job", manual(), retries=1).define("job", manual()).ready("job!1", source="trigger")
    assert told(ran(h, 11, 1, retry_at=T(2))) == []


@pytest.mark.parametrize("source", ["retry", "delayed"])
def test_a_timer_moves_nothing_on_before_its_time(source):
    def woken(at: float, **fields: object) -> list[str]:
        h = given(retries=1)
        if source == "retry":
            ran(h, 11, 1, retry_at=T(12))
        else:
            h.add("BUFFERED", "job!2", reason="delayed", due=T(12))
        return told(h.at(at).ready("job!1" if source == "retry" else "job!2", source=source), **fields)

    assert woken(12) == []
    assert woken(11.95)[0].endswith("became READY 50 ms early at 11.950 s")
    assert woken(11.95, world="real") == []


def stopping(asked: bool, after: str = "CANCELLED", **data: object) -> History:
    h = given(retries=1).run("job!1", 11, "i1")
    if asked:
        h.add("CANCEL_REQUESTED", "job!1", attempt=1, token=11, instance="i1")
    if after in ("LOST", "DEAD"):
        h.add("LOST", "job!1", attempt=1, token=11, instance="i1")
    if after == "LOST":
        return h.ready("job!1", source="lost")
    return h.add(after, "job!1", attempt=1, token=11, instance="i1", **({"was": "RUNNING"} | data))


def test_what_runs_is_cancelled_when_it_was_asked_to_stop_or_by_force():
    assert told(stopping(True)) == [] == told(stopping(False, force=True))
    assert told(stopping(False, force=False)) == [
        "job!1 was CANCELLED, though nobody had asked it to stop at 10.000 s"
    ]
    snap = EMPTY | {"executions": {"job!1": {"state": "RUNNING", "task": "job", "token": 11, "attempt": 1}}}
    h = History().add("CANCELLED", "job!1", attempt=1, token=11, was="RUNNING", force=False)
    assert told(h, snapshot=snap) == []  # it may have been asked before


@pytest.mark.parametrize("after", ["RETRYING", "LOST", "DEAD"])
def test_what_was_asked_to_stop_does_not_go_on(after):
    assert told(stopping(False, after)) == []
    (sentence,) = told(stopping(True, after))
    assert sentence.endswith("though it had been asked to stop at 10.000 s")


def test_a_cancelled_execution_was_in_the_state_that_its_event_says():
    h = given().add("CANCELLED", "job!1", was="BUFFERED", force=False)
    assert told(h) == ["job!1 was cancelled as BUFFERED, though it was READY at 10.000 s"]


# --- effect-once


def twice() -> History:
    return running().lose("j", 1, "i1").run("j", 2, "i2", attempt=2)


def test_a_second_attempt_may_commit_what_the_first_did_not():
    found = effect_once(twice().add("FENCE_WRITTEN", "j", key="a").done("j", 2, "i2").rec())
    assert found.ok and found.tested == 2


@pytest.mark.parametrize("second", ["SUCCEEDED", "FAILED"])
@pytest.mark.parametrize("first", ["SUCCEEDED", "FAILED"])
def test_a_second_result_is_a_violation(first, second):
    h = twice().done("j", 2, "i2", kind=first).done("j", 1, "i1", kind=second)
    (violation,) = effect_once(h.rec()).violations
    assert violation.events == (h.events[-2].id, h.events[-1].id)


@pytest.mark.parametrize(("first", "source"), [("FAILED", "requeue"), ("RETRYING", "retry")])
def test_a_result_after_a_requeue_or_a_retry_is_not_a_second_one(first, source):
    h = running().done("j", 1, "i1", kind=first).ready("j", source=source)
    assert effect_once(h.run("j", 2, "i1").done("j", 2, "i1").rec()).ok


def test_a_fence_key_is_written_once_even_by_the_same_attempt():
    h = running().add("FENCE_WRITTEN", "j", key="a", token=1).add("FENCE_WRITTEN", "j", key="b", token=1)
    found = effect_once(h.rec())
    assert found.ok and found.tested == 0
    assert not effect_once(h.add("FENCE_WRITTEN", "j", key="a", token=1).rec()).ok


def test_a_requeue_does_not_open_a_fence_key_again():
    h = (
        running()
        .add("FENCE_WRITTEN", "j", key="a")
        .done("j", 1, "i1", kind="FAILED")
        .ready("j", source="requeue")
    )
    assert not effect_once(h.run("j", 2, "i1").add("FENCE_WRITTEN", "j", key="a").rec()).ok


def test_two_executions_may_write_the_same_key():
    h = running().add("FENCE_WRITTEN", "j", key="a").ready("k", source="trigger").run("k", 2, "i1")
    assert effect_once(h.add("FENCE_WRITTEN", "k", key="a").rec()).ok


def test_one_attempt_each_exercises_nothing():
    assert effect_once(quiet(30).rec()).tested == 0


# --- pool-respected


def many(n: int, *names: str, h: History | None = None) -> History:
    h = h or cluster()
    for i in range(n):
        h.ready(f"job!{i}", source="trigger").run(f"job!{i}", 50 + i, names[i % len(names)])
    return h


def test_a_full_pool_is_fine_and_counted():
    found = pool_respected(many(4, "i1", "i2").rec())
    assert found.ok and found.tested == 2


def test_one_more_than_the_pool_is_a_violation():
    (violation,) = pool_respected(many(3, "i1").rec()).violations
    assert "i1 ran 3 attempts" in violation.sentence and "pool size is 2" in violation.sentence


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "RETRYING", "READY", "LOST", "CANCELLED", "DEAD"])
def test_a_slot_is_free_when_its_attempt_has_ended(end):
    h = many(2, "i1").add(end, "job!0").ready("job!9", source="trigger").run("job!9", 99, "i1")
    assert pool_respected(h.rec()).ok


def test_a_request_to_cancel_frees_nothing():
    h = many(2, "i1").add("CANCEL_REQUESTED", "job!0").ready("job!9", source="trigger").run("job!9", 99, "i1")
    assert not pool_respected(h.rec()).ok


def test_a_new_incarnation_brings_its_own_pool_size():
    h = many(3, "i1", h=cluster().join("i1", 9, pool_size=3))
    assert pool_respected(h.rec()).ok


def test_attempts_of_the_snapshot_take_slots():
    snap = EMPTY | {"executions": {"a": {"state": "RUNNING", "task": "job", "instance": "i1", "token": 1}}}
    assert not pool_respected(many(2, "i1").rec(snapshot=snap)).ok


def limited(**options: object) -> History:
    return History().join("i1", 1, pool_size=100).define("job", manual(), **options)


def test_max_concurrency_counts_over_all_instances():
    h = limited(max_concurrency=2).join("i2", 2)
    assert pool_respected(many(2, "i1", "i2", h=h).rec()).ok
    h.ready("job!9", source="trigger").run("job!9", 99, "i1")
    (violation,) = pool_respected(h.rec()).violations
    assert "job ran 3 attempts" in violation.sentence


def test_a_lower_limit_applies_to_later_starts():
    h = many(3, "i1", h=limited(max_concurrency=3)).define("job", manual(), max_concurrency=1)
    assert pool_respected(h.rec()).ok
    assert not pool_respected(h.ready("job!9", source="trigger").run("job!9", 99, "i1").rec()).ok


def starts(h: History, *moments: float) -> History:
    for n, moment in enumerate(moments):
        h.at(moment).ready(f"job!{n}", source="trigger").run(f"job!{n}", 50 + n, "i1")
    return h


RATE = {"rate_limit": {"count": 2, "per": 1.0}}


def rated() -> History:
    h = limited()
    h.events[-1].data["definition"].update(RATE)
    return h


def test_a_burst_and_then_the_rate_is_fine():
    found = pool_respected(starts(rated(), 1, 1, 1.5, 2, 2.5, 9, 9).rec())
    assert found.ok and found.tested == 5


def test_milliseconds_cut_off_are_no_violation():
    assert pool_respected(starts(rated(), 1, 1, 1.499, 1.999, 2.499).rec()).ok


@pytest.mark.parametrize("moments", [(1, 1, 1.4), (1, 1, 1), (1, 1.2, 1.4, 1.6), (1, 1, 1.5, 1.9)])
def test_more_than_the_rate_is_a_violation(moments):
    violation, *_ = pool_respected(starts(rated(), *moments).rec()).violations
    assert "past 2 starts per 1 s" in violation.sentence


def test_a_rate_that_is_defined_again_unchanged_keeps_its_count():
    h = starts(rated(), 1, 1)
    h.define("job", manual())
    h.events[-1].data["definition"].update(RATE)
    assert not pool_respected(h.ready("job!9", source="trigger").run("job!9", 99, "i1").rec()).ok


# --- clean-drain


def draining(*, left: float | None = 14) -> History:
    h = one_runs("i1").at(10).add("INSTANCE_DRAINING", instance="i1", token=1)
    h.at(12).done(X(5), 9, "i1")
    return h if left is None else h.at(left).add("INSTANCE_LEFT", instance="i1", token=1, returned=0)


def test_a_drain_that_ends_in_time_is_clean_and_counted():
    found = clean_drain(draining().rec())
    assert found.ok and found.tested == 1


def test_a_claim_while_draining_is_a_violation():
    h = cluster().at(10).add("INSTANCE_DRAINING", instance="i1", token=1).run("job!1", 50, "i1")
    h.at(11).done("job!1", 50, "i1").add("INSTANCE_LEFT", instance="i1", token=1)
    (violation,) = clean_drain(h.rec()).violations
    assert "claimed job!1 at 10.000 s, while draining" in violation.sentence


def test_a_claim_in_the_same_millisecond_but_before_is_not():
    h = cluster().at(10).run("job!1", 50, "i1").add("INSTANCE_DRAINING", instance="i1", token=1)
    assert clean_drain(h.at(11).done("job!1", 50, "i1").add("INSTANCE_LEFT", instance="i1", token=1).rec()).ok


def test_a_successor_of_the_name_may_claim():
    h = draining().at(15).join("i1", 20).run("job!1", 50, "i1")
    assert clean_drain(h.rec()).ok


def test_leaving_late_or_not_at_all_is_a_violation():
    # drain_timeout 10 s, cancel_grace 0.5 s, and 0.5 s for requests.
    assert clean_drain(draining(left=21).rec()).ok
    late = clean_drain(draining(left=21.1).rec())
    assert "left only at 21.100 s" in late.violations[0].sentence
    never = clean_drain(draining(left=None).rec(end=30))
    assert "had not left" in never.violations[0].sentence


def test_a_drain_whose_end_was_not_recorded_is_not_judged():
    assert clean_drain(draining(left=None).rec(end=19)).tested == 0


def test_what_leaving_gives_up_in_its_own_step_is_not_left_behind():
    h = one_runs("i1").at(10).add("INSTANCE_DRAINING", instance="i1", token=1)
    h.at(20).lose(X(5), 9, "i1", reason="left").add("INSTANCE_LEFT", instance="i1", token=1, returned=0)
    assert clean_drain(h.rec()).ok


@pytest.mark.parametrize("recovered", [True, False])
def test_what_still_runs_after_leaving_is_left_behind(recovered):
    h = one_runs("i1").at(10).add("INSTANCE_LEFT", instance="i1", token=1)
    if recovered:
        h.at(10.001).lose(X(5), 9, "i1")
    (violation,) = clean_drain(h.rec(end=30)).violations
    assert "left tick@" in violation.sentence and "RUNNING behind at 10.000 s" in violation.sentence


@pytest.mark.parametrize("fault", ["kill", "pause", "partition"])
def test_a_drain_that_a_fault_ended_is_not_judged(fault):
    h = draining(left=None).at(13).fault(fault, "i1")
    assert clean_drain(h.rec(end=60)).tested == 0


def test_a_drain_that_the_lease_ended_is_not_judged():
    assert clean_drain(draining(left=None).at(16).gone("i1", 1, until=15).rec(end=60)).tested == 0


def test_the_journal_tells_how_long_it_took():
    h = draining().note("drain", "i1", 1, stage="left", took=10.9)
    assert clean_drain(h.rec()).ok
    assert not clean_drain(h.note("drain", "i1", 1, stage="left", took=11.1).rec()).ok


def test_no_drain_exercises_nothing():
    assert clean_drain(quiet(30).rec()).status == "not exercised"
