"""`explore`: every order of a small program's commands, counted exactly."""

from __future__ import annotations

import asyncio
import gc
from math import comb, factorial

import pytest
from redis.exceptions import WatchError

from labsched.errors import ConfigError
from labsched.worlds import explore, play

LOCK = "lock"


async def look_then_set(client, redis):
    if await redis.get(LOCK) is None:
        await redis.set(LOCK, client)
        return True
    return False


async def setnx_then_expire(client, redis):
    if await redis.setnx(LOCK, client):
        await redis.expire(LOCK, 10)
        return True
    return False


async def set_nx_px(client, redis):
    return bool(await redis.set(LOCK, client, nx=True, px=10_000))


async def watch_then_multi(client, redis):
    async with redis.pipeline() as pipe:
        await pipe.watch(LOCK)
        if await pipe.get(LOCK) is not None:
            return False
        pipe.multi()
        pipe.set(LOCK, client, px=10_000)
        try:
            await pipe.execute()
        except WatchError:
            return False
        return True


def counting(commands):
    async def program(client, redis):
        for _ in range(commands):
            await redis.incr("n")

    return program


def anything(outcome):
    return True


# --- counts


@pytest.mark.parametrize(
    ("program", "options", "bad", "total"),
    [
        (look_then_set, {}, 4, 6),
        (setnx_then_expire, {}, 0, 4),
        (setnx_then_expire, {"crashes": True}, 2, 14),
        (set_nx_px, {}, 0, 2),
        (set_nx_px, {"crashes": True}, 0, 6),
        (set_nx_px, {"pauses": True}, 2, 4),
        (watch_then_multi, {"crashes": True}, 0, 88),
    ],
)
def test_the_textbook_locks_have_the_textbook_counts(program, options, bad, total):
    found = explore(program, **options)
    assert (found.bad, found.good, found.total) == (bad, total - bad, total)


def test_two_clients_of_six_commands_have_924_orders():
    found = explore(counting(6), invariant=anything)
    assert found.total == comb(12, 6) == 924
    assert found.orders.order.is_unique and set(found.orders.order.str.count("A")) == {6}


def test_three_clients_interleave_in_all_ways():
    assert explore(counting(2), 3, invariant=anything).total == factorial(6) // 2**3


def test_one_client_may_die_after_each_of_its_commands():
    # It has done k of its n; the other one all n.
    n = 4
    died = sum(comb(n + k, k) for k in range(1, n + 1))
    found = explore(counting(n), crashes=True, invariant=anything)
    assert found.total == comb(2 * n, n) + 2 * died
    assert found.orders.order.str.count("!").max() == 1


def test_time_may_pass_once_between_any_two_commands():
    found = explore(counting(3), pauses=True, invariant=anything)
    assert found.total == comb(6, 3) * (1 + 5)
    assert not found.orders.order.str.startswith("~").any() and not found.orders.order.str.endswith("~").any()


def test_crashes_and_pauses_meet_in_one_order():
    orders = set(explore(set_nx_px, crashes=True, pauses=True).orders.order)
    assert {"AB", "A!B", "A~B", "A!~B", "A~B!"} <= orders and not any(o.count("!") > 1 for o in orders)


# --- the shortest bad one, and its story


def test_the_shortest_bad_order_is_told_command_by_command():
    found = explore(look_then_set)
    assert found.shortest.why == "A and B hold it at once"
    assert str(found) == (
        "6 orders of 2 clients: 2 good, 4 bad; the shortest bad one:\n"
        "ABBA: A and B hold it at once\n"
        "  A    GET lock                   -> nil\n"
        "  B    GET lock                   -> nil\n"
        "  B    SET lock B                 -> OK\n"
        "  B    believes that it holds it\n"
        "  A    SET lock A                 -> OK\n"
        "  A    believes that it holds it"
    )
    assert repr(found) == (
        "<Exploration of 2 clients: 4 of 6 orders bad, the shortest ABBA: A and B hold it at once>"
    )


