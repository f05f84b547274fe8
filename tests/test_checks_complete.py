"""history-complete, and what the report makes of all twelve."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from histories import EMPTY, T0, History, T, X, cluster, definition, quiet, slot

from labsched import Scheduler
from labsched.context import Context
from labsched.schedule import every
from labsched.worlds import Simulation
from labsched.worlds.checks import CHECKS, GUARANTEES, CheckResult, Report, Violation, history_complete

# --- history-complete


def busy() -> Scheduler:
    """A task that is run every second, for half of one."""
    app = Scheduler("fake")

    async def work(ctx: Context) -> None:
        await ctx.work(0.5)

    app.add("work", every("1s"), work)
    return app


def story() -> History:
    """Something of everything: done, running, waiting, skipped, locks, a lost instance, a second leader."""
    h = slot(cluster(), 5, 10)
    h.at(10).ready(X(10), slot=10).run(X(10), 11, "i1").take("task:tick", 11, "i1", until=1810, x=X(10))
    h.add("SKIPPED", X(15), first=T(15), last=T(15), count=1, reason="overlap")
    h.ready("job!1", source="trigger").take("a", 12, "i2", until=90, least=50)
    h.at(20).gone("i1", 1, until=19).release("task:tick", 11, "i1", x=X(10)).lose(X(10), 11, "i1")
    return h.elect("i2", 13, token=2).run(X(10), 14, "i2", attempt=2).release("a", 12, "i2", until=50)


def final(**changes: Any) -> dict[str, Any]:
    end: dict[str, Any] = {
        "executions": {
            X(5): {
                "state": "SUCCEEDED",
                "task": "tick",
                "attempt": 1,
                "token": 10,
                "instance": "i1",
                "slot": T(5),
            },
            X(10): {
                "state": "RUNNING",
                "task": "tick",
                "attempt": 2,
                "token": 14,
                "instance": "i2",
                "slot": T(10),
            },
            "job!1": {
                "state": "READY",
                "task": "job",
                "attempt": 0,
                "token": None,
                "instance": None,
                "slot": None,
            },
        },
        "tasks": {
            "tick": {"status": "ACTIVE", "watermark": T(15), "definition": definition("tick", every(5))}
        },
        "locks": {"a": {"owner": "i2", "token": 12, "until": T(50)}},
        "leader": {"instance": "i2", "incarnation": 2, "epoch": 13, "until": T(33)},
        "instances": {"i2": {"incarnation": 2, "until": T(34)}},
        "at": T(30),
        "last_event": None,
    }
    return end | changes


def judge(end: dict[str, Any] | None, h: History | None = None, **fields: Any) -> CheckResult:
    return history_complete((h or story()).rec(end=30, final=end, **fields))


def test_events_and_final_state_agree():
    found = judge(final())
    assert found.ok and found.tested == 3 + 1 + 1 + 1 + 1


def test_a_definition_kept_as_text_is_the_same_definition():
    text = msgspec.json.encode(definition("tick", every(5))).decode()
    assert judge(final(tasks={"tick": {"status": "ACTIVE", "watermark": T(15), "definition": text}})).ok


def test_without_a_final_snapshot_nothing_is_claimed():
    assert judge(None).status == "not exercised"


def changed(path: str, value: Any) -> dict[str, Any]:
    end = copy.deepcopy(final())
    *parents, last = path.split("/")
    place = end
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return end


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"executions/{X(5)}/state", "FAILED"),
        (f"executions/{X(5)}", ...),
        (f"executions/{X(10)}/token", 11),
        (f"executions/{X(10)}/attempt", 1),
        (f"executions/{X(10)}/instance", "i1"),
        ("executions/job!1", ...),
        ("executions/job!2", {"state": "READY", "task": "job"}),
        ("executions/job!3", {"state": "SUCCEEDED", "task": "job"}),
        ("tasks/tick/status", "PAUSED"),
        ("tasks/tick/watermark", T(20)),
        ("tasks/tick/watermark", T(10)),
        ("tasks/tick/definition", {"name": "other"}),
        ("tasks/tick", ...),
        ("tasks/job", {"status": "ACTIVE", "watermark": None, "definition": {}}),
        ("locks/a/token", 99),
        ("locks/a/owner", "i1"),
        ("locks/a/until", T(90)),
        ("locks/a", ...),
        ("locks/b", {"owner": "i1", "token": 1, "until": T(31)}),
        ("leader/epoch", 3),
        ("instances/i2/incarnation", 9),
        ("instances/i1", {"incarnation": 1, "until": T(31)}),
        ("instances/i2", ...),
    ],
)
def test_a_difference_is_a_violation(path, value):
    found = judge(changed(path, value))
    assert len(found.violations) == 1, found.violations
    assert found.violations[0].at == T(30) / 1000


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("leader/until", T(99)),  # renewals have no event
        ("instances/i2/until", T(99)),
        ("leader", None),  # its lease ended at 25 s, as far as the events say
        ("locks/old", {"owner": "i1", "token": 1, "until": T(29)}),  # long over
        (f"executions/{X(5)}/token", None),
    ],
)
def test_what_needs_no_event_is_no_difference(path, value):
    assert judge(changed(path, value)).ok


def test_a_leader_whose_granted_lease_still_lasts_cannot_vanish():
    h = story().at(28).elect("i1", 20)
    assert not judge(final(leader=None), h).ok


def test_a_leader_who_stepped_down_is_gone():
    h = story().at(29).add("LEADER_RESIGNED", instance="i2", epoch=13)
    assert judge(final(leader=None), h).ok
    assert not judge(final(), h).ok


def test_what_was_forgotten_may_be_missing_but_not_more():
    h = slot(story(), 25, 20, "i2", epoch=13)
    end = changed(f"executions/{X(5)}", ...)
    end["executions"][X(25)] = {"state": "SUCCEEDED", "task": "tick", "slot": T(25)}
    end["tasks"]["tick"]["watermark"] = T(25)
    assert not judge(end, h).ok
    assert judge(end, h.add("FORGOTTEN", count=1, before=T(9))).ok


def test_paused_and_resumed_change_the_status():
    h = story().at(25).add("TASK_PAUSED", task="tick", by="operator", since=T(25))
    assert judge(changed("tasks/tick/status", "PAUSED"), h).ok
    h.add("TASK_RESUMED", task="tick", by="operator", since=T(15), catch_up="latest")
    assert judge(final(), h).ok
    assert not judge(changed("tasks/tick/watermark", T(25)), h).ok


def test_what_is_paused_or_resumed_was_not_before():
    again = story().at(25).add("TASK_RESUMED", task="tick", by="operator", since=T(15), catch_up="latest")
    (violation,) = judge(final(), again).violations
    assert violation.sentence.startswith("tick became ACTIVE at 25.000 s, and nothing says")
    h = story().at(25).add("TASK_PAUSED", task="tick", since=T(25), status="PAUSED")
    h.add("TASK_PAUSED", task="tick", since=T(25), status="DISABLED")
    assert judge(changed("tasks/tick/status", "DISABLED"), h).ok
    h.add("TASK_PAUSED", task="tick", since=T(25), status="DISABLED")
    assert not judge(changed("tasks/tick/status", "DISABLED"), h).ok


def test_whoever_takes_a_name_over_ends_the_one_before():
    h = story().at(25).gone("i2", 2, until=29, reason="superseded").join("i2", 15)
    assert judge(changed("instances/i2/incarnation", 15), h).ok
    del h.events[-2]
    (violation,) = judge(changed("instances/i2/incarnation", 15), h).violations
    assert violation.sentence.startswith("incarnation of i2: the events say 2 lives")


def test_a_resume_that_catches_up_nothing_moves_the_watermark_to_its_time():
    h = story().at(25).add("TASK_PAUSED", task="tick", by="operator", since=T(25))
    h.add("TASK_RESUMED", task="tick", by="operator", since=T(15), catch_up="none")
    assert judge(changed("tasks/tick/watermark", T(27)), h).ok
    assert not judge(changed("tasks/tick/watermark", T(31)), h).ok


def test_the_first_snapshot_is_where_the_replay_begins():
    start = EMPTY | {
        "executions": {
            "job!0": {"state": "RUNNING", "task": "job", "token": 4, "instance": "i9", "attempt": 1}
        },
        "tasks": {"job": {"status": "PAUSED", "watermark": T(3), "definition": {"name": "job"}}},
        "locks": {"b": {"owner": "x", "token": 5, "until": T(99)}},
        "leader": {"instance": "i9", "incarnation": 3, "epoch": 6, "until": T(1)},
        "instances": {"i9": {"incarnation": 3, "until": T(3)}},
    }
    same = copy.deepcopy(start) | {"at": T(30)}
    assert judge(same, History(), snapshot=start).ok
    assert judge(same, History(), snapshot=start).tested == 5
    same["tasks"]["job"]["watermark"] = T(4)
    assert not judge(same, History(), snapshot=start).ok
    assert not judge(copy.deepcopy(start) | {"executions": {}}, History(), snapshot=start).ok


@pytest.mark.parametrize("offset", [-1, -3, -30])
def test_a_server_clock_that_is_set_back_leaves_no_lock_that_was_let_go(offset):
    with Simulation(3, seed=1, app=busy(), messages=False) as sim:
        sim.at(38).skew("server", offset)
        assert sim.run(until=40).check().violations == []


def test_a_lock_that_was_let_go_and_is_held_by_another_in_the_end_is_told_although_the_clock_went_back():
    h = History().take("a", 1, "i1", until=50).at(38).release("a", 1, "i1")
    end = EMPTY | {"at": T(36), "locks": {"a": {"owner": "i2", "token": 2, "until": T(40)}}}
    (violation,) = history_complete(h.rec(end=36, final=end)).violations
    assert "lock a" in violation.sentence


# --- the report


def test_there_is_one_check_for_each_guarantee_of_the_table():
    assert list(CHECKS) == list(GUARANTEES)
    assert all(check.__name__ == guarantee.replace("-", "_") for guarantee, check in CHECKS.items())


def test_a_quiet_run_holds_and_says_what_it_did_not_exercise():
    report = quiet(60).rec().check()
    assert report.ok and not report.history_reset and report.violations == []
    assert [r.id for r in report] == list(GUARANTEES) and len(report) == 12
    assert {r.id for r in report if r.status == "held"} == {
        "one-execution-per-slot", "nothing-lost", "legal-transitions",
    }  # fmt: skip
    assert report["nothing-lost"].tested == 9
    with pytest.raises(KeyError, match="no guarantee 'luck'"):
        report["luck"]


def test_settle_is_handed_on():
    assert quiet(60).rec().check(settle=30)["nothing-lost"].tested == 6


def test_the_table_has_a_fixed_format():
    violation = Violation("b", "it broke at 3.000 s", 3.0, ("1-0",))
    one = CheckResult("one-holder", 3)
    two = CheckResult("clean-drain", 12, (violation, violation))
    assert str(Report((one, two, CheckResult("nothing-lost", 0, (), "no instance")))) == (
        "guarantee                tested  verdict        what was seen\n"
        "one-holder                    3  held           no lock had two holders, and tokens only grew\n"
        "clean-drain                  12  VIOLATED       it broke at 3.000 s (and 1 more)\n"
        "nothing-lost                  0  not exercised  no instance"
    )


def reset(kind: str) -> tuple[History, dict[str, Any]]:
    h, fields = quiet(30), dict[str, Any]()
    if kind == "ids go back":
        h.events.append(msgspec.structs.replace(h.events[-1], id=h.events[3].id))
    elif kind == "an id twice":
        h.events.append(h.events[-1])
    elif kind == "snapshot is ahead":
        fields["snapshot"] = EMPTY | {"last_event": f"{T(1)}-0"}
    elif kind == "final is behind":
        fields["final"] = EMPTY | {"last_event": h.events[-2].id}
    elif kind == "final is ahead":
        fields["final"] = EMPTY | {"last_event": f"{T(31)}-0"}
    elif kind == "the world says so":
        h.fault("failover", "server", lost=3)
    else:
        h.fault("restart_server", "server", keep=False)
    return h, fields


@pytest.mark.parametrize(
    "kind",
    [
        "ids go back",
        "an id twice",
        "snapshot is ahead",
        "final is behind",
        "final is ahead",
        "the world says so",
        "the data is thrown",
    ],
)
def test_after_a_reset_nothing_is_claimed_that_needs_one_history(kind):
    h, fields = reset(kind)
    h.at(59).done(X(5), 99, "i1")  # would break three guarantees
    fields = {k: v | {"last_event": v["last_event"]} for k, v in fields.items()}
    report = h.rec(end=60, **fields).check()
    assert report.history_reset and report.ok
    assert {r.status for r in report} == {"history reset", "not exercised"}
    assert report["legal-transitions"].tested == 0


def test_a_whole_history_is_no_reset():
    h = quiet(30)
    rec = h.rec(snapshot=EMPTY | {"last_event": f"{T0 - 1}-7"}, final=EMPTY | {"last_event": h.events[-1].id})
    assert not rec.check().history_reset
    assert not History().rec(final=EMPTY).check().history_reset


def test_after_a_reset_tokens_must_still_grow_where_the_clock_did_not_go_back():
    def tokens(second: int, back: bool) -> bool:
        h = History().at(10).take("a", 5, "i1", until=11).fault("failover", "server", lost=1)
        return h.at(5 if back else 12).take("a", second, "i2", until=30).rec(end=40).check()["one-holder"].ok

    assert tokens(6, back=False) and not tokens(5, back=False)
    assert tokens(4, back=True)  # the new server's clock is behind: no promise


def test_a_violation_names_events_of_the_recording():
    h = quiet(30).at(31).done(X(5), 10, "i1")
    rec = h.rec()
    ids = {e.id for e in rec.history}
    report = rec.check()
    assert {"no-stale-write", "effect-once", "legal-transitions"} <= {v.guarantee for v in report.violations}
    assert all(set(v.events) <= ids and v.events for v in report.violations)
