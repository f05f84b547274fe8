"""one-execution-per-slot and nothing-lost: what becomes of slots."""

from __future__ import annotations

import time

import pytest
from histories import EMPTY, History, T, X, cluster, definition, quiet, slot

from labsched.schedule import at, cron, due_of, every, manual
from labsched.worlds.checks import nothing_lost, one_execution_per_slot

# --- one-execution-per-slot


def test_each_slot_that_became_an_execution_counts():
    found = one_execution_per_slot(quiet(60).rec())
    assert found.ok and found.tested == 12


def test_duplicates_without_the_lock_are_reported():
    h = cluster().at(5).ready(f"{X(5)}#i1", slot=5).ready(f"{X(5)}#i2", slot=5)
    found = one_execution_per_slot(h.rec())
    assert found.tested == 1
    assert found.violations[0].events == (h.events[-2].id, h.events[-1].id)
    assert f"beside {X(5)}#i1" in found.violations[0].sentence


def test_one_execution_dispatched_twice_is_a_violation():
    assert not one_execution_per_slot(cluster().at(5).ready(X(5), slot=5).at(6).ready(X(5), slot=5).rec()).ok


def test_a_slot_that_waits_for_its_turn_is_an_execution_too():
    h = cluster().at(5).add("BUFFERED", X(5), slot=T(5), reason="overlap")
    assert one_execution_per_slot(h.at(6).ready(X(5), source="buffer").rec()).ok
    assert not one_execution_per_slot(h.at(7).ready(X(5), slot=5).rec()).ok


def test_triggers_backfills_and_new_attempts_are_nobodys_slot():
    h = (
        cluster()
        .at(5)
        .ready(X(5), slot=5)
        .ready("tick!a", source="trigger")
        .ready("tick!b", source="trigger")
    )
    h.ready("tick!c", slot=5, source="backfill").add("BUFFERED", "tick!d", slot=T(5), reason="delayed")
    h.run(X(5), 9, "i1").lose(X(5), 9, "i1")
    found = one_execution_per_slot(h.rec())
    assert found.ok and found.tested == 1


def test_the_same_slot_of_two_tasks_is_two_slots():
    assert one_execution_per_slot(cluster().at(5).ready(X(5), slot=5).ready(X(5, "job"), slot=5).rec()).ok


def test_slots_from_before_the_recording_count():
    snap = EMPTY | {
        "executions": {X(0): {"state": "SUCCEEDED", "task": "tick", "slot": T(0)}},
        "tasks": {
            "tick": {"status": "ACTIVE", "watermark": T(5), "definition": definition("tick", every(5))}
        },
    }
    again = History().at(6).ready(f"{X(0)}#i2", slot=0)
    assert not one_execution_per_slot(again.rec(snapshot=snap)).ok
    forgotten = History().at(6).ready(X(5), slot=5)
    assert not one_execution_per_slot(forgotten.rec(snapshot=snap)).ok
    assert one_execution_per_slot(History().at(10).ready(X(10), slot=10).rec(snapshot=snap)).ok


def made(h: History, at_: float, **dispatch: object) -> list[str]:
    """What is found of the one slot that is dispatched `at_` a second."""
    x = str(dispatch.pop("x", X(10)))
    h.at(at_).ready(x, **({"slot": 10, "due": T(10)} | dispatch))
    return [violation.sentence for violation in one_execution_per_slot(h.rec(end=60)).violations]


@pytest.mark.parametrize("status", ["PAUSED", "DISABLED"])
def test_no_slot_of_a_task_is_made_while_it_is_paused(status):
    h = cluster().at(8).add("TASK_PAUSED", task="tick", since=T(8), status=status)
    assert made(h, 10) == [f"slot {T(10)} of tick became {X(10)} at 10.000 s, while the task was {status}"]
    snap = EMPTY | {"tasks": {"tick": {"status": status, "watermark": T(5)}}}
    assert not one_execution_per_slot(History().at(10).ready(X(10), slot=10).rec(snapshot=snap)).ok
    assert not one_execution_per_slot(cluster().define("tick", status=status).ready(X(10), slot=10).rec()).ok