def test_the_frame_has_every_order_and_why_it_is_bad():
    frame = explore(look_then_set).orders
    assert list(frame.columns) == ["order", "bad", "why"] and frame.bad.sum() == 4
    assert list(frame[~frame.bad].order) == ["AAB", "BBA"]


def test_a_lock_without_an_end_is_never_freed_when_its_holder_dies():
    found = explore(setnx_then_expire, crashes=True)
    assert found.shortest.order == "A!B" and "A died, and it is never freed" in found.shortest.why
    assert [step.who for step in found.shortest.steps] == ["A", "A", "B", "time", "C"]


def test_the_fewest_commands_win_over_the_first_found():
    async def program(client, redis):
        if await redis.incr("n") == 1 and client == "A":
            await redis.get("longer")
        return client == "A"

    found = explore(program, invariant=lambda outcome: False)
    assert found.shortest.order == "BA" and found.orders.order[0] == "AAB"


def test_an_acquire_that_nobody_ever_gets_is_bad():
    async def stub(client, redis):
        await redis.get(LOCK)

    found = explore(stub)
    assert found.bad == found.total == 2 and found.shortest.why == "nobody got it"


def test_who_dies_beside_a_living_holder_blocks_nobody():
    async def program(client, redis):
        return bool(await redis.set(LOCK, client, nx=True))

    assert not explore(program).bad
    # B died after it was refused: A may hold on. A died with the lock: bad.
    assert set(explore(program, crashes=True).orders.query("bad").order) == {"A!B", "B!A"}


def test_the_dead_hold_nothing():
    async def program(client, redis):
        if await redis.set(LOCK, client, nx=True, px=10_000):
            client.holds()
            await redis.incr("work")

    assert play(program, "AA~BB").clash == "A and B hold it at once"
    assert play(program, "AA!~BB").clash == ""


# --- what counts as bad


def test_a_hash_is_asked_for_and_told_as_the_server_sends_it():
    async def keeps(client, redis):
        await redis.hset("h", "f", "v")
        return await redis.hgetall("h")

    seen = []
    explore(
        keeps,
        clients=1,
        invariant=lambda outcome: seen.append((outcome.ask("HGETALL", "h"), outcome.steps[-1])),
    )
    assert [(asked, step.reply) for asked, step in seen] == [(["f", "v"], "[f, v]")]


def test_an_invariant_sees_results_data_deaths_and_the_story():
    seen = {}

    def invariant(outcome):
        seen[outcome.order] = (
            dict(outcome.results), outcome.ask("GET", LOCK), outcome.ask("HGETALL", "nothing"),
            outcome.crashed, len(outcome.steps),
        )  # fmt: skip

    explore(set_nx_px, crashes=True, invariant=invariant)
    assert seen["AB"] == ({"A": True, "B": False}, "A", [], (), 3)
    assert seen["A!B"] == ({"B": False}, "A", [], ("A",), 3)


@pytest.mark.parametrize(
    ("says", "why"),
    [("because", "because"), (False, "the invariant does not hold"), (None, ""), (True, ""), ("", "")],
)
def test_an_invariant_answers_with_a_text_or_a_truth_value(says, why):
    assert set(explore(set_nx_px, invariant=lambda outcome: says).orders.why) == {why}


def test_a_failed_assertion_of_an_invariant_is_a_reason():
    def invariant(outcome):
        assert outcome.ask("GET", LOCK) != "B", "B got it"

    found = explore(set_nx_px, invariant=invariant)
    assert found.bad == 1 and found.shortest.why.startswith("B got it")


def test_a_program_may_say_itself_when_it_holds():
    async def program(client, redis):
        if not await redis.set(LOCK, client, nx=True, px=10_000):
            return False
        client.holds()
        await redis.incr("work")
        client.lets_go()
        await redis.delete(LOCK)
        return True

    # Both may return True, one after the other.
    assert explore(program).bad == 0
    paused = explore(program, pauses=True)
    assert paused.shortest.order == "A~BAABB" or paused.shortest.why == "A and B hold it at once"
    assert paused.bad > 0


