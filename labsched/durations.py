"""Durations, rates and sizes as people write them, as plain numbers. Pure; every refusal is a ConfigError.

    seconds("1h30m") == 5400.0    rate("10/30s") == (10, 30.0)    size("64MiB") == 67108864

Months and years are refused: they have no fixed length, and a lease must not depend on the calendar.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import NoReturn

from .errors import ConfigError

# A thousand years: beyond it milliseconds as floats stop being exact and dates stop being dates.
LONGEST = 1000 * 365.25 * 86400

_ALLOWED = 'seconds, a timedelta, "250ms", "5s", "30m", "1h30m", "7d", "2w" or ISO-8601 like "PT30M"'
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_PLAIN = re.compile(_NUMBER)
_UNITS = ("w", "d", "h", "m", "s", "ms")
_LENGTHS = (604800.0, 86400.0, 3600.0, 60.0, 1.0)
_COMPOUND = re.compile(r"\s*".join(rf"(?:{_NUMBER}\s*{unit})?" for unit in _UNITS))
_ISO = re.compile(
    rf"P(?=[0-9T])(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=[0-9])(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_CALENDAR_PART = re.compile(rf"P(?:{_NUMBER}[WD])*{_NUMBER}[YM]")
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(rf"{_NUMBER}\s*([KMG]?I?B|)", re.IGNORECASE)


def seconds(value: object, what: str = "duration", *, minimum: float = 0.0) -> float:
    """`value` in seconds. `what` names it in the message of the ConfigError.

    Refused: what is no duration, NaN, infinity, booleans, less than `minimum` seconds, over 1000 years.
    """
    if isinstance(value, timedelta):
        result = value.total_seconds()
    elif isinstance(value, str):
        result = _from_text(value.strip(), value, what)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        result = _as_float(value)
    else:
        _refuse(what, value, f"allowed are {_ALLOWED}")
    if not math.isfinite(result) or result > LONGEST:
        _refuse(what, value, "it must be a finite number of seconds, at most 1000 years")
    if result < minimum:
        _refuse(what, value, f"it must be at least {show(minimum)}")
    return result


def rate(value: object, what: str = "rate") -> tuple[int, float]:
    """`"100/s"`, `"5/m"`, `"10/30s"` as (count, seconds per that count). ConfigError otherwise."""
    allowed = 'allowed are a whole number from 1, "/" and a period, like "100/s", "5/m" or "10/30s"'
    if not isinstance(value, str) or value.count("/") != 1:
        _refuse(what, value, allowed)
    count, _, period = (part.strip() for part in value.partition("/"))
    if not re.fullmatch(r"[0-9]{1,15}", count) or int(count) < 1:
        _refuse(what, value, allowed)
    if period in _UNITS:
        period = "1" + period
    # "100/5" could mean anything, so the period must name its unit.
    if not period or _PLAIN.fullmatch(period):
        _refuse(what, value, allowed)
    return int(count), seconds(period, f"period of {what} {value!r}", minimum=0.001)


def size(value: object, what: str = "size") -> int:
    """Bytes of `67108864`, `"64MiB"` (binary) or `"512MB"` (decimal). ConfigError otherwise."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        number = (
            float(match[1]) * _BYTES[match[2].upper()] if match and match[2].upper() in _BYTES else math.nan
        )
        result = int(number) if math.isfinite(number) and number == int(number) else 0
    else:
        result = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if not 0 < result < 2**63:
        _refuse(what, value, 'allowed are whole bytes from 1, or text like "64MiB", "512MB" or "1.5GiB"')
    return result


def show(value: float) -> str:
    """Seconds for people, exact to the microsecond: "0s", "250ms", "1.5s", "30m", "1h30m", "7d"."""
    if not math.isfinite(value):
        return str(value)
    micros = round(abs(value) * 1e6)
    sign = "-" if value < 0 and micros else ""
    if 0 < micros < 10**6:
        return f"{sign}{_trim(micros, 1000)}ms"
    text = ""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        whole, micros = divmod(micros, length * 10**6)
        text += f"{whole}{unit}" if whole else ""
    text += f"{_trim(micros, 10**6)}s" if micros or not text else ""
    return sign + text


def _trim(micros: int, unit: int) -> str:
    whole, rest = divmod(micros, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0").rstrip(".") if rest else str(whole)


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _from_text(text: str, value: object, what: str) -> float:
    if _PLAIN.fullmatch(text):
        return float(text)
    if text[:1] in ("P", "p"):
        return _from_iso(text.upper().replace(",", "."), value, what)
    match = _COMPOUND.fullmatch(text) if text else None
    if match is None:
        hint = "negative durations make no sense here; " if text.startswith("-") else ""
        _refuse(what, value, f"{hint}allowed are {_ALLOWED}")
    *larger, millis = match.groups()
    return _total(larger) + float(millis or 0) / 1000  # divided, because 0.001 is not exact


def _from_iso(text: str, value: object, what: str) -> float:
    if _CALENDAR_PART.match(text):
        _refuse(what, value, "years and months have no fixed length: say days, hours, minutes or seconds")
    match = _ISO.fullmatch(text)
    if match is None:
        _refuse(what, value, f"allowed are {_ALLOWED}")
    return _total(match.groups())


def _total(parts: list[str | None] | tuple[str | None, ...]) -> float:
    return sum(float(part) * length for part, length in zip(parts, _LENGTHS, strict=True) if part)


def _refuse(what: str, value: object, rule: str) -> NoReturn:
    text = repr(value)
    raise ConfigError(f"{what} {text if len(text) <= 80 else text[:77] + '...'} is refused: {rule}")
