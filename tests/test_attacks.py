"""Defects that attacks in the simulated world found, each as the run that showed it."""

from __future__ import annotations

import collections
import random

import pytest
from fakeredis import FakeAsyncRedis

from labsched import LockLost, Scheduler, Settings, every, manual
from labsched.clock import Host
from labsched.coordinator import Coordinator
from labsched.election import Election
from labsched.locks import LockManager
from labsched.store import Store
from labsched.worlds import Simulation
from labsched.worlds.simulated.clocks import sim_host
from labsched.worlds.simulated.links import open_simulated


@pytest.fixture
def world():
    made = []

    def make(*args, **options):
        made.append(Simulation(*args, **options))
        return made[-1]

    yield make
    for sim in made:
        sim.close()


async def quick(ctx):
    await ctx.work(0.1)


def one_task(schedule, **options):
    app = Scheduler("fake")
    app.add("t", schedule, quick, **options)
    return app


def test_a_server_that_forgot_ends_is_not_asked_thousands_of_times(world):
    async def body(ctx):
        await ctx.work(random.Random(ctx.token).choice([0.05, 0.5, 2]))

    app = Scheduler("fake", settings=Settings(pool_size=3))
    app.add("a", every("200ms"), body, overlap="ALLOW")
    app.add("d", every("300ms"), body, overlap="ALLOW", max_concurrency=2)
    sim = world(2, seed=1, app=app)
    sim.at(3).failover(lag=0.5)
    sent = sim.run(until=12).messages.query("kind == 'request'")
    claims = sent[sent.name.str.startswith("claim", na=False)].groupby("source").size()
    assert claims.max() < 400, claims  # it was 2,500 a second


@pytest.mark.parametrize("cut", [1, 2])
def test_a_coordinator_that_missed_its_hint_finds_what_is_overdue(world, cut):
    sim = world(3, seed=1, app=one_task(every("7s")))
    sim.run(until=5)
    sim.call(lambda app: app.pause("t"))
    sim.run(until=20)
    leader = sim.leader
    sim.partition(leader, "replies").at(20 + cut).heal(leader)
    sim.call(lambda app: app.resume("t"))
    rec = sim.run(until=60)
    assert rec.check()["nothing-lost"].tested and rec.check().ok
    assert (rec.executions.started > 20).sum() >= 4


def test_a_trigger_for_later_runs_although_the_leader_never_heard_of_it(world):
    sim = world(3, seed=1, app=one_task(manual()))
    sim.run(until=5)
    sim.partition(sim.leader, "replies").at(6).heal(sim.leader)
    later = sim.servers[0].clock.now() + 3

    async def use(app):
        from datetime import UTC, datetime

        await app.trigger("t", _at=datetime.fromtimestamp(later, UTC))

    sim.call(use)
    rec = sim.run(until=15)
    assert list(rec.executions.state) == ["SUCCEEDED"] and rec.executions.started.iloc[0] < 11


def test_with_election_on_nothing_is_sent_without_an_epoch():
    store, host, settings = Store(FakeAsyncRedis(), "x"), Host(), Settings()
    coordinator = Coordinator(store, host, settings, "i1", Election(store, host, settings, "i1"), "")
    assert coordinator._who() == (
        "i1",
        "",
        "0",
    )  # forgotten during an await: no act of a cluster without election
    settings = Settings(leader_election=False)
    coordinator = Coordinator(store, host, settings, "i1", Election(store, host, settings, "i1"), "")
    assert coordinator._who() == ("i1", "", "")


def managers(sim, *names):
    nodes = [sim.node(name, order) for order, name in enumerate(names, 1)]
    return nodes, [
        LockManager(open_simulated(sim.servers[0], node).redis, "x", host=sim_host(node, node.name))
        for node in nodes
    ]


def test_a_lock_that_is_being_shortened_is_over_by_its_new_end_whenever_the_reply_comes(world):
    sim, seen = world(0), collections.OrderedDict()
    (a, b), (ours, theirs) = managers(sim, "a", "b")

    async def shorten():
        seen["lock"] = lock = await ours.acquire("L", 20)
        sim.network.slow("*", "a", added=1.5)
        with pytest.raises(LockLost):
            await lock.extend(0.3)
            lock.assert_held()

    async def take():
        assert await theirs.wait("L", 20)
        seen["held"] = seen["lock"].held

    a.create_task(shorten())
    sim.run(until=0.01)
    b.create_task(take())
    sim.run(until=5)
    assert seen["held"] is False


def test_a_block_is_not_entered_with_a_lock_that_is_over(world):
    sim, ran = world(0), []
    (a,), (ours,) = managers(sim, "a")

    async def hold():
        await ours.acquire("X", 1)
        sim.network.slow("*", "a", added=1.0)
        with pytest.raises(LockLost):
            async with ours.hold("M", 0.5):
                ran.append(True)

    a.create_task(hold())
    sim.run(until=12)
    assert ran == []


@pytest.mark.parametrize("trouble", ["fill", "make_read_only"])
def test_a_drain_outlasts_a_server_that_refuses_for_a_moment(world, trouble):
    async def long(ctx):
        await ctx.work(6)

    app = Scheduler("fake")
    app.add("t", every("5s"), long)
    sim = world(2, seed=1, app=app)
    sim.run(until=6)
    (busy,) = sim.recording().attempts.instance
    getattr(sim, trouble)().terminate(busy).at(6.7).heal("server")
    rec = sim.run(until=20)
    assert rec.attempts.outcome.iloc[0] == "SUCCEEDED" and "LOST" not in set(rec.attempts.outcome)
    assert rec.check().ok


def test_a_hard_end_is_noticed_long_before_a_long_lease_ends(world):
    async def stuck(ctx):
        await ctx.work(50)

    settings = Settings(instance_lease=60, lease_margin=5, pool_size=4)
    app = Scheduler("fake", settings=settings)
    app.add("t", every("40s"), stuck, lock_at_most_for="2s")
    rec = world(2, seed=1, app=app).run(until=55)
    first = rec.attempts.iloc[0]
    assert first.outcome == "LOST" and first.duration < 2 + 5 + 1