def test_what_was_missed_while_a_task_was_paused_may_be_made_afterwards():
    h = cluster().at(8).add("TASK_PAUSED", task="tick", since=T(8), status="PAUSED")
    h.at(30).add("TASK_RESUMED", task="tick", since=T(5), catch_up="all")
    assert made(h, 31) == []


def test_a_slot_is_one_of_the_schedule_in_force():
    (sentence,) = made(cluster(), 12, x=X(11), slot=11, due=T(11))
    assert sentence.endswith(f"became {X(11)} at 12.000 s, which its schedule does not have")
    assert made(cluster().at(9).define("tick", every(7), since=9), 10)
    assert not made(cluster().at(9).define("tick", every(2), since=9), 10)
    assert made(cluster().at(10).define("tick", every(2), since=10), 10) == [
        f"slot {T(10)} of tick became {X(10)} at 10.000 s, which was decided when the task was defined"
    ]


def test_a_slot_that_was_shifted_out_of_the_hour_that_summer_time_skips_is_one():
    night = cron("30 2 * * *", tz="Europe/Berlin", gap="shift")
    shifted = 1_774_746_000_000  # 2026-03-29 03:00 in Berlin: there is no 2:30
    moment = (shifted - T(0)) / 1000
    h = History().define("tick", night).at(moment).ready(f"tick@{shifted}", slot=moment)
    assert one_execution_per_slot(h.rec()).ok


def test_no_slot_is_made_before_it_is_due():
    assert made(cluster(), 10) == []
    assert made(cluster(), 9.999) == [
        f"slot {T(10)} of tick became {X(10)} at 9.999 s, though it was due only at 10.000 s"
    ]
    assert made(cluster(), 10, due=T(10.5))[0].endswith("though it was due only at 10.500 s")


def test_jitter_counts_whatever_the_event_says():
    schedule = every(5, jitter=4)
    late = next(s for s in range(5, 60, 5) if due_of("tick", schedule, T(s)) > T(s) + 1)
    h = History().define("tick", schedule).at(late).ready(X(late), slot=late)
    assert not one_execution_per_slot(h.rec()).ok


def test_the_clocks_of_a_real_server_may_differ_a_little():
    h = cluster().at(9.95).ready(X(10), slot=10, due=T(10))
    assert one_execution_per_slot(h.rec(world="real")).ok and not one_execution_per_slot(h.rec()).ok
    assert not one_execution_per_slot(cluster().at(9.8).ready(X(10), slot=10).rec(world="real")).ok


# --- nothing-lost

SETTLE = 11.5  # 4 s lease + 5 s leader lease + 1 s sweep + 1 s wake-up + 0.5 s for requests


def test_every_slot_up_to_the_horizon_is_owed():
    found = nothing_lost(quiet(60).rec())
    assert found.ok and found.tested == 9  # 5 to 45 s; the horizon is at 48.5 s


def test_settle_moves_the_horizon():
    assert nothing_lost(quiet(60).rec(), settle=30).tested == 6
    assert nothing_lost(quiet(60).rec(), settle=100).status == "not exercised"


def without(h: History, *slots: float) -> History:
    gone = {X(at) for at in slots}
    h.events = [e for e in h.events if e.execution not in gone]
    return h


def test_a_missing_slot_is_lost():
    (violation,) = nothing_lost(without(quiet(60), 20).rec()).violations
    assert f"slot {T(20)} of tick, due at 20.000 s" in violation.sentence
    assert violation.at == T(20) / 1000


def test_neighbours_are_told_in_one_sentence_and_the_first_and_last_slot_count():
    found = nothing_lost(without(quiet(60), 5, 10, 45).rec()).violations
    assert [v.sentence.split(" of ")[0] for v in found] == [
        f"2 slots from {T(5)} to {T(10)}",
        f"slot {T(45)}",
    ]


