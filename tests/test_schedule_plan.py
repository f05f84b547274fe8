"""What is fired, what is skipped, what waits; and how long a retry waits."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsched.errors import ConfigError
from labsched.model import Backoff as ModelBackoff
from labsched.plan import Backoff, CatchUp, Plan, Skip, exponential, plan, retry_delay
from labsched.schedule import (
    At,
    Cron,
    Every,
    Manual,
    Misfire,
    Schedule,
    after,
    at,
    between,
    cron,
    due_of,
    every,
    forecast,
    latest,
)

ONCE, ALL, NONE = Misfire("FIRE_ONCE", 60.0), Misfire("FIRE_ALL", 60.0), Misfire("SKIP", 60.0)
MINUTE = 60_000
T = 1_780_000_020_000  # a whole minute
YEAR = 365 * 86_400_000


def test_a_slot_that_is_due_is_fired_and_the_next_is_named() -> None:
    assert plan("t", every("1m"), ONCE, T, T + MINUTE) == Plan(
        (T + MINUTE,), (), T + MINUTE, T + 2 * MINUTE, T + 2 * MINUTE
    )


def test_before_anything_is_due_nothing_happens() -> None:
    assert plan("t", every("1m"), ONCE, T, T + MINUTE - 1) == Plan((), (), T, T + MINUTE, T + MINUTE)
    assert plan("t", every("1m"), ONCE, T, T - YEAR) == Plan((), (), T, T + MINUTE, T + MINUTE)


def test_a_slot_exactly_as_late_as_the_grace_is_not_a_misfire() -> None:
    slot = after(every("1h"), T)
    assert slot is not None
    assert plan("t", every("1h"), NONE, T, slot + MINUTE).fire == (slot,)
    late = plan("t", every("1h"), NONE, T, slot + MINUTE + 1)
    assert (late.fire, late.skips, late.watermark) == ((), (Skip(slot, slot, 1, "misfire"),), slot)


def test_fire_once_fires_the_latest_misfire_and_what_is_in_time() -> None:
    now = T + 10 * MINUTE + 1
    found = plan("t", every("1m"), ONCE, T, now)
    assert found.skips == (Skip(T + MINUTE, T + 8 * MINUTE, 8, "misfire"),)
    assert found.fire == (T + 9 * MINUTE, T + 10 * MINUTE)  # the first is a minute and 1 ms late
    assert found.watermark == T + 10 * MINUTE


def test_one_misfire_alone_is_fired_by_fire_once_without_a_skip() -> None:
    found = plan("t", at(datetime(2026, 1, 1, tzinfo=UTC)), ONCE, 0, T + YEAR)
    assert (len(found.fire), found.skips, found.next_slot, found.next_due) == (1, (), None, None)


def test_fire_all_fires_all_in_order() -> None:
    found = plan("t", every("1m"), ALL, T, T + 10 * MINUTE)
    assert found.fire == tuple(T + n * MINUTE for n in range(1, 11))
    assert found.skips == ()


def test_skip_skips_all_misfires_and_fires_what_is_in_time() -> None:
    found = plan("t", every("1m"), NONE, T, T + 10 * MINUTE + 1)
    assert found.skips == (Skip(T + MINUTE, T + 9 * MINUTE, 9, "misfire"),)
    assert found.fire == (T + 10 * MINUTE,)


def test_the_limit_leaves_the_rest_for_the_next_call() -> None:
    first = plan("t", every("1m"), ALL, T, T + 5 * MINUTE, limit=2)
    assert (first.fire, first.watermark) == ((T + MINUTE, T + 2 * MINUTE), T + 2 * MINUTE)
    assert first.next_due == T + 3 * MINUTE  # already past: come back at once
    assert plan("t", every("1m"), ALL, first.watermark, T + 5 * MINUTE, limit=9).fire == (
        *(T + 3 * MINUTE, T + 4 * MINUTE, T + 5 * MINUTE),
    )
    with pytest.raises(AssertionError):
        plan("t", every("1m"), ALL, T, T, limit=0)


def test_catch_up_none_skips_what_the_pause_covered_even_if_it_could_still_be_in_time() -> None:
    found = plan("t", every("1m"), ALL, T, T + 3 * MINUTE + 5, "none")
    assert (found.fire, found.skips) == ((), (Skip(T + MINUTE, T + 3 * MINUTE, 3, "paused"),))
    assert (found.watermark, found.next_slot) == (T + 3 * MINUTE + 5, T + 4 * MINUTE)


def test_catch_up_none_without_slots_still_moves_the_watermark_to_now() -> None:
    assert plan("t", every("1h"), ONCE, T, T + 7, "none").watermark == T + 7
    assert plan("t", every("1h"), ONCE, T, T - 7, "none").watermark == T
    assert plan("t", Manual(), ONCE, T, T + 7, "none") == Plan((), (), T + 7, None, None)


def test_catch_up_latest_fires_the_newest_slot_alone() -> None:
    found = plan("t", every("1m"), NONE, T, T + 9 * MINUTE + 5, "latest")
    assert (found.fire, found.skips) == ((T + 9 * MINUTE,), (Skip(T + MINUTE, T + 8 * MINUTE, 8, "paused"),))
    assert plan("t", every("1h"), NONE, T, T + 7, "latest") == plan("t", every("1h"), NONE, T, T + 7)


def jittered(now_after: int = 1) -> tuple[Every, int, int]:
    """A schedule, a slot with a good deal of jitter, and when that slot is due."""
    schedule = Every(60.0, jitter=50.0)
    slot = next(
        s for s in between(schedule, T + 10 * MINUTE, T + YEAR) if due_of("t", schedule, s) - s > 20_000
    )
    return schedule, slot, due_of("t", schedule, slot)


def test_catch_up_latest_waits_for_the_jitter_of_the_newest_slot() -> None:
    schedule, slot, due = jittered()
    early = plan("t", schedule, ONCE, T, due - 1, "latest")
    assert early.fire == () and early.skips[0].last == slot - MINUTE == early.watermark
    assert (early.next_slot, early.next_due) == (slot, due)
    assert plan("t", schedule, ONCE, early.watermark, due).fire == (slot,)


def test_catch_up_all_fires_all_whatever_the_policy_says() -> None:
    found = plan("t", every("1m"), NONE, T, T + YEAR, "all", limit=3)
    assert (found.fire, found.skips) == ((T + MINUTE, T + 2 * MINUTE, T + 3 * MINUTE), ())


def test_a_slot_waits_for_its_jitter_and_holds_its_grace_from_then() -> None:
    schedule, slot, due = jittered()
    waiting = plan("t", schedule, NONE, slot - 1, due - 1)
    assert (waiting.fire, waiting.watermark, waiting.next_slot, waiting.next_due) == ((), slot - 1, slot, due)
    assert plan("t", schedule, NONE, slot - 1, due).fire == (slot,)
    assert slot in plan("t", schedule, NONE, slot - 1, due + MINUTE).fire
    late = plan("t", schedule, NONE, slot - 1, due + MINUTE + 1)
    assert late.skips == (Skip(slot, slot, 1, "misfire"),)


def test_order_is_kept_where_a_moved_clock_brings_slots_closer_than_their_jitter() -> None:
    schedule = cron("15 2,3 * * *", tz="Europe/Berlin", gap="shift", jitter="3000s")
    first, second = between(schedule, 1_774_742_400_000, 1_774_742_400_000 + 6 * 3_600_000)
    assert second - first == 15 * MINUTE
    name = next(n for n in map(str, range(1000)) if due_of(n, schedule, first) > due_of(n, schedule, second))
    held = plan(name, schedule, ONCE, first - 1, due_of(name, schedule, second))
    assert (held.fire, held.next_slot) == ((), first)
    assert plan(name, schedule, ALL, first - 1, due_of(name, schedule, first)).fire == (first, second)


def test_a_slot_that_waited_behind_another_is_as_late_as_that_one() -> None:
    schedule = cron("15 2,3 * * *", tz="Europe/Berlin", gap="shift", jitter="3000s")
    first, second = between(schedule, 1_774_742_400_000, 1_774_742_400_000 + 6 * 3_600_000)
    name = next(
        n for n in map(str, range(999)) if due_of(n, schedule, first) - due_of(n, schedule, second) > 5000
    )
    now = due_of(name, schedule, first)
    assert plan(name, schedule, Misfire("SKIP", 4.0), first - 1, now).fire == (first, second)


@pytest.mark.parametrize("policy", ["FIRE_ONCE", "FIRE_ALL", "SKIP"])
@pytest.mark.parametrize("catch_up", ["", "none", "latest", "all"])
@pytest.mark.parametrize(
    "schedule",
    [every("1s"), every("1s", jitter=0.5), every("1ms"), cron("* * * * *", tz="Europe/Berlin", jitter=30)],
    ids=["every", "jitter", "1ms", "cron"],
)
def test_an_outage_of_a_year_is_decided_at_once(policy: Any, catch_up: CatchUp, schedule: Schedule) -> None:
    plan("warm", schedule, Misfire(policy, 1.0), T, T + YEAR, catch_up)
    started = time.perf_counter()
    found = plan("t", schedule, Misfire(policy, 1.0), T, T + YEAR, catch_up)
    assert time.perf_counter() - started < 0.05
    assert sum(skip.count or 0 for skip in found.skips) + len(found.fire) >= 1000


# Against a model that lists every slot.


def model(
    name: str, schedule: Schedule, misfire: Misfire, mark: int, now: int, catch_up: str, limit: int
) -> Any:
    open_slots, held = [], 0
    for slot in between(schedule, mark, now):
        held = max(held, due_of(name, schedule, slot))  # a slot also waits for those before it
        open_slots.append((slot, held))
    slots = [slot for slot, _ in open_slots]
    ready = [slot for slot, due in open_slots if due <= now]
    late = [slot for slot, _ in takewhile(lambda pair: now - pair[1] > misfire.grace * 1000, open_slots)]
    if catch_up == "none":
        return [], slots
    if catch_up == "latest":
        return [slot for slot in slots[-1:] if slot in ready], slots[:-1]
    if catch_up == "all" or misfire.policy == "FIRE_ALL":
        return ready[:limit], []
    skipped = late[:-1] if misfire.policy == "FIRE_ONCE" else late
    return [slot for slot in ready if slot not in skipped][:limit], skipped


SCHEDULES = st.one_of(
    st.builds(
        lambda period, share: Every(period / 1000, jitter=int(period * share) / 1000),
        st.integers(1, 90_000),
        st.sampled_from([0, 0.5, 0.999]),
    ),
    st.integers(T, T + 99_999).map(lambda start: Every(1.0, 0.9, start, start + 60_000)),
    st.sampled_from(
        [
            Cron("* * * * *", jitter=59.0),
            Cron("*/10 * * * * *", jitter=9.0),
            Cron("* * * * *", "Europe/Berlin", 30.0, "shift", "first"),
            Cron("*/15 1-3 * * *", "Europe/Berlin", 800.0, "shift", "both"),
            Cron("7,8 2,3 * * *", "Europe/Berlin", 50.0, "shift", "both"),
            At(T + 12_345),
            Manual(),
        ]
    ),
)  # fmt: skip
MISFIRES = st.builds(
    Misfire, st.sampled_from(["FIRE_ONCE", "FIRE_ALL", "SKIP"]), st.sampled_from([0.0, 1.0, 60.0, 900.0])
)
STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3000), st.integers(0, 200_000), st.integers(0, 8_000_000)),
        st.sampled_from(["", "", "", "", "none", "latest", "all"]),
        st.sampled_from([1, 2, 7, 1000]),
    ),
    max_size=12,
)
# plain days, the hour that Berlin leaves out and the one that comes twice
STARTS = st.sampled_from([T, 1_774_742_400_000, 1_774_745_500_000, 1_792_886_000_000])


@settings(deadline=None, max_examples=300)
@given(SCHEDULES, MISFIRES, STARTS, STEPS)
def test_however_time_is_split_every_slot_is_fired_or_skipped_exactly_once(
    schedule: Schedule, misfire: Misfire, start: int, steps: list[tuple[int, CatchUp, int]]
) -> None:
    mark = now = start
    handled: list[int] = []
    for step, catch_up, limit in steps:
        now += (
            min(step, 20_000 * 1000)
            if not isinstance(schedule, Every)
            else min(step, int(schedule.period * 3e6))
        )
        found = plan("t", schedule, misfire, mark, now, catch_up, limit)
        skipped: list[int] = []
        for skip in found.skips:
            inside = list(between(schedule, skip.first - 1, skip.last))
            assert (inside[0], inside[-1], len(inside)) == (skip.first, skip.last, skip.count)
            assert skip.reason == ("paused" if catch_up else "misfire")
            skipped += inside
        fires, skips = model("t", schedule, misfire, mark, now, catch_up, limit)
        assert (list(found.fire), skipped) == (fires, skips)
        assert all(due_of("t", schedule, slot) <= now for slot in found.fire)
        assert len(found.fire) <= limit
        handled += [*skipped, *found.fire]
        assert found.watermark == max([mark, *skipped, *found.fire, *([now] if catch_up == "none" else [])])
        assert found.next_slot == after(schedule, found.watermark)
        assert found.next_due == (None if found.next_slot is None else due_of("t", schedule, found.next_slot))
        if found.next_due is not None and len(found.fire) < limit:
            assert found.next_due > now
        mark = found.watermark
    assert handled == list(between(schedule, start, mark))


@settings(deadline=None)
@given(SCHEDULES, st.lists(st.integers(0, 100_000), max_size=10), st.integers(1, 50))
def test_fire_all_skips_nothing(schedule: Schedule, steps: list[int], limit: int) -> None:
    mark = now = T
    for step in steps:
        now += step
        found = plan("t", schedule, Misfire("FIRE_ALL", 0.0), mark, now, "", limit)
        assert found.skips == ()
        assert list(found.fire) == list(between(schedule, mark, found.watermark))
        mark = found.watermark


# retries


def test_backoff_is_the_same_class_in_the_model() -> None:
    assert ModelBackoff is Backoff


def test_exponential_takes_durations() -> None:
    assert exponential() == Backoff(base=1.0, cap=60.0, jitter=0.5)
    assert exponential("250ms", "PT1M", 0) == Backoff(base=0.25, cap=60.0, jitter=0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0s",), "backoff base '0s' is refused: it must be at least 1ms"),
        (("x",), "backoff base 'x' is refused: allowed are"),
        (("2s", "1s"), "backoff cap 1s is refused: it must be at least the base, 2s"),
        (("1s", "x"), "backoff cap 'x' is refused"),
        (("1s", "2s", 1.5), "backoff jitter 1.5 is refused: it is a share, from 0 to 1"),
        (("1s", "2s", -0.1), "backoff jitter -0.1 is refused"),
        (("1s", "2s", True), "backoff jitter True is refused"),
        (("1s", "2s", "1s"), "backoff jitter '1s' is refused"),
        (("1s", "2s", float("nan")), "backoff jitter nan is refused"),
    ],
)
def test_a_backoff_that_makes_no_sense_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        exponential(*arguments)
    assert str(caught.value).startswith(message)


def test_delays_double_up_to_the_cap() -> None:
    assert [retry_delay(1.0, 10.0, 0.0, n, 0.7) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert retry_delay(0.001, 60.0, 0.0, 10**6, 0.0) == 60.0


def test_luck_takes_away_up_to_the_jitter() -> None:
    assert retry_delay(4.0, 60.0, 0.5, 1, 0.0) == 4.0
    assert retry_delay(4.0, 60.0, 0.5, 1, 0.5) == 3.0
    assert retry_delay(4.0, 60.0, 1.0, 1, 0.75) == 1.0


@given(
    st.floats(0.001, 100), st.floats(100, 1e5), st.floats(0, 1), st.integers(1, 10**4), st.floats(0, 0.999)
)
def test_a_delay_is_positive_and_never_above_the_cap(
    base: float, cap: float, jitter: float, n: int, luck: float
) -> None:
    assert 0 < retry_delay(base, cap, jitter, n, luck) <= cap


# the herd


def test_the_forecast_finds_the_second_in_which_most_tasks_start() -> None:
    tasks: list[tuple[str, Schedule]] = [
        ("a", every("1m")),
        ("b", every("5m")),
        ("c", cron("0 * * * *")),
        ("d", Manual()),
    ]
    start = 1_779_998_400_000  # 2026-05-28T20:00Z, itself not counted
    found = forecast(tasks, start, hours=1)
    assert (found.total, found.peak, found.peak_at, found.capped) == (
        60 + 12 + 1,
        3,
        start // 1000 + 3600,
        False,
    )
    assert len(found.per_second) == 60 and sum(found.per_second.values()) == found.total
    assert list(found.per_second) == sorted(found.per_second)
    assert found.per_second[start // 1000 + 300] == 2


def test_of_equal_peaks_the_forecast_names_the_first() -> None:
    assert forecast([("a", every("1m"))], T, 1).peak_at == T // 1000 + 60


def test_jitter_spreads_the_herd() -> None:
    tight: list[tuple[str, Schedule]] = [(f"t{n}", every("1h")) for n in range(100)]
    loose: list[tuple[str, Schedule]] = [(f"t{n}", every("1h", jitter="30m")) for n in range(100)]
    hour = T - T % 3_600_000
    assert forecast(tight, hour, 1).peak == 100
    spread = forecast(loose, hour, 1)
    assert (spread.peak < 5, spread.total) == (True, 100)


def test_the_forecast_counts_a_slot_before_now_whose_jitter_ends_after_it() -> None:
    schedule, _slot, due = jittered()
    assert due // 1000 in forecast([("t", schedule)], due - 1, 0.001).per_second
    assert forecast([("t", schedule)], due, 0.001).per_second.get(due // 1000) is None


def test_the_forecast_stops_at_its_cap_and_says_so() -> None:
    found = forecast([("a", every("1s")), ("b", every("1s"))], T, 24, cap=10)
    assert (found.total, found.capped, len(found.per_second)) == (10, True, 5)
    assert not forecast([("a", every("1h"))], T, 10, cap=10).capped


def test_a_forecast_of_nothing_is_empty() -> None:
    assert forecast([], T) == forecast([("m", Manual())], T)
    assert (forecast([], T).peak, forecast([], T).peak_at, forecast([], T).per_second) == (0, None, {})


def test_the_newest_slot_is_what_fire_once_fires_after_an_outage() -> None:
    schedule = cron("0 2 * * *", tz="Europe/Berlin")
    assert plan("t", schedule, ONCE, T, T + YEAR).fire == (latest(schedule, T + YEAR),)
