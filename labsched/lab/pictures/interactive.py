"""A space-time picture as a widget: matplotlib's own SVG of it, and what each mark says and has in its past."""

from __future__ import annotations

import io
from collections import defaultdict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from ...worlds.messages import Message
from ..figures import DPI
from .bars import Bar
from .causal import instant
from .layout import fault_label
from .sends import Arrow

if TYPE_CHECKING:
    from .spacetime import SpaceTime

_HERE = Path(__file__).parent


class Interactive(anywidget.AnyWidget):
    """What `spacetime(rec).interactive()` returns. `chosen` is the row of `.data` whose past is lit, or None: a press
    sets it, and so may a cell. Without a front end it is the picture's PNG and a repr that never changes."""

    _esm = _HERE / "interactive.js"
    _css = _HERE / "interactive.css"
    svg = traitlets.Unicode().tag(sync=True)
    marks: traitlets.List[Any] = traitlets.List().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    wide = traitlets.Int().tag(sync=True)  # pixels at most
    chosen = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(self, picture: SpaceTime) -> None:
        self.picture = picture
        stamped = zip(told(picture), picture.stamps, strict=True)
        marks = [{"said": said, "line": s.line, "n": s.n, "past": s.past} for said, s in stamped]
        out = io.StringIO()
        picture.savefig(out, format="svg")
        wide = round(picture.get_size_inches()[0] * DPI)
        super().__init__(svg=out.getvalue(), marks=marks, alt=picture.alt, wide=wide)

    def __repr__(self) -> str:
        return f"<interactive {repr(self.picture)[1:]}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        data, meta = found if isinstance(found, tuple) else (found or {}, {})
        png, about = self.picture._repr_png_()
        return {**data, "text/plain": repr(self), "image/png": png}, {**meta, "image/png": about}


def told(picture: SpaceTime) -> list[str]:
    """What each row of `.data` is, in a sentence."""
    log = picture.space.rec.message_log
    replies = answers(log)
    return [
        _message(thing, log, replies) if isinstance(thing, Arrow) else _bar(thing)
        for thing in picture.space.things
    ]


def answers(log: list[Message]) -> dict[int, int]:
    """Request to reply, by their places in the log: the first reply of that name between the two that is not yet
    another's. Nothing in a message says more."""
    open_: dict[tuple[str, str, str], deque[int]] = defaultdict(deque)
    found = {}
    numbered = list(enumerate(log))
    steps = [
        (instant(m.arrived), n, True) for n, m in numbered if m.kind == "request" and m.arrived is not None
    ]
    steps += [(instant(m.sent), n, False) for n, m in numbered if m.kind == "reply"]
    for _, n, asked in sorted(steps):
        one = log[n]
        if asked:
            open_[one.source, one.destination, one.name].append(n)
        elif waiting := open_[one.destination, one.source, one.name]:
            found[waiting.popleft()] = n
    return found


def _message(arrow: Arrow, log: list[Message], replies: dict[int, int]) -> str:
    said = f"{arrow.source} to {arrow.destination}: {arrow.kind} {arrow.name}".rstrip()
    said += f", sent at {arrow.sent:.3f} s, {_fate(arrow)}"
    if arrow.kind != "request" or arrow.lost:
        return said
    if arrow.number not in replies:
        return f"{said}; no reply was sent"
    reply = log[replies[arrow.number]]
    return f"{said}; reply sent at {reply.sent:.3f} s, {_fate(reply)}"


def _fate(message: Arrow | Message) -> str:
    if message.arrived is not None:
        return f"arrived at {message.arrived:.3f} s"
    return f"lost ({message.lost})" if message.lost else "still under way at the end"


def _bar(bar: Bar) -> str:
    number = f" #{bar.rank}" if bar.rank else ""
    if bar.kind == "fault":
        return fault_label(bar, named=True)
    if bar.kind == "violation":
        return f"{bar.start:.3f} s, {bar.outcome} is violated: {bar.label}"
    if bar.kind == "told":
        return f"{bar.start:.3f} s, {bar.band} is told that its lease is lost"
    if bar.kind == "refused":
        return f"{bar.start:.3f} s, the server refuses {bar.band} {bar.outcome}{number} ({bar.label})"
    held = {"leader": "leads", "attempt": f"runs {bar.label}", "lease": "has its instance lease"}
    said = (
        f"{bar.band} {held.get(bar.kind, f'holds {bar.label}')}{number}, {bar.start:.3f} to {bar.end:.3f} s"
    )
    return (
        f"{said}; {_HALTS.get(bar.kind, 'it stopped')} at {bar.halt:.3f} s" if bar.halt is not None else said
    )


_HALTS = {"lease": "its margin begins"}