def test_a_slot_after_the_horizon_is_not_owed_yet():
    assert nothing_lost(without(quiet(60), 50).rec()).ok


def test_a_skipped_range_accounts_for_its_slots_and_no_others():
    h = without(quiet(60), 10, 15, 20)
    h.events.append(History().at(21).add("SKIPPED", task="tick", first=T(10), last=T(15), count=2).events[0])
    (violation,) = nothing_lost(h.rec()).violations
    assert f"slot {T(20)} " in violation.sentence


def test_a_slot_skipped_for_overlap_is_accounted_for():
    h = without(quiet(60), 20)
    h.add("SKIPPED", X(20), task="tick", first=T(20), last=T(20), count=1, reason="overlap")
    assert nothing_lost(h.rec()).ok


def test_slots_before_the_definition_are_not_owed():
    h = History().join("i1", 1).elect("i1", 3).at(22).define("tick", every(5), since=22)
    for n, moment in enumerate((25, 30, 35, 40, 45)):
        slot(h, moment, 10 + n, "i1")
    found = nothing_lost(h.at(60).rec())
    assert found.ok and found.tested == 5


def paused(resume_at: float | None = None, catch_up: str = "none", since: float = 20) -> History:
    h = cluster()
    for n, moment in enumerate((5, 10, 15, 20)):
        slot(h, moment, 10 + n, "i1")
    h.at(32).add("TASK_PAUSED", task="tick", by="operator", since=T(32))
    if resume_at is not None:
        h.at(resume_at).add("TASK_RESUMED", task="tick", by="operator", catch_up=catch_up, since=T(since))
    return h


def test_slots_of_a_paused_task_are_not_owed():
    found = nothing_lost(paused().at(90).rec())
    assert found.ok and found.tested == 4  # 25 and 30 were due less than `settle` before the pause


def test_what_was_due_long_before_the_pause_is_owed():
    h = paused()
    h.events = [e for e in h.events if e.execution != X(20)]
    assert [v.at for v in nothing_lost(h.at(90).rec()).violations] == [T(20) / 1000]


def test_a_resume_owes_what_comes_after_its_since():
    found = nothing_lost(paused(60, "all").at(90).rec())
    assert [v.sentence.split(" of ")[0] for v in found.violations] == [f"11 slots from {T(25)} to {T(75)}"]


def test_a_resume_without_catching_up_says_so_by_skipping():
    h = paused(60).at(60.01)
    h.add("SKIPPED", task="tick", reason="paused", first=T(25), last=T(60), count=8)
    for n, moment in enumerate((65, 70, 75, 80)):
        slot(h, moment, 30 + n, "i1")
    assert nothing_lost(h.at(90).rec()).ok


def test_another_schedule_owes_its_own_slots_from_its_own_since():
    h = cluster()
    for n, moment in enumerate((5, 10, 15, 20)):
        slot(h, moment, 10 + n, "i1")
    h.at(21).define("tick", every(20), since=21)
    slot(h, 40, 20, "i1")
    found = nothing_lost(h.at(70).rec())
    assert found.ok and found.tested == 1 + 1  # 5 s, after which `settle` was left, then 40 s
    h.events = [e for e in h.events if e.execution != X(40)]
    assert not nothing_lost(h.at(70).rec()).ok


def test_a_definition_repeated_with_the_same_since_does_not_count_slots_twice():
    h = quiet(60)
    h.events.append(History().at(30.5).define("tick", every(5), since=30).events[0])
    h.events.sort(key=lambda e: e.at)
    found = nothing_lost(h.rec())
    assert (
        found.ok and found.tested == 3 + 3
    )  # 5 to 15 by the first (settled before 30.5 s), 35 to 45 by the second


