"""What a program under exploration may not do: each gets one line, with the client and the line of its code."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import inspect
import logging
import time

import pytest

from labsched.errors import ConfigError
from labsched.worlds import explore
from labsched.worlds.explorer import BadProgram


def line_of(program, words):
    """The number of the program's line that has these words."""
    lines, first = inspect.getsourcelines(program)
    return first + next(i for i, line in enumerate(lines) if words in line)


def refused(program, **options):
    with pytest.raises(BadProgram) as caught:
        explore(program, **options)
    assert "\n" not in str(caught.value)
    return caught.value


async def raises(client, redis):
    if await redis.incr("n") == 2:
        raise KeyError("second")


async def fails_in_a_library(client, redis):
    await redis.set("k", "text")
    await redis.incr("k")


async def never_ends(client, redis):
    while not await redis.set("lock", client, nx=True):
        pass
    return True


async def sleeps(client, redis):
    await redis.get("k")
    time.sleep(0.01)  # noqa: ASYNC251


async def reads_the_clock(client, redis):
    return await redis.set("k", str(time.time()))


async def reads_the_date(client, redis):
    return await redis.set("k", str(datetime.datetime.now()))


async def hides_it(client, redis):
    with contextlib.suppress(Exception):
        time.monotonic()
    await redis.get("k")


async def sleeps_in_asyncio(client, redis):
    await redis.get("k")
    await asyncio.sleep(0.01)


async def waits_for_a_list(client, redis):
    await redis.blpop("list", timeout=1)


def test_an_exception_is_told_with_its_client_and_line_and_order():
    error = refused(raises)
    assert (error.client, error.order, error.line) == ("B", "AB", line_of(raises, "raise KeyError"))
    assert str(error) == (
        f"client B raised KeyError: 'second', line {error.line}: raise KeyError(\"second\") (order: AB)"
    )
    assert isinstance(error.__cause__, KeyError)


def test_an_exception_inside_a_library_is_told_with_the_line_that_called_it():
    error = refused(fails_in_a_library)
    assert error.line == line_of(fails_in_a_library, "incr") and "not an integer" in str(error)


def test_a_program_that_never_ends_is_stopped_after_ten_thousand_commands():
    error = refused(never_ends)
    assert "did not return within 10,000 commands" in str(error)
    assert error.line == line_of(never_ends, "while not")
    assert len(error.order) == 10_000 and len(str(error)) < 250


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        (sleeps, "time.sleep", "calls time.sleep"),
        (reads_the_clock, "time.time", "calls time.time"),
        (reads_the_date, "datetime.now", "calls datetime.now"),
        (hides_it, "time.monotonic", "calls time.monotonic"),
        (sleeps_in_asyncio, "asyncio.sleep", "needs asyncio's loop"),
        (waits_for_a_list, "blpop", "waits in BLPOP"),
    ],
)
def test_a_program_may_not_wait_for_a_clock(program, words, said):
    error = refused(program)
    assert said in str(error) and error.client == "A" and error.line == line_of(program, words)


def test_in_a_notebook_too_it_does_not_meet_the_loop_that_runs():
    async def cell():
        return refused(sleeps_in_asyncio)

    assert "needs asyncio's loop" in str(asyncio.run(cell()))


def test_a_step_of_asyncio_that_waits_for_nothing_is_fine():
    async def program(client, redis):
        await asyncio.sleep(0)
        return await redis.incr("n") == 1

    assert explore(program).total == 2


def test_what_libraries_do_with_the_clock_is_their_affair(caplog):
    async def program(client, redis):
        logging.getLogger("x").warning("a log record has a time")
        return await redis.incr("n") == 1

    assert explore(program).bad == 0


def test_the_clock_is_not_watched_any_more_afterwards():
    refused(sleeps)
    time.sleep(0)
    assert time.time() > 0


def test_a_program_that_remembers_the_last_run_is_found_out():
    runs = []

    async def program(client, redis):
        runs.append(client)
        if len(runs) > 2:
            return
        await redis.incr("n")

    assert "did something else when the same order was run again" in str(refused(program))


def test_so_is_one_of_whom_only_one_client_goes_another_way():
    runs = []

    async def program(client, redis):
        runs.append(client)
        if client == "B" and len(runs) > 2:
            return
        await redis.incr("n")
        await redis.incr("n")

    assert "did something else when the same order was run again" in str(refused(program))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: explore(raises, 0), "clients is 0"),
        (lambda: explore(raises, 26), "clients is 26"),
        (lambda: explore(raises, expire=0), "expire is 0"),
        (lambda: explore(lambda client, redis: 5), "no `async def program"),
        (lambda: explore(never_ends, 1, invariant=bool, crashes=True, limit=1), "more than 1 orders"),
    ],
)
def test_a_wrong_call_gets_one_line(call, said):
    with pytest.raises(ConfigError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