def test_the_newcomer_is_asked_only_when_somebody_looks():
    outcomes = []
    explore(set_nx_px, invariant=outcomes.append)
    before = len(outcomes[0].steps)
    assert outcomes[0].ask("PTTL", LOCK) == 10_000 and len(outcomes[0].steps) == before
    assert outcomes[0].newcomer is True and outcomes[0].ask("GET", LOCK) == "C"


def test_a_pause_lasts_as_long_as_one_says():
    assert explore(set_nx_px, pauses=True, expire=9).bad == 0
    assert explore(set_nx_px, pauses=True, expire=11).bad == 2


# --- one order by hand


def test_one_order_can_be_played():
    assert play(look_then_set, "ABAB").why == "A and B hold it at once"
    assert play(look_then_set, "AABB").why == "" and play(look_then_set, "AABB").order == "AAB"
    assert play(set_nx_px, "A!~B").results == {"B": True}


def test_what_an_order_leaves_open_is_done_at_its_end():
    assert play(look_then_set, "AB").order == "ABAB"


@pytest.mark.parametrize("order", ["AXB", "ab", "!A", "A!!", "C"])
def test_an_order_that_is_none_gets_one_line(order):
    with pytest.raises(ConfigError, match="is not made of A, B") as caught:
        play(look_then_set, order)
    assert "\n" not in str(caught.value)


# --- what is one command


def test_a_script_is_one_command_and_needs_no_loading():
    async def program(client, redis):
        script = redis.register_script("return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', 1000)")
        return bool(await script(keys=[LOCK], args=[client]))

    found = explore(program, crashes=True)
    assert (found.bad, found.total) == (0, 6)


def test_multi_to_exec_is_one_command_and_a_plain_pipeline_is_not():
    def program(transaction):
        async def both(client, redis):
            pipe = redis.pipeline(transaction=transaction)
            pipe.incr("n")
            pipe.incr("n")
            return await pipe.execute()

        return both

    assert explore(program(True), invariant=anything).total == 2
    assert explore(program(False), invariant=anything).total == comb(4, 2)


def test_a_transaction_that_was_overtaken_fails_and_one_client_wins():
    found = explore(watch_then_multi)
    assert found.bad == 0 and any("WATCH lock" in step.what for step in play(watch_then_multi, "A").steps)


# --- the clients


def test_a_client_is_its_name_and_knows_its_number():
    told = []

    async def program(client, redis):
        told.append((client, client.number, f"{client}:x"))
        await redis.set(f"{client}:x", client)
        return await redis.get(f"{client}:x") == client

    found = explore(program, 3, invariant=lambda outcome: all(outcome.results.values()))
    assert found.bad == 0 and set(told) == {("A", 0, "A:x"), ("B", 1, "B:x"), ("C", 2, "C:x")}


def test_replies_are_bytes_when_one_asks_for_bytes():
    async def program(client, redis):
        await redis.set("k", "v")
        return await redis.get("k")

    assert play(program, "A", invariant=anything).results["A"] == "v"
    assert play(program, "A", invariant=anything, decode_responses=False).results["A"] == b"v"


def test_a_crash_runs_no_finally_not_even_later():
    ran = []

    async def program(client, redis):
        try:
            await redis.incr("n")
            await redis.incr("n")
        finally:
            ran.append(str(client))
            await redis.delete("n")

    explore(program, 1, crashes=True, invariant=anything)
    gc.collect()
    assert ran == ["A", "A"]  # who lived, and who died in it: not who died before


def test_random_values_may_differ_from_run_to_run():
    from uuid import uuid4

    async def program(client, redis):
        token = uuid4().hex
        await redis.set(LOCK, token, nx=True, px=1000)
        return await redis.get(LOCK) == token

    assert (explore(program).bad, explore(program).total) == (0, 6)


def test_each_order_begins_with_an_empty_server():
    found = explore(counting(1), invariant=lambda outcome: outcome.ask("GET", "n") == "2")
    assert found.bad == 0


def test_it_runs_beside_the_loop_of_a_notebook():
    async def cell():
        return explore(look_then_set).bad

    assert asyncio.run(cell()) == 4