def test_slots_that_a_later_definition_takes_over_are_counted_there_alone():
    h = quiet(60)
    h.events.append(
        History().at(50.5).define("tick", every(5), since=30).events[0]
    )  # its coordinator lags behind
    h.events.sort(key=lambda e: e.at)
    assert nothing_lost(h.rec()).tested == 6 + 3  # 5 to 30 by the first, 35 to 45 by the second


def test_a_task_of_the_snapshot_owes_slots_from_its_watermark():
    text = '{"schedule": {"type": "every", "period": 5.0}}'  # a snapshot keeps the definition as JSON text
    snap = EMPTY | {"tasks": {"tick": {"status": "ACTIVE", "watermark": T(10), "definition": text}}}
    h = History().join("i1", 1).elect("i1", 3)
    for n, moment in enumerate((15, 20, 25, 30)):
        slot(h, moment, 10 + n, "i1")
    found = nothing_lost(h.at(40).rec(snapshot=snap))
    assert found.ok and found.tested == 3
    assert not nothing_lost(without(h, 20).rec(snapshot=snap)).ok
    snap["tasks"]["tick"]["status"] = "PAUSED"
    assert nothing_lost(h.rec(snapshot=snap)).tested == 0


def test_jitter_makes_a_slot_due_later():
    schedule = every(20, jitter=19.9)
    due = (due_of("tick", schedule, T(20)) - T(0)) / 1000
    assert due > 21, "a jitter worth its name"
    h = History().join("i1", 1).elect("i1", 3).define("tick", schedule, since=0)
    assert nothing_lost(h.rec(end=due + SETTLE - 0.001)).tested == 0
    found = nothing_lost(h.rec(end=due + SETTLE))
    assert found.tested == 1 and found.violations[0].at == T(due) / 1000


@pytest.mark.parametrize("schedule", [manual(), at("2026-01-01T00:30:00Z"), cron("30 2 * * *")])
def test_schedules_without_a_slot_in_the_recording_owe_nothing(schedule):
    h = History().join("i1", 1).elect("i1", 3).define("job", schedule)
    assert nothing_lost(h.at(60).rec()).status == "not exercised"


def test_a_definition_that_cannot_be_read_is_said_not_hidden():
    h = cluster()
    h.events[0].data["definition"]["schedule"] = {"type": "moon"}
    assert "tick cannot be read" in nothing_lost(h.at(60).rec()).note


# Health: nothing is demanded of a cluster that cannot.


def test_without_an_instance_nothing_is_owed():
    found = nothing_lost(History().define("tick", every(5)).at(60).rec())
    assert found.status == "not exercised" and "no undisturbed 11.5 s" in found.note


def test_when_the_last_instance_is_killed_only_what_had_settled_is_owed():
    h = quiet(60)
    for name in ("i1", "i2"):
        h.faults.append({"at": T(40) / 1000, "kind": "kill", "target": name, "by": "plan"})
    h = without(h, 30, 35, 40, 45, 50, 55, 60)
    found = nothing_lost(h.rec(end=90))
    assert found.ok and found.tested == 5  # due by 28.5 s
    assert not nothing_lost(without(h, 25).rec(end=90)).ok


def test_a_fault_shortly_before_the_end_leaves_no_time_to_settle():
    h = without(quiet(60), 45)
    assert not nothing_lost(h.rec()).ok
    assert nothing_lost(h.at(50).fault("kill", "i1").rec(end=60)).ok


def test_trouble_with_the_server_is_no_loss_but_what_follows_may_be():
    h = without(quiet(60), 40, 45, 50)
    assert nothing_lost(h.at(39).fault("restart_server", "server", down=15).rec(end=60)).ok
    assert not nothing_lost(h.rec(end=80)).ok


