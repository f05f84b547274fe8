"""Answers to the exercises of notebook 17: plausible wrong ones with the guarantee that they break, and right ones."""

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager

from labsched.worlds import Simulation

TIMEOUT = "LABSCHED_SCHEDULER_INSTANCE_DRAIN_TIMEOUT"


@asynccontextmanager
async def only_a_client(web):
    async with web.state.scheduler:
        yield


@asynccontextmanager
async def all_of_one_name(web):
    async with web.state.scheduler.instance("web"):
        yield


@asynccontextmanager
async def named_by_the_machine(web):
    async with web.state.scheduler.instance(web.state.scheduler.host.hostname):
        yield


@asynccontextmanager
async def left_again_before_serving(web):
    async with web.state.scheduler.instance():
        pass
    yield


@asynccontextmanager
async def in_a_task_that_is_cancelled(web):
    async def member():
        async with web.state.scheduler.instance():
            await asyncio.Event().wait()

    running = asyncio.create_task(member())
    async with web.state.scheduler:
        yield
    running.cancel()


@asynccontextmanager
async def never_left(web):
    web.state.member = web.state.scheduler.instance()
    await web.state.member.__aenter__()
    yield


@asynccontextmanager
async def serving_before_the_yield(web):
    async with web.state.scheduler.instance() as member:
        await member.drained.wait()
        yield


@asynccontextmanager
async def serve(web):
    await web.state.scheduler.serve()
    yield


@asynccontextmanager
async def serve_in_a_task(web):
    async with web.state.scheduler:
        running = asyncio.create_task(web.state.scheduler.serve())
        yield
        running.cancel()


@asynccontextmanager
async def raised_at_its_end(web):
    async with web.state.scheduler.instance():
        yield
        raise RuntimeError("not so fast")


async def no_context_manager(web):
    async with web.state.scheduler.instance():
        yield


@asynccontextmanager
async def numbered_by_process(web):
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(web.state.scheduler.instance(f"web-{os.getpid()}"))
        yield


class Lifespan:
    def __init__(self, web):
        self.member = web.state.scheduler.instance()

    async def __aenter__(self):
        await self.member.__aenter__()

    async def __aexit__(self, *error):
        await self.member.__aexit__(*error)


PEOPLE = ["ann", "bob", "cem"]


def ran(make, *deeds, twice=True, until=9):
    app, sent = make()
    with Simulation(2, seed=1, app=app, messages=False) as sim:
        for verb, at in deeds:
            for name in ("i1", "i2")[: 1 if verb == "terminate" else 2]:
                getattr(sim.at(at), verb)(name)
        sim.run(until=1)
        for _ in range(2 if twice else 1):
            sim.call(lambda app: app.trigger("newsletter", to=PEOPLE))
        sim.run(until=until)
    return sorted(sent) == sorted(PEOPLE * (2 if twice else 1))


def once_and_calm(make):
    return ran(make, twice=False)


def twice_and_calm(make):
    return ran(make)


def without_sigterm(make):
    return ran(make) and ran(make, ("kill", 1.8), ("restart", 2.0))


def without_waiting_for_recovery(make):
    return ran(make) and ran(make, ("kill", 1.8), ("restart", 2.0), until=3)


def never_content(make):
    return False


def by_the_first_letter(make):
    app, sent = make()
    with Simulation(1, seed=1, app=app) as sim:
        sim.run(until=1)
        sim.call(lambda app: app.trigger("newsletter", to=PEOPLE))
        sim.run(until=9)
    return sent[7] == "ann"


def everything_to_everybody(make):
    faults = [[("kill", at), ("restart", at + 0.2)] for at in (1.75, 2.0, 2.2)]
    return ran(make) and all(ran(make, *fault) for fault in faults) and _each_drains(make)


def _each_drains(make):
    for name in ("i1", "i2"):
        app, sent = make()
        with Simulation(2, seed=3, app=app, messages=False) as sim:
            sim.run(until=1)
            sim.call(lambda app: app.trigger("newsletter", to=PEOPLE))
            sim.at(1.1).terminate(name)
            sim.run(until=6)
        if sorted(sent) != PEOPLE:
            return False
    return True


WRONG = {
    "17-grace": [
        ({}, "within-grace"),
        ({TIMEOUT: "20s"}, "within-grace"),
        ({TIMEOUT: "30s"}, "within-grace"),
        ({TIMEOUT: "5s"}, "not-cut-short"),
        ({TIMEOUT: "0"}, "not-cut-short"),
        ({TIMEOUT: "15s", "LABSCHED_SCHEDULER_NAMESPACE": "my-shop"}, "nothing-lost"),
        ({"LABSCHED_DRAIN_TIMEOUT": "15s"}, ""),
        ({TIMEOUT: "15 seconds"}, ""),
        ({TIMEOUT: 15}, ""),
        ("15s", ""),
    ],
    "17-lifespan": [
        (only_a_client, "nothing-lost"),
        (all_of_one_name, "every-process-joins"),
        (named_by_the_machine, "every-process-joins"),
        (left_again_before_serving, "nothing-lost"),
        (in_a_task_that_is_cancelled, "clean-drain"),
        (never_left, "clean-drain"),
        (serving_before_the_yield, "never-stuck"),
        (serve_in_a_task, "nothing-lost"),
        (serve, ""),
        (raised_at_its_end, "clean-drain"),
        (no_context_manager, ""),
    ],
    "17-test": [
        (once_and_calm, "mutants-killed"),
        (twice_and_calm, "mutants-killed"),
        (without_sigterm, "mutants-killed"),
        (without_waiting_for_recovery, "no-false-alarm"),
        (never_content, "no-false-alarm"),
        (by_the_first_letter, ""),
    ],
}
RIGHT = {
    "17-grace": [{TIMEOUT: "PT18S"}, {TIMEOUT: "13500ms", "LABSCHED_SCHEDULER_POOL_SIZE": "5"}],
    "17-lifespan": [numbered_by_process, Lifespan],
    "17-test": [everything_to_everybody],
}
