"""Between Python values and what the scripts keep: JSON in, structs out. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .errors import PayloadError
from .model import Attempt, Event, Execution, Failure, Kind, State, Task

MAX_JSON = 1 << 20  # bytes of one payload, result or fenced value
SURELY_FLAT = 400  # with so few brackets nothing is too deep to be read

_decode = msgspec.json.decode
# The standard library's encoder: msgspec's would take bytes, dates and sets, and turn NaN into null.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode


def to_json(value: Any, what: str) -> str:
    """`value` as compact JSON. Raises `PayloadError` when it is not JSON or over 1 MiB."""
    if value is None or (value == {} and type(value) is dict):
        return "null" if value is None else "{}"
    try:
        encoded = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"{what} is not JSON: {error}") from None
    if len(encoded) > MAX_JSON // 4 and len(encoded.encode("utf-8", "surrogatepass")) > MAX_JSON:
        raise PayloadError(f"{what} is larger than 1 MiB")
    try:
        encoded.encode()
    except UnicodeEncodeError:
        raise PayloadError(f"{what} holds text that is not Unicode (a lone surrogate)") from None
    if encoded.count("[") + encoded.count("{") > SURELY_FLAT:
        try:
            _decode(encoded)
        except RecursionError:
            raise PayloadError(f"{what} is nested too deep to be read again") from None
    return encoded


def payload_json(value: Any, what: str) -> str:
    """`value` as JSON, to be a body's keyword arguments. Raises `PayloadError` also when it cannot be those."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise PayloadError(f"{what} is {str(value)[:80]!r}, allowed is a mapping with text keys")
    return to_json(value if type(value) is dict else dict(value), what)


def from_json(text: str | bytes | None) -> Any:
    """The value of JSON text, None for absent or empty."""
    return _decode(text) if text else None


def encode_task(task: Task) -> str:
    """A definition as JSON; equal definitions give equal text, so that redefining changes nothing."""
    return msgspec.json.encode(task, order="deterministic").decode()


def decode_task(text: str | bytes) -> Task:
    return msgspec.json.decode(text, type=Task)


def failure_of(error: BaseException, traceback: str) -> Failure:
    """What is kept of an exception: message cut at 2,000, traceback at 16,000 characters."""
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be shown: __str__ raised"
    return Failure(
        type=type(error).__name__, message=clean(message[:2000]), traceback=clean(traceback[-16_000:])
    )


def clean(said: str) -> str:
    """Text that can be sent: a lone surrogate (an undecodable file name, say) as its escape."""
    return said.encode("utf-8", "backslashreplace").decode()


def brief(failure: Failure) -> str:
    """A failure in one line of at most 200 characters."""
    line = f"{failure.type}: {failure.message}".splitlines() or [failure.type]
    return line[0][:200]


def _int(value: str | None) -> int | None:
    return int(value) if value else None


def _error(h: Mapping[str, str], state: State) -> Failure | None:
    # A failure that a later attempt made good is told by `attempts` alone.
    if state is State.SUCCEEDED or not h.get("error"):
        return None
    return msgspec.json.decode(h["error"], type=Failure)


def execution(id: str, h: Mapping[str, str], log: Sequence[str] = ()) -> Execution:
    """An execution from its hash."""
    done = [k for k in h if k[0] == "a" and k[1:].isdigit()]
    attempts = [msgspec.json.decode(h[k], type=Attempt) for k in sorted(done, key=lambda k: int(k[1:]))]
    started, token, state = _int(h.get("started")), _int(h.get("token")), State(h["state"])
    number = int(h.get("attempt", "0"))
    open_or_good = state in (State.RUNNING, State.SUCCEEDED)
    if open_or_good and token and started and all(a.number != number for a in attempts):
        good = state is State.SUCCEEDED
        attempts.append(
            Attempt(
                number=number,
                token=token,
                instance=h.get("inst", ""),
                started=started // 1000,
                ended=_int(h.get("ended")) if good else None,
                outcome="SUCCEEDED" if good else None,
            )
        )
    progress = from_json(h.get("prog"))
    return Execution(
        id=id,
        task=h["task"],
        state=state,
        slot=_int(h.get("slot")),
        created=int(h["created"]),
        due=_int(h.get("due")),
        started=started // 1000 if started else None,
        finished=_int(h.get("ended")),
        attempt=number,
        losses=int(h.get("losses", "0")),
        token=token,
        instance=h.get("inst") or None,
        priority=h["prio"],  # type: ignore[arg-type]
        payload=from_json(h.get("payload")) or {},
        result=from_json(h.get("result")),
        error=_error(h, state),
        reason=h.get("reason") or None,
        progress=(progress[0], progress[1]) if progress else None,
        cancel_requested=h.get("cancel") == "1",
        attempts=tuple(attempts),
        log=tuple(log),
    )


def event(id: str, h: Mapping[str, str]) -> Event:
    """An event from its stream entry."""
    return Event(
        id=id,
        at=int(id.partition("-")[0]) / 1000,
        kind=Kind(h["kind"]),
        task=h["task"] or None,
        execution=h["execution"] or None,
        attempt=_int(h["attempt"]),
        token=_int(h["token"]),
        instance=h["instance"] or None,
        epoch=_int(h["epoch"]),
        data=from_json(h["data"]) or {},
    )