def test_instances_that_drain_are_not_there():
    h = without(quiet(60), 45)
    h.events.append(History().at(50).add("INSTANCE_DRAINING", instance="i1", token=1).events[0])
    assert not nothing_lost(h.rec()).ok
    h.events.append(History().at(50).add("INSTANCE_DRAINING", instance="i2", token=2).events[0])
    h.events.sort(key=lambda e: e.at)
    assert nothing_lost(h.rec()).ok


def test_whoever_joins_under_a_killed_name_is_alive():
    h = History().define("tick", every(5)).join("i1", 1).elect("i1", 3).at(2).fault("kill", "i1")
    assert nothing_lost(h.rec(end=60)).tested == 0
    assert (
        nothing_lost(h.at(4).gone("i1", 1, until=5, reason="superseded").join("i1", 9).rec(end=60)).tested
        == 9
    )


def test_a_wrong_client_clock_is_no_excuse():
    assert not nothing_lost(without(quiet(60), 20).at(1).fault("skew", "i1", offset=3600).rec(end=60)).ok


def test_an_instance_that_died_unrecorded_is_known_by_its_loss():
    h = without(quiet(60), 45)
    h.add("INSTANCE_LOST", instance="i1", token=1, reason="lease", until=T(53))  # silent since 49 s
    assert nothing_lost(h.rec(end=60)).ok
    h.events[-1].data["until"] = T(52)  # that slot was due `settle` before the end, and nothing was wrong
    assert not nothing_lost(h.rec(end=60)).ok


# Executions that got stuck.


def stuck(h: History, end: float = 60) -> list[str]:
    return [v.sentence for v in nothing_lost(h.rec(end=end)).violations]


def test_a_trigger_beside_a_free_slot_must_start():
    h = quiet(60)
    h.events = sorted(
        [*h.events, *History().at(30).ready("job!1", source="trigger").events], key=lambda e: e.at
    )
    (sentence,) = stuck(h)
    assert sentence == "job!1 has been READY since 30.000 s and could have started from 30.000 s on"


def full() -> History:
    """Both instances are busy from 12 s to the end."""
    h = History().at(12)
    for n in range(4):
        h.ready(f"job!{n}", source="trigger").run(f"job!{n}", 50 + n, "i1" if n % 2 else "i2")
    return h


def test_a_trigger_waits_while_every_pool_is_full():
    h = History().join("i1", 1).join("i2", 2).elect("i1", 3)
    h.events += full().at(13).ready("job!9", source="trigger").events
    assert stuck(h) == []
    assert nothing_lost(h.rec(end=60)).tested == 5


@pytest.mark.parametrize(
    "options",
    [{"max_concurrency": 1}, {"rate_limit": {"count": 1, "per": 100.0}}, {"version": 2}],
)
def test_a_trigger_waits_for_a_limit_of_its_task_or_a_handler(options):
    h = History().join("i1", 1).elect("i1", 3)
    h.define("job", manual())
    h.events[-1].data["definition"].update(options)
    h.at(12).ready("job!0", source="trigger").run("job!0", 50, "i1").ready("job!1", source="trigger")
    assert stuck(h) == []
    h.events[2].data["definition"] = definition("job", manual())
    assert len(stuck(h)) == 1


def test_a_run_waits_for_its_tasks_lock():
    h = History().join("i1", 1).elect("i1", 3)
    h.at(12).ready(X(10), slot=10).run(X(10), 50, "i1").take("task:tick", 50, "i1", until=999, x=X(10))
    h.at(13).ready(X(13), slot=13)
    assert stuck(h) == []
    h.at(14).release("task:tick", 50, "i1", x=X(10)).done(X(10), 50, "i1")
    assert len(stuck(h)) == 1


def test_a_run_waits_for_the_rest_of_at_least_for():
    h = History().join("i1", 1).elect("i1", 3)
    h.at(12).ready(X(10), slot=10).run(X(10), 50, "i1").take(
        "task:tick", 50, "i1", until=999, least=40, x=X(10)
    )
    h.at(13).ready(X(13), slot=13).at(14).release("task:tick", 50, "i1", until=40, x=X(10)).done(
        X(10), 50, "i1"
    )
    assert stuck(h, end=45.5) == []
    assert len(stuck(h, end=45.6)) == 1


