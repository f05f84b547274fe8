"""Definitions: code defines, operators override, the higher version wins; pausing and catching up."""

from __future__ import annotations

import pytest

from labsched import cron, every
from labsched.definition import define
from labsched.errors import ConfigError, UnknownTask


async def test_a_definition_is_kept_whole_and_told(cluster):
    assert await cluster.define("a", every("1s"), tags=["x"], payload={"day": "today"}) == "ok"
    info = await cluster.registry.task("a")
    assert info.task == cluster.tasks["a"] and info.status == "ACTIVE" and info.status_by == "code"
    (event,) = await cluster.events("TASK_DEFINED")
    assert event["data"]["version"] == 1 and event["data"]["definition"]["tags"] == ["x"]
    assert event["data"]["since"] == info.watermark


async def test_the_same_definition_again_changes_nothing(cluster):
    await cluster.define("a", every("1s"))
    before = await cluster.dump()
    assert await cluster.define("a", every("1s")) == "same"
    await cluster.unchanged(before)


async def test_an_older_version_changes_nothing(cluster):
    await cluster.define("a", every("1s"), version=3)
    before = await cluster.dump()
    assert await cluster.define("a", every("2s"), version=2) == "older"
    await cluster.unchanged(before)


async def test_the_same_version_may_change_policies_but_not_its_handler(cluster):
    await cluster.define("a", every("1s"))
    assert await cluster.define("a", every("1s"), retries=5) == "ok"
    before = await cluster.dump()
    with pytest.raises(ConfigError, match=r"'a' is defined with handler 'a' already, not 'other'; give one"):
        await cluster.define("a", every("1s"), handler="other")
    await cluster.unchanged(before)
    assert await cluster.define("a", every("1s"), handler="other", version=2) == "ok"


async def test_a_change_is_a_new_revision_that_wakes_the_coordinators(cluster):
    await cluster.define("a", every("1s"))
    member = await cluster.join()
    rev = (await cluster.task())["rev"]
    await cluster.define("a", every("1s"), retries=5)
    assert (await cluster.task())["rev"] != rev and await cluster.box(member.box) == ["lead"]


@pytest.mark.parametrize("schedule", [every("2s"), cron("* * * * *")])
async def test_another_schedule_starts_from_now_on(cluster, schedule):
    await cluster.define("a", every("1s"))
    first = (await cluster.task())["watermark"]
    await cluster.passes(30)
    await cluster.define("a", every("1s"), retries=1)
    assert (await cluster.task())["watermark"] == first, "the same schedule goes on"
    await cluster.define("a", schedule, retries=1)
    assert int((await cluster.task())["watermark"]) >= int(first) + 30


async def test_a_watermark_never_goes_back(cluster):
    await cluster.define("a", every("1s"))
    later = await cluster.now() + 60_000
    await cluster.redis.hset(cluster.store.key("task", "a"), "watermark", later)
    await cluster.define("a", every("2s"))
    assert (await cluster.task())["watermark"] == str(later)


@pytest.mark.parametrize("status", ["PAUSED", "DISABLED"])
async def test_what_an_operator_set_survives_a_restart_and_a_new_version(cluster, status):
    await cluster.define("a", every("1s"))
    await cluster.registry.set_status("a", status)
    await cluster.define("a", every("1s"))
    await cluster.define("a", every("1s"), version=2)
    info = await cluster.registry.task("a")
    assert (info.status, info.status_by, info.task.version) == (status, "operator", 2)
    assert info.next_due is None


async def test_a_task_that_code_pauses_has_no_slots_until_resumed(cluster):
    await cluster.define("a", every("1s"), status="PAUSED")
    assert (await cluster.registry.task("a")).next_due is None
    assert await cluster.registry.set_status("a", "ACTIVE", "none")
    assert (await cluster.registry.task("a")).next_due is not None


async def test_code_that_makes_a_task_active_again_owes_nothing_of_before(cluster):
    await cluster.define("a", every("1s"), status="PAUSED")
    first = int((await cluster.task())["watermark"])
    await cluster.passes(30)
    await cluster.define("a", every("1s"))
    assert int((await cluster.task())["watermark"]) >= first + 30


async def test_pausing_takes_the_task_off_the_due_set_and_says_so_once(cluster):
    await cluster.define("a", every("1s"))
    assert await cluster.registry.set_status("a", "PAUSED") is True
    assert await cluster.registry.set_status("a", "PAUSED") is False
    assert len(await cluster.call("upcoming", "", 10)) == 2
    (event,) = await cluster.events("TASK_PAUSED")
    assert event["data"]["by"] == "operator" and event["data"]["status"] == "PAUSED"


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
async def test_a_resume_keeps_the_watermark_and_tells_the_planner_what_to_do_about_the_gap(cluster, catch_up):
    await cluster.define("a", every("1s"))
    member = await cluster.join()
    mark = (await cluster.task())["watermark"]
    await cluster.registry.set_status("a", "PAUSED")
    await cluster.passes(20)
    assert await cluster.registry.set_status("a", "ACTIVE", catch_up) is True
    assert await cluster.registry.set_status("a", "ACTIVE", catch_up) is False
    assert await cluster.box(member.box) == ["lead"]
    reply = await cluster.call("upcoming", "", 10)
    assert reply[2] == "a" and reply[5:] == [mark, catch_up]
    (event,) = await cluster.events("TASK_RESUMED")
    assert event["data"] == {"by": "operator", "catch_up": catch_up, "since": int(mark)}


async def test_a_plan_made_before_the_resume_does_not_count(cluster):
    await cluster.define("a", every("1s"))
    member = await cluster.join()
    rev = (await cluster.task())["rev"]
    await cluster.registry.set_status("a", "PAUSED")
    await cluster.registry.set_status("a", "ACTIVE", "all")
    slot = await cluster.now() - 10
    assert (await member.dispatch("a", slot, rev=rev))[2:] == ["stale"]
    assert (await member.dispatch("a", slot, catch_up=("", "")))[2:] == ["stale"]
    assert (await member.dispatch("a", slot, catch_up=("all", "all")))[2:] == ["ok"]
    assert (await member.dispatch("a", slot + 1, catch_up=("all", "")))[2:] == ["ok"]
    assert (await cluster.task())["catch_up"] == ""


async def test_unknown_tasks_cannot_be_paused(cluster):
    with pytest.raises(UnknownTask, match="no task 'a'"):
        await cluster.registry.set_status("a", "PAUSED")
    with pytest.raises(UnknownTask):
        await cluster.registry.task("a")


async def test_a_task_with_every_option_keeps_what_the_scripts_need(cluster):
    task = define(
        "a", every("1s"), rate_limit="10/s", max_concurrency=2, max_backlog=5, max_losses=4, priority="low",
        lock_at_most_for="1m", lock_at_least_for="1s", overlap="ALLOW",
    )  # fmt: skip
    await cluster.registry.define(task)
    h = await cluster.task()
    assert {k: h[k] for k in ("rate_count", "rate_ms", "max_concurrency", "max_backlog", "max_losses")} == {
        "rate_count": "10", "rate_ms": "1000", "max_concurrency": "2", "max_backlog": "5", "max_losses": "4",
    }  # fmt: skip
    assert (h["prio"], h["lock_most"], h["lock_least"], h["overlap"]) == ("low", "60000", "1000", "ALLOW")
    await cluster.define("a", every("1s"))
    assert (await cluster.task())["rate_count"] == "", "a limit that is taken away is gone"
