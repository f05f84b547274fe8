"""Moved clocks. The tables were worked out by hand from the zones' rules:

Berlin     2026-03-29 02:00 -> 03:00 at 01:00Z     2026-10-25 03:00 -> 02:00 at 01:00Z
New York   2026-03-08 02:00 -> 03:00 at 07:00Z     2026-11-01 02:00 -> 01:00 at 06:00Z
Lord Howe  2026-10-04 02:00 -> 02:30 at 15:30Z-1d  2026-04-05 02:00 -> 01:30 at 15:00Z-1d   (+10:30, +11:00)
Apia       2011-12-30 00:00 -> 2011-12-31 00:00 at 2011-12-30 10:00Z: a whole day that never was (-10, +14)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsched import dst
from labsched.dst import moves, offset_at
from labsched.schedule import HORIZON, Cron, after, between, count, cron, every, latest, preview


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def iso(t: int) -> str:
    return datetime.fromtimestamp(t / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")


def slots(schedule: Cron, start: str, end: str) -> list[str]:
    return [iso(slot) for slot in between(schedule, ms(start), ms(end))]


POLICIES: tuple[Any, ...] = ("first", "second", "both")
GAP_POLICIES: tuple[Any, ...] = ("skip", "shift")
B, N, H, A = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"

GAPS = [
    # zone, expression, from, to, the slots with "skip", what "shift" adds
    (B, "30 2 * * *", "2026-03-28T12:00Z", "2026-03-30T12:00Z", ["2026-03-30T00:30Z"], "2026-03-29T01:00Z"),
    (B, "0,15,30,45 2 * * *", "2026-03-29T00:00Z", "2026-03-29T12:00Z", [], "2026-03-29T01:00Z"),
    (B, "0 2,3 * * *", "2026-03-29T00:00Z", "2026-03-29T12:00Z", ["2026-03-29T01:00Z"], None),
    (B, "15 2,3 * * *", "2026-03-29T00:00Z", "2026-03-29T12:00Z", ["2026-03-29T01:15Z"], "2026-03-29T01:00Z"),
    (B, "59 1 * * *", "2026-03-29T00:00Z", "2026-03-29T12:00Z", ["2026-03-29T00:59Z"], None),
    (N, "30 2 * * *", "2026-03-08T00:00Z", "2026-03-09T12:00Z", ["2026-03-09T06:30Z"], "2026-03-08T07:00Z"),
    (N, "0 3 * * *", "2026-03-08T00:00Z", "2026-03-08T12:00Z", ["2026-03-08T07:00Z"], None),
    (H, "15 2 * * *", "2026-10-03T12:00Z", "2026-10-04T20:00Z", ["2026-10-04T15:15Z"], "2026-10-03T15:30Z"),
    (H, "30 2 * * *", "2026-10-03T12:00Z", "2026-10-03T20:00Z", ["2026-10-03T15:30Z"], None),
    (A, "0 12 * * *", "2011-12-30T00:00Z", "2011-12-31T12:00Z", ["2011-12-30T22:00Z"], "2011-12-30T10:00Z"),
    (A, "0 0 * * *", "2011-12-29T12:00Z", "2011-12-31T00:00Z", ["2011-12-30T10:00Z"], None),
    (A, "0 8 30 12 *", "2011-12-01T00:00Z", "2012-01-31T00:00Z", [], "2011-12-30T10:00Z"),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "expr", "start", "end", "skip", "shifted"), GAPS)
def test_a_local_time_that_does_not_exist_is_skipped_or_shifted_to_the_end_of_the_gap(
    zone: str, expr: str, start: str, end: str, skip: list[str], shifted: str | None
) -> None:
    assert slots(cron(expr, tz=zone), start, end) == skip
    with_shift = sorted([*skip, *([shifted] if shifted else [])])
    assert slots(cron(expr, tz=zone, gap="shift"), start, end) == with_shift


FOLDS = [
    # zone, expression, from, to, "first", "second", "both"
    (B, "30 2 * * *", "2026-10-25T00:00Z", "2026-10-25T12:00Z", ["00:30"], ["01:30"], ["00:30", "01:30"]),
    (B, "0 2 * * *", "2026-10-24T12:00Z", "2026-10-25T12:00Z", ["00:00"], ["01:00"], ["00:00", "01:00"]),
    (B, "0 3 * * *", "2026-10-24T12:00Z", "2026-10-25T12:00Z", ["02:00"], ["02:00"], ["02:00"]),
    (B, "59 1 * * *", "2026-10-24T12:00Z", "2026-10-25T12:00Z", ["23:59"], ["23:59"], ["23:59"]),
    (N, "30 1 * * *", "2026-11-01T00:00Z", "2026-11-01T12:00Z", ["05:30"], ["06:30"], ["05:30", "06:30"]),
    (N, "0 2 * * *", "2026-11-01T00:00Z", "2026-11-01T12:00Z", ["07:00"], ["07:00"], ["07:00"]),
    (H, "45 1 * * *", "2026-04-04T12:00Z", "2026-04-04T20:00Z", ["14:45"], ["15:15"], ["14:45", "15:15"]),
    (H, "0 2 * * *", "2026-04-04T12:00Z", "2026-04-04T20:00Z", ["15:30"], ["15:30"], ["15:30"]),
    (H, "15 1 * * *", "2026-04-04T12:00Z", "2026-04-04T20:00Z", ["14:15"], ["14:15"], ["14:15"]),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "expr", "start", "end", "first", "second", "both"), FOLDS)
def test_a_local_time_that_comes_twice_fires_the_first_the_second_or_both_times(
    zone: str, expr: str, start: str, end: str, first: list[str], second: list[str], both: list[str]
) -> None:
    for fold, expected in zip(POLICIES, (first, second, both), strict=True):
        found = slots(cron(expr, tz=zone, fold=fold), start, end)
        assert [slot[11:16] for slot in found] == expected


def test_every_five_minutes_goes_on_through_a_fold_only_with_both() -> None:
    def gaps(fold: Any) -> list[int]:
        found = list(
            between(Cron("*/5 * * * *", B, fold=fold), ms("2026-10-24T12:00Z"), ms("2026-10-25T12:00Z"))
        )
        return sorted({(b - a) // 60_000 for a, b in pairwise(found)})

    assert gaps("both") == [5]
    assert gaps("first") == [5, 65]
    assert gaps("second") == [5, 65]


def test_every_five_minutes_goes_on_through_a_gap_either_way() -> None:
    for gap in GAP_POLICIES:
        found = list(
            between(cron("*/5 * * * *", tz=B, gap=gap), ms("2026-03-29T00:00Z"), ms("2026-03-29T03:00Z"))
        )
        assert {b - a for a, b in pairwise(found)} == {300_000}


def test_moves_of_the_clock_are_found_to_the_second() -> None:
    found = list(moves(ZoneInfo(B), ms("2026-01-01T00:00Z") // 1000, ms("2027-01-01T00:00Z") // 1000))
    assert [(iso(m.at * 1000), m.before, m.after) for m in found] == [
        ("2026-03-29T01:00Z", 3600, 7200),
        ("2026-10-25T01:00Z", 7200, 3600),
    ]
    assert list(moves(ZoneInfo("UTC"), 0, HORIZON // 1000)) == []


@pytest.mark.parametrize("zone", [B, N, H, A, "Africa/Casablanca", "Asia/Gaza", "America/Noronha"])
def test_no_move_of_the_clock_is_missed(zone: str) -> None:
    tz, step = ZoneInfo(zone), 6 * 3600
    edge = {m.at: m for m in moves(tz, 0, 2**31)}
    offset = offset_at(tz, 0)
    for at in range(step, 2**31 - step, step):
        now = offset_at(tz, at)
        if now != offset:
            inside = [t for t in edge if at - step < t <= at]
            assert len(inside) == 1 and edge[inside[0]].after == now
            assert offset_at(tz, inside[0] - 1) == offset and offset_at(tz, inside[0]) == now
            del edge[inside[0]]
        offset = now
    assert [t for t in edge if t < 2**31 - 2 * step] == []


# Against a model that asks zoneinfo about every minute.

MOVES = [
    *((B, "2026-03-29T01:00Z"), (B, "2026-10-25T01:00Z"), (N, "2026-03-08T07:00Z"), (N, "2026-11-01T06:00Z")),
    *((H, "2026-10-03T15:30Z"), (H, "2026-04-04T15:00Z"), (A, "2011-12-30T10:00Z")),
    *(("America/Sao_Paulo", "2018-11-04T03:00Z"), ("America/Sao_Paulo", "2018-02-18T02:00Z")),  # at midnight
    *(("Asia/Kathmandu", "1985-12-31T18:30Z"), ("Pacific/Kwajalein", "1993-08-21T12:00Z")),
    *(("Europe/Dublin", "2026-10-25T01:00Z"), ("Africa/Casablanca", "2026-02-15T02:00Z")),
]
MINUTES = ["*", "0", "30", "*/5", "59", "0,15,30,45", "7"]
HOURS = ["*", "0", "1", "2", "1,2,3", "*/2", "23", "12"]


def named(part: str, value: int) -> bool:
    if part.startswith("*"):
        return value % int(part[2:] or 1) == 0
    return str(value) in part.split(",")


def model(cron: Cron, lo: int, hi: int) -> list[int]:
    minute, hour, *_ = cron.expr.split()
    zone, found = ZoneInfo(cron.tz), []

    def matches(wall: datetime) -> bool:
        return named(minute, wall.minute) and named(hour, wall.hour)

    for at in range(lo - lo % 60 + 60, hi + 1, 60):
        here, before = (datetime.fromtimestamp(t, zone) for t in (at, at - 60))
        wall, previous = here.replace(tzinfo=None), before.replace(tzinfo=None)
        twice = here.replace(fold=0).utcoffset() != here.replace(fold=1).utcoffset()
        wanted = {"first": here.fold == 0, "second": here.fold == 1, "both": True}[cron.fold]
        fires = matches(wall) and (wanted or not twice)
        lost = range(1, int((wall - previous).total_seconds()) // 60)
        if cron.gap == "shift" and any(matches(previous + timedelta(minutes=n)) for n in lost):
            fires = True
        if fires:
            found.append(at * 1000)
    return found


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(MOVES),
    st.sampled_from(MINUTES),
    st.sampled_from(HOURS),
    st.sampled_from(["skip", "shift"]),
    st.sampled_from(["first", "second", "both"]),
    st.integers(-2000, 2000),
    st.integers(0, 3000),
)
def test_around_any_move_of_the_clock_the_slots_are_those_of_the_model(
    move: tuple[str, str], minute: str, hour: str, gap: Any, fold: Any, offset: int, length: int
) -> None:
    schedule = Cron(f"{minute} {hour} * * *", move[0], gap=gap, fold=fold)
    lo = ms(move[1]) // 1000 + offset * 60
    hi = lo + length * 60
    expected = model(schedule, lo, hi)
    assert list(between(schedule, lo * 1000, hi * 1000)) == expected
    assert count(schedule, lo * 1000, hi * 1000) == len(expected)
    if expected:
        assert after(schedule, lo * 1000) == expected[0]
        assert latest(schedule, hi * 1000) == expected[-1]
        assert latest(schedule, expected[-1]) == expected[-1]


@settings(deadline=None)
@given(
    st.sampled_from([B, N, H, A]),
    st.sampled_from(HOURS),
    st.sampled_from(["first", "second", "both"]),
    st.data(),
)
def test_walking_with_after_gives_the_same_slots_from_wherever_one_starts(
    zone: str, hour: str, fold: Any, data: st.DataObject
) -> None:
    schedule = Cron(f"*/10 {hour} * * *", zone, gap="shift", fold=fold)
    lo = data.draw(st.integers(ms("2011-12-20T00:00Z"), ms("2026-12-31T00:00Z")))
    all_of_them = list(between(schedule, lo, lo + 5 * 86_400_000))
    assert all(a < b for a, b in pairwise(all_of_them))
    t = data.draw(st.integers(lo, lo + 5 * 86_400_000 - 1))
    walked, at = [], after(schedule, t)
    while at is not None and at <= lo + 5 * 86_400_000:
        walked.append(at)
        at = after(schedule, at)
    assert walked == [slot for slot in all_of_them if slot > t]


def test_a_window_of_the_memory_begins_without_a_seam() -> None:
    seam = 2**25 * 53  # 2026-04-29 or so: nothing special happens there
    for fold in POLICIES:
        schedule = Cron("* * * * * *", B, fold=fold)
        assert list(between(schedule, (seam - 5) * 1000, (seam + 5) * 1000)) == [
            (seam + n) * 1000 for n in range(-4, 6)
        ]


def test_ten_years_walked_at_once_are_ten_years_walked_day_by_day() -> None:
    start, day = ms("2018-01-01T00:00Z"), 86_400_000
    for gap in GAP_POLICIES:
        schedule = Cron("30 2 * * *", B, gap=gap, fold="both")
        at_once = list(between(schedule, start, start + 3650 * day))
        by_day = [
            slot for n in range(3650) for slot in between(schedule, start + n * day, start + (n + 1) * day)
        ]
        assert at_once == by_day == sorted(set(by_day))
        assert count(schedule, start, start + 3650 * day) == len(by_day)


@pytest.mark.parametrize("fold", POLICIES)
@pytest.mark.parametrize("seam", [-1800, -1, 0, 1, 1800])
def test_a_fold_across_the_seam_of_two_windows_is_one_fold(
    fold: Any, seam: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lo, hi = ms("2026-10-24T12:00Z"), ms("2026-10-25T12:00Z")
    expected = list(between(Cron("*/5 * * * *", B, fold=fold), lo, hi))
    # Windows of which one begins within half an hour of Berlin's move; what zones did is kept by window.
    monkeypatch.setattr(dst, "_WINDOW", (ms("2026-10-25T01:00Z") // 1000 + seam) // 50)
    dst._moves.cache_clear()
    try:
        rule = dst.Rule("*/5 * * * *", B, "skip", fold)
        assert [slot * 1000 for slot in rule.between(lo // 1000 + 1, hi // 1000 + 1)] == expected
    finally:
        dst._moves.cache_clear()


# preview


def rows(schedule: Cron, start: str, n: int) -> list[tuple[str, str]]:
    return [(row.local, row.note) for row in preview(schedule, "t", ms(start), n)]


def test_a_preview_tells_of_local_times_that_do_not_exist() -> None:
    assert rows(cron("30 2 * * *", tz=B), "2026-03-27T12:00Z", 2) == [
        ("2026-03-28T02:30:00+01:00", ""),
        ("2026-03-29T02:30:00", "DST: clocks go forward, this local time does not exist"),
        ("2026-03-30T02:30:00+02:00", ""),
    ]
    missing = preview(cron("30 2 * * *", tz=B), "t", ms("2026-03-27T12:00Z"), 2)[1]
    assert (missing.slot, missing.due) == (None, None)


def test_a_preview_tells_of_many_skipped_times_in_one_entry() -> None:
    found = rows(cron("*/15 * * * *", tz=B), "2026-03-29T00:30Z", 2)
    note = "DST: clocks go forward, this local time does not exist (nor do 3 more up to 02:45:00)"
    expected = [
        ("2026-03-29T01:45:00+01:00", ""),
        ("2026-03-29T02:00:00", note),
        ("2026-03-29T03:00:00+02:00", ""),
    ]
    assert found == expected


def test_a_preview_marks_what_was_shifted() -> None:
    assert rows(cron("30 2 * * *", tz=B, gap="shift"), "2026-03-28T12:00Z", 2) == [
        ("2026-03-29T03:00:00+02:00", "DST: clocks go forward, shifted"),
        ("2026-03-30T02:30:00+02:00", ""),
    ]


def test_a_preview_marks_the_hour_that_comes_twice() -> None:
    assert rows(cron("30 1,2 * * *", tz=B, fold="both"), "2026-10-24T12:00Z", 4) == [
        ("2026-10-25T01:30:00+02:00", ""),
        ("2026-10-25T02:30:00+02:00", "DST: repeated hour, first"),
        ("2026-10-25T02:30:00+01:00", "DST: repeated hour, second"),
        ("2026-10-26T01:30:00+01:00", ""),
    ]
    assert rows(cron("0 3 * * *", tz=B), "2026-10-24T12:00Z", 1) == [("2026-10-25T03:00:00+01:00", "")]
    assert (
        rows(cron("0 2 * * *", tz=B, fold="second"), "2026-10-24T12:00Z", 1)[0][1]
        == "DST: repeated hour, second"
    )


def test_the_repeated_hour_of_a_preview_begins_at_its_first_second() -> None:
    assert rows(cron("0 2 * * *", tz=B), "2026-10-24T12:00Z", 1)[0][1] == "DST: repeated hour, first"


def test_a_preview_ends_with_the_schedule() -> None:
    ending = cron("30 2 * * *", tz=B, start="2026-03-28T00:00Z", end="2026-03-29T12:00Z")
    assert [row.slot is None for row in preview(ending, "t", 0, 9)] == [False, True]
    assert preview(ending, "t", ms("2026-04-01T00:00Z"), 9) == []
    assert preview(ending, "t", 0, 0) == []


def test_a_preview_of_every_is_in_utc_with_its_jitter() -> None:
    row = preview(every("1500ms", jitter="1s"), "t", 0, 1)[0]
    assert row.slot == 1500 and row.due is not None and 1500 <= row.due < 2500
    assert (row.local, row.note) == ("1970-01-01T00:00:01.500+00:00", "")
