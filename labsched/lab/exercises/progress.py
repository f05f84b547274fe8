"""What a learner has predicted and solved, kept in a small JSON file beside the notebooks.

`LABSCHED_PROGRESS` names another file, or is `off`: then nothing is read or written, as in CI.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

import msgspec

from labsched.errors import ConfigError

FILE = ".labsched-progress.json"


class Entry(msgspec.Struct, omit_defaults=True):
    """One prediction or exercise. `first` is what was said first; `changed` that it was changed after the reveal."""

    kind: Literal["prediction", "exercise"]
    first: Any = None
    answer: Any = None
    actual: Any = None
    revealed: bool = False
    changed: bool = False
    tries: int = 0
    solved: bool = False


class Progress(msgspec.Struct):
    """Everything that one learner has done, by id."""

    entries: dict[str, Entry] = {}

    def __repr__(self) -> str:
        if not self.entries:
            return "nothing predicted and nothing solved yet"
        rows = [(id, entry.kind, _state(entry)) for id, entry in sorted(self.entries.items())]
        width = max(len(id) for id, _, _ in rows)
        solved = sum(entry.solved for entry in self.entries.values())
        exercises = sum(entry.kind == "exercise" for entry in self.entries.values())
        lines = [f"{id:<{width}}  {kind:<10}  {state}" for id, kind, state in rows]
        return "\n".join([*lines, f"{solved} of {exercises} exercises that were tried are solved"])

    def to_csv(self, learner: str) -> str:
        """A row per entry, for whoever teaches a class: learner, id, kind, first, answer, actual, tries, solved."""
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(["learner", "id", "kind", "first", "answer", "actual", "tries", "solved"])
        for id, e in sorted(self.entries.items()):
            rows.writerow([learner, id, e.kind, e.first, e.answer, e.actual, e.tries, e.solved])
        return out.getvalue()


def _state(entry: Entry) -> str:
    if entry.kind == "exercise":
        return f"solved after {_tries(entry.tries)}" if entry.solved else f"not yet, {_tries(entry.tries)}"
    if not entry.revealed:
        return f"predicted {entry.answer}"
    came = f"it was {entry.actual}"
    if entry.changed:
        return f"predicted {entry.first}, changed to {entry.answer} afterwards; {came}"
    return f"predicted {entry.answer}; {came}"


def _tries(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


def progress() -> Progress:
    """What this learner has done so far. A file that cannot be read is ConfigError, in one line, and stays as it is."""
    path = _path()
    if path is None or not path.exists():
        return Progress()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except (msgspec.MsgspecError, OSError) as error:
        raise ConfigError(
            f"the progress file {path} cannot be read ({error}): move it away to begin anew"
        ) from None


def entry(id: str, kind: Literal["prediction", "exercise"]) -> Entry:
    """The entry of that id, or a new one."""
    return progress().entries.get(id) or Entry(kind)


def keep(id: str, changed: Entry) -> None:
    """Write it down; readers see the old file or the whole new one."""
    path = _path()
    if path is None:
        return
    known = progress()
    known.entries[id] = changed
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(known, order="sorted")))
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _path() -> Path | None:
    said = os.environ.get("LABSCHED_PROGRESS", "")
    return None if said.lower() == "off" else Path(said or FILE)
