"""Which slots to fire now and which to skip, and how long to wait before a retry. Pure: no clock, no luck.

The one promise: thread `watermark` from one Plan into the next call, and every slot is in exactly one `fire`
or inside exactly one skip, in slot order, never before it is due. Times are Unix milliseconds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias

import msgspec

from .durations import seconds, show
from .errors import ConfigError
from .slots import Misfire, Schedule, after, between, count, due_of, jitter_of, latest, to_ms

Duration: TypeAlias = float | str | timedelta
CatchUp = Literal["", "none", "latest", "all"]


class Skip(msgspec.Struct, frozen=True):
    """The `count` slots from `first` to `last` (both inclusive) do not fire, because of `reason`."""

    first: int
    last: int
    count: int | None
    reason: Literal["misfire", "paused"]


class Plan(msgspec.Struct, frozen=True):
    """What to do now: fire these slots in order, note these skips, come back at `next_due` for `next_slot`.

    `watermark` is what the next call is given: no slot up to it is ever handled again. `next_due <= now` says
    that `limit` cut the plan short and there is more to do at once.
    """

    fire: tuple[int, ...]
    skips: tuple[Skip, ...]
    watermark: int
    next_slot: int | None
    next_due: int | None


def plan(
    task_name: str,
    schedule: Schedule,
    misfire: Misfire,
    watermark: int,
    now: int,
    catch_up: CatchUp = "",
    limit: int = 1000,
) -> Plan:
    """Decide the slots in (watermark, now].

    A slot waits while its due time (slot + jitter) is later than `now`, and holds back every later slot. It
    is misfired when it could be handled only more than `misfire.grace` after it was due; the policy decides
    about those, the others fire. At most `limit` slots fire in one call; skips cost nothing.

    `catch_up` replaces the misfire policy after a resume: "none" skips everything up to `now`, "latest" fires
    the newest slot up to `now` alone (later, if its jitter says so), "all" fires whatever is due, however
    late. With "all", pass it again as long as `next_due <= now`, or the rest falls back to `misfire`.
    """
    assert limit >= 1, "a plan that may fire nothing makes no progress"
    if catch_up == "none":
        skips = _skipped(schedule, watermark, now, "paused")
        return _plan(task_name, schedule, (), skips, max(watermark, now))
    reason: Literal["misfire", "paused"] = "misfire"
    fires_last = misfire.policy == "FIRE_ONCE"
    missed: int | None = None
    if catch_up == "latest":
        missed, reason, fires_last = latest(schedule, now), "paused", True
    elif catch_up != "all" and misfire.policy != "FIRE_ALL":
        missed = _last_misfired(task_name, schedule, to_ms(misfire.grace), watermark, now)
    skips = (
        () if missed is None else _skipped(schedule, watermark, missed - 1 if fires_last else missed, reason)
    )
    mark = skips[-1].last if skips else watermark
    fire = _due_now(task_name, schedule, mark, now, limit)
    return _plan(task_name, schedule, fire, skips, fire[-1] if fire else mark)


def _plan(
    task_name: str, schedule: Schedule, fire: tuple[int, ...], skips: tuple[Skip, ...], watermark: int
) -> Plan:
    following = after(schedule, watermark)
    due = None if following is None else due_of(task_name, schedule, following)
    return Plan(fire, skips, watermark, following, due)


def _due_now(task_name: str, schedule: Schedule, mark: int, now: int, limit: int) -> tuple[int, ...]:
    fire: list[int] = []
    for slot in between(schedule, mark, now):
        if len(fire) == limit or due_of(task_name, schedule, slot) > now:
            break
        fire.append(slot)
    return tuple(fire)


def _last_misfired(task_name: str, schedule: Schedule, grace: int, watermark: int, now: int) -> int | None:
    """The end of the unbroken run of misfired slots after the watermark; None when there is none."""
    edge = now - grace  # misfired means due < edge
    # Jitter is less than the distance of slots, so dues ascend and the run ends within one slot of here.
    # Around a moved clock they may not; the walk stops at the first that is in time, and order is kept.
    surely = latest(schedule, edge - max(1, to_ms(jitter_of(schedule))))
    last = surely if surely is not None and surely > watermark else None
    for slot in between(schedule, watermark if last is None else last, edge - 1):
        if due_of(task_name, schedule, slot) >= edge:
            break
        last = slot
    return last


def _skipped(
    schedule: Schedule, after_t: int, to_t: int, reason: Literal["misfire", "paused"]
) -> tuple[Skip, ...]:
    first, last = after(schedule, after_t), latest(schedule, to_t)
    if first is None or last is None or last < first:
        return ()
    return (Skip(first, last, count(schedule, after_t, to_t), reason),)


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential backoff: the n-th retry waits min(base * 2**(n-1), cap) seconds, spread by `jitter`.

    `jitter` is the share of that delay that luck may take away: 0 none, 1 "full jitter".
    """

    base: float = 1.0
    cap: float = 60.0
    jitter: float = 0.5


def exponential(base: Duration = "1s", cap: Duration = "60s", jitter: float = 0.5) -> Backoff:
    """A Backoff from durations. ConfigError when base < 1 ms, cap < base, jitter outside 0 to 1."""
    first = seconds(base, "backoff base", minimum=0.001)
    most = seconds(cap, "backoff cap")
    if most < first:
        raise ConfigError(f"backoff cap {show(most)} is refused: it must be at least the base, {show(first)}")
    if isinstance(jitter, bool) or not isinstance(jitter, (int, float)) or not 0 <= jitter <= 1:
        raise ConfigError(f"backoff jitter {jitter!r} is refused: it is a share, from 0 to 1")
    return Backoff(base=first, cap=most, jitter=float(jitter))


def retry_delay(base: float, cap: float, jitter: float, failures: int, luck: float) -> float:
    """Seconds to wait after failure number `failures` (from 1); `luck` in [0, 1) takes up to `jitter` off."""
    assert failures >= 1 and 0 <= luck < 1
    delay = min(base * 2.0 ** min(failures - 1, 64), cap)  # 64 doublings pass any cap and never overflow
    return delay * (1 - jitter * luck)
