"""Times, durations and payloads as people type them. Every refusal is a ConfigError of one line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from ..durations import seconds
from ..errors import ConfigError, PayloadError

TIME_HELP = "a time (UTC unless it has an offset), now, +10m, -2h, or Unix milliseconds"


def moment(value: str, now_ms: int, what: str = "time") -> datetime:
    """`2026-11-23 12:00`, `2026-11-23T12:00:00+01:00`, `now`, `+10m`, `-2h` or Unix milliseconds, as UTC."""
    said = value.strip()
    if said == "now":
        return _at(now_ms)
    if re.fullmatch(r"\d{12,14}", said):
        return _at(int(said))
    if said[:1] in ("+", "-"):
        offset = seconds(said[1:], what)
        return _at(now_ms + round(offset * 1000) * (1 if said[0] == "+" else -1))
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise ConfigError(f"{what} {value!r} is refused: allowed are {TIME_HELP}") from None
    # Everything that is printed is UTC, so what is copied from there must mean the same.
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _at(ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"time {ms} ms lies outside the calendar") from None


def payload(text: str, what: str) -> dict[str, Any]:
    """A JSON object. Raises `PayloadError`."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise PayloadError(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PayloadError(f"{what} is {_shown(text)}: a JSON object is needed")
    return value


def pairs(given: tuple[str, ...]) -> dict[str, Any]:
    """`key=value` words. A value that is JSON (`3`, `true`, `[1]`) is taken as such, else as text."""
    found: dict[str, Any] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"-p {word!r} is refused: write key=value")
        try:
            found[key] = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError):
            found[key] = value
    return found


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
