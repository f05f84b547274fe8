"""What asyncio offers works on the simulated loop, and native SimPy processes run beside it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from contextlib import closing

import pytest
from simkit import forever, sleeper

from labsched.worlds.simulated.bridge import event_of, happened
from labsched.worlds.simulated.errors import NotSimulated
from labsched.worlds.simulated.loop import SimLoop

# ---------------------------------------------------------------------------------- asyncio's parts


def test_task_groups_timeouts_queues_locks_and_gather_work(sim_loop):
    async def main():
        log = []
        queue, lock = asyncio.Queue(maxsize=1), asyncio.Lock()

        async def produce():
            for i in range(3):
                await asyncio.sleep(1)
                await queue.put(i)

        async def hold(name):
            async with lock:
                await asyncio.sleep(2)
                log.append((name, sim_loop.time()))

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(hold("a"))
            group.create_task(hold("b"))
            for _ in range(3):
                log.append((await queue.get(), sim_loop.time()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await forever()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(forever(), 1)
        log.append(await asyncio.gather(sleeper(2, "x"), sleeper(1, "y")))
        return log, sim_loop.time()

    log, end = sim_loop.run(main())
    assert log == [(0, 1), ("a", 2), (1, 2), (2, 3), ("b", 4), ["x", "y"]]
    assert end == 12


def test_wait_and_as_completed_work(sim_loop):
    async def main():
        tasks = [asyncio.create_task(sleeper(i, i)) for i in (3, 1, 2)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        order = [await task for task in asyncio.as_completed(tasks)]
        return [task.result() for task in done], len(pending), order

    assert sim_loop.run(main()) == ([1], 2, [1, 2, 3])


def test_the_abort_of_a_task_group_reaches_its_tasks_in_the_order_of_their_making(sim_loop):
    cancelled = []

    async def member(i):
        try:
            await forever()
        finally:
            cancelled.append(i)

    async def main():
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for i in range(40):
                    group.create_task(member(i))
                await asyncio.sleep(1)
                raise ValueError

    sim_loop.run(main())
    assert sorted(cancelled) == list(range(40))
    first = cancelled.index(0)  # a set of numbers: ascending, but for where the table wraps around
    assert cancelled[first:] + cancelled[:first] == list(range(40))


def test_futures_in_a_set_come_out_in_the_order_in_which_they_went_in(sim_loop):
    futures = [sim_loop.create_future() for _ in range(30)]
    places = {future: i for i, future in enumerate(futures)}
    out = [places[future] for future in set(futures)]
    assert out[out.index(0) :] + out[: out.index(0)] == list(range(30))


def test_context_variables_are_carried_as_in_asyncio(sim_loop):
    var = contextvars.ContextVar("var", default="none")

    async def child():
        seen = var.get()
        var.set("child")
        return seen

    async def main():
        var.set("main")
        return await asyncio.create_task(child()), var.get()

    var.set("caller")
    assert sim_loop.run(main()) == ("main", "main")
    assert var.get() == "caller"


def test_async_generators_are_closed_when_they_are_dropped(sim_loop):
    closed = []

    async def numbers():
        try:
            for i in range(10):
                yield i
        finally:
            await asyncio.sleep(1)
            closed.append(sim_loop.time())

    async def main():
        async for i in numbers():
            if i == 3:
                break
        await asyncio.sleep(5)

    sim_loop.run(main())
    assert closed == [1]


def test_default_names_of_tasks_count_on_their_own_loop(sim_loop):
    async def name():
        return asyncio.current_task().get_name()

    with closing(SimLoop()) as other:
        assert [loop.run(name()) for loop in (sim_loop, sim_loop, other)] == ["Task-1", "Task-2", "Task-1"]


def test_a_task_that_nobody_else_holds_lives_until_it_is_done(sim_loop):
    async def main():
        asyncio.create_task(lonely())  # noqa: RUF006
        await asyncio.sleep(1)
        gc.collect()
        await asyncio.sleep(10)

    done = []

    async def lonely():
        future = asyncio.get_running_loop().create_future()
        sim_loop.call_later(5, lambda: future.set_result(None))
        await future
        done.append(sim_loop.time())

    sim_loop.run(main())
    assert done == [5]


def test_what_does_not_exist_in_a_simulated_world_is_refused_in_one_sentence(sim_loop):
    async def threads():
        await asyncio.to_thread(time.sleep, 1)

    async def sockets():
        await asyncio.open_connection("localhost", 6379)

    async def processes():
        await asyncio.create_subprocess_exec("true")

    with pytest.raises(NotSimulated, match=r"sleep.* thread"):
        sim_loop.run(threads())
    with pytest.raises(NotSimulated, match="create_connection|getaddrinfo"):
        sim_loop.run(sockets())
    with pytest.raises(NotSimulated, match="subprocess_exec"):
        sim_loop.run(processes())
    with pytest.raises(NotSimulated, match="add_reader"):
        sim_loop.add_reader(0, print)


# ---------------------------------------------------------------------------------- SimPy's parts


def test_native_processes_run_on_the_same_clock_and_in_a_fixed_order(sim_loop):
    log = []

    def process(env):
        for _ in range(3):
            yield env.timeout(1)
            log.append(("process", env.now))

    async def tick():
        for _ in range(3):
            await asyncio.sleep(1)
            log.append(("task", sim_loop.time()))

    sim_loop.env.process(process(sim_loop.env))
    sim_loop.create_task(tick())
    sim_loop.run()
    assert log == [(who, t) for t in (1, 2, 3) for who in ("process", "task")]


def test_a_process_may_start_tasks_and_each_may_wait_for_the_other(sim_loop):
    def process(env):
        value = yield event_of(sim_loop, sleeper(2, "from the task"))
        yield env.timeout(1)
        return value, env.now

    async def main():
        return await happened(sim_loop.env.process(process(sim_loop.env)))

    assert sim_loop.run(main()) == ("from the task", 3)
    assert sim_loop.run(main()) == ("from the task", 6)


def test_failures_cross_between_processes_and_tasks(sim_loop):
    async def fails():
        await asyncio.sleep(1)
        raise KeyError("task")

    def process(env):
        try:
            yield event_of(sim_loop, fails())
        except KeyError:
            raise ValueError("process") from None

    async def main():
        with pytest.raises(ValueError, match="process"):
            await happened(sim_loop.env.process(process(sim_loop.env)))
        event = sim_loop.env.timeout(1, "value")
        await asyncio.sleep(2)
        return await happened(event)  # long past

    assert sim_loop.run(main()) == "value"


def test_a_process_that_fails_by_itself_fails_the_run(sim_loop):
    def process(env):
        yield env.timeout(1)
        raise KeyError("process")

    sim_loop.env.process(process(sim_loop.env))
    with pytest.raises(KeyError, match="process"):
        sim_loop.run(until=5)
    sim_loop.run(until=5)