def test_a_late_fault_excuses_timers_but_not_work_that_lay_beside_a_free_slot():
    h = History().join("i1", 1).join("i2", 2).elect("i1", 3)
    h.at(12).ready("job!1", source="trigger").add("BUFFERED", "job!2", due=T(20), reason="delayed")
    assert len(stuck(h)) == 2
    (sentence,) = stuck(h.at(55).fault("kill", "i2"))
    assert sentence.startswith("job!1 ")


def test_an_instance_without_the_handler_is_no_place_to_start():
    h = History().join("i1", 1, handlers={"tick": 1}).elect("i1", 3).at(12).ready("job!0", source="trigger")
    assert stuck(h) == []


def test_what_is_under_way_is_not_lost():
    h = History().join("i1", 1).elect("i1", 3)
    h.at(12).ready("job!0", source="trigger").run("job!0", 50, "i1")
    h.at(13).add("BUFFERED", "job!1", due=T(500), reason="delayed")
    h.at(14).ready("job!2", source="trigger").run("job!2", 51, "i1").done(
        "job!2", 51, "i1", kind="RETRYING", retry_at=T(500)
    )
    h.at(15).add("BUFFERED", X(15, "job"), slot=T(15), due=T(15), reason="overlap")
    found = nothing_lost(h.rec(end=60))
    assert found.ok and found.tested == 3


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("BUFFERED", {"due": T(40), "reason": "delayed"}),
        ("RETRYING", {"retry_at": T(40)}),
        ("BUFFERED", {"due": T(12), "reason": "overlap"}),
    ],
)
def test_what_a_timer_or_a_turn_should_have_moved_on_is_lost(kind, data):
    h = History().join("i1", 1).elect("i1", 3).at(12).ready("job!1", source="trigger").run("job!1", 50, "i1")
    assert len(stuck(h.add(kind, "job!1", **data))) == 1


def test_an_attempt_past_its_hard_end_is_lost():
    h = (
        History()
        .join("i1", 1)
        .elect("i1", 3)
        .at(12)
        .ready("job!1", source="trigger")
        .run("job!1", 50, "i1", until=40)
    )
    assert "hard end was at 40.000 s" in stuck(h)[0]
    assert stuck(h, end=51) == []


def test_an_attempt_of_an_instance_that_is_gone_is_lost():
    h = cluster().at(12).ready("job!1", source="trigger").run("job!1", 50, "i1")
    assert not any("job!1" in sentence for sentence in stuck(h))
    assert any("job!1" in s for s in stuck(h.at(20).gone("i1", 1, until=19)))
    h.events.pop()
    assert any("job!1" in s for s in stuck(h.at(20).fault("kill", "i1")))


# Speed.


def test_a_long_history_of_many_slots_is_checked_within_seconds_and_sampled_beyond():
    h = History().join("i1", 1, pool_size=50).elect("i1", 3).define("tick", every(1), since=0)
    for n in range(20_000):
        h.at(n + 1).ready(X(n + 1), slot=n + 1).run(X(n + 1), 10 + n, "i1").done(X(n + 1), 10 + n, "i1")
    begin = time.perf_counter()
    report = h.rec().check()
    assert report.ok and report["nothing-lost"].tested > 19_900
    assert time.perf_counter() - begin < 10


def test_more_slots_than_the_budget_are_sampled_and_said_so():
    h = History().join("i1", 1).elect("i1", 3).define("tick", every("1ms"), since=0)
    h.add("SKIPPED", task="tick", first=T(0), last=T(400), count=None)
    found = nothing_lost(h.at(500).rec())
    assert not found.ok and "were looked at" in found.note
    assert 150_000 < found.tested <= 200_100
