"""`shrink`: a failing run of many faults becomes one of few that fails alike."""

from __future__ import annotations

import functools
import hashlib
import random

import pytest

from labsched import Scheduler, every, wire
from labsched.errors import ConfigError
from labsched.worlds import shrink
from labsched.worlds.shrinker_words import in_words
from labsched.worlds.simulated.rebuild import lasted, performed, rebuild
from labsched.worlds.simulated.simulation import Simulation

# A lease that is over is seen by nobody: what its instance held is never recovered.
BLIND = (
    ("k_leases, '-inf', num(now)", "k_leases, '-inf', 0"),
    ("redis.call('ZRANGE', k_leases, 0, 0, 'WITHSCORES')[2]", "nil"),
)


@functools.cache
def blind(name, trusted=False):
    source, sha = wire_script(name, trusted)
    if name != "recover":
        return source, sha
    for old, new in BLIND:
        assert source.count(old) == 1
        source = source.replace(old, new)
    return source, hashlib.sha1(source.encode()).hexdigest()


wire_script = wire.script


@pytest.fixture(scope="module", autouse=True)
def no_recovery():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "script", blind)
        yield


async def long(ctx):
    await ctx.work(2.5)


async def short(ctx):
    await ctx.work(0.2)


def some_app():
    app = Scheduler("fake")
    app.add("long", every("2s"), long, overlap="ALLOW")
    app.add("short", every("1s"), short)
    app.add("tick", every("700ms"), short)
    return app


def failing_run(seed):
    """One kill that matters among faults that do not."""
    rng = random.Random(seed)
    sim = Simulation(3, seed=seed, app=some_app(), messages=False)
    sim.at(6.137).kill("i2")
    for t in (2.21, 7.345, 10.8, 14.06):
        plan, name = sim.at(t + rng.random()), rng.choice(("i1", "i3"))
        kind = rng.choice(("slow", "pause", "lose"))
        if kind == "slow":
            plan.slow(name, 0.05).at(t + 2).heal(name)
        elif kind == "pause":
            plan.pause(name).at(t + 1.6).resume(name)
        else:
            plan.lose(name).at(t + 1.7).heal(name)
    with sim:
        return sim.run(until=31)


@pytest.fixture(scope="module")
def failing():
    return failing_run(1)


@pytest.fixture(scope="module")
def shrunk(failing):
    return shrink(failing, "bounded-recovery", app=some_app())


def test_a_run_of_nine_faults_shrinks_to_the_one_that_matters(failing, shrunk):
    assert len(failing.fault_log) == 9 and {"nothing-lost", "bounded-recovery"} == {
        result.id for result in failing.check() if not result.ok
    }
    small = shrunk.recording
    assert [(f["kind"], f["target"]) for f in small.fault_log] == [("kill", "i2")]
    assert len(small.options["instances"]) == 2 and len(small.options["handlers"]) == 1
    assert lasted(small) < 21 and shrunk.runs < 100


def test_the_same_guarantee_is_violated_and_the_sentence_says_it(shrunk):
    assert not shrunk.recording.check()["bounded-recovery"].ok and shrunk.violations
    t = shrunk.recording.fault_log[0]["t"]
    assert shrunk.sentence == f"i2 killed at {t:g} s; violated: bounded-recovery"
    assert f"in {shrunk.runs} runs: {shrunk.sentence}" in repr(shrunk)
    assert str(shrunk).startswith("seed 1, i") and shrunk.violations[0].sentence in str(shrunk)


def test_a_run_that_violates_only_another_guarantee_does_not_count(shrunk):
    # A lost slot shows itself only seconds after the recovery that is late.
    with rebuild(shrunk.recording, some_app()) as sim:
        longer = sim.run(until=24)
    found = shrink(longer, "nothing-lost", app=some_app())
    assert not found.recording.check()["nothing-lost"].ok
    assert shrunk.recording.check()["nothing-lost"].ok
    assert lasted(found.recording) > lasted(shrunk.recording)


def test_times_become_short_numbers(shrunk):
    (kill,) = shrunk.recording.fault_log
    assert len(f"{kill['t']:g}") <= len("9.1") and len(f"{lasted(shrunk.recording):g}") <= 4


def test_the_small_recording_has_its_messages_and_runs_again(shrunk):
    small = shrunk.recording
    assert len(small.message_log) > 100
    with rebuild(small, some_app()) as sim:
        assert sim.run(until=lasted(small)).digest == small.digest


def test_without_a_name_it_is_the_first_guarantee_that_was_violated(failing):
    found = shrink(failing, app=some_app(), limit=3)
    assert found.guarantee == "nothing-lost" and found.runs == 3


def test_every_step_is_a_run_and_the_limit_holds_it(failing):
    found = shrink(failing, "bounded-recovery", app=some_app(), limit=1)
    assert found.runs == 1 and performed(found.recording) != []
    assert found.recording.digest == failing.digest


def test_what_violates_nothing_or_something_else_is_refused(failing, monkeypatch):
    with pytest.raises(
        ConfigError, match="does not violate one-holder; it violates nothing-lost, bounded-rec"
    ):
        shrink(failing, "one-holder", app=some_app())
    with pytest.raises(ConfigError, match="the recording ran long, short, tick"):
        shrink(failing)
    monkeypatch.setattr(wire, "script", wire_script)
    with pytest.raises(ConfigError, match="run again, the recording does not violate bounded-recovery"):
        shrink(failing, "bounded-recovery", app=some_app())


# --- the sentence


def fault(t, kind, target="i1", **more):
    return {"t": t, "kind": kind, "target": target, "by": "plan", "at": 0.0, **more}


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ([], "no fault"),
        ([fault(3.2, "pause"), fault(15.2, "resume")], "i1 paused at 3.2 s for 12 s"),
        ([fault(3, "kill"), fault(5, "pause", "i2")], "i1 killed at 3 s; i2 paused at 5 s"),
        ([fault(3, "pause"), fault(5, "kill")], "i1 paused at 3 s and killed 2 s later"),
        (
            [fault(1, "partition", direction="replies"), fault(2, "pause", "i2"), fault(4, "heal", "all")],
            "i1 cut off at 1 s (direction replies) for 3 s; i2 paused at 2 s; all healed at 4 s",
        ),
        ([fault(2, "hog", duration=6.5)], "i1 hogged at 2 s (duration 6.5 s)"),
        (
            [fault(7, "failover", "server", lag=0.3, offset=None, down=0.0, lost=4)],
            "server failed over at 7 s (lag 0.3 s)",
        ),
        (
            [fault(7, "restart_server", "server", keep=False, down=1.0)],
            "server restarted at 7 s (keep False, down 1 s)",
        ),
    ],
)
def test_faults_are_told_in_words(faults, words):
    assert in_words(faults) == words
