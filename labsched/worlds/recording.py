"""What a run leaves behind, in either world: one value, one file. Checks and plots read it, nothing else does.

`Recording` holds raw facts (`history`, `journals`, `fault_log`, snapshots) and shows them as data frames
(`events`, `executions`, `attempts`, `locks`, `leaders`, `faults`). docs/recording.md lists every column.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ..errors import ConfigError
from ..model import Event
from .checks import run
from .checks.capacity import Capacity
from .checks.facts import Facts
from .checks.health import Health, is_elsewhere
from .checks.nouns import id_key
from .checks.result import Report
from .checks.shapes import check_shapes
from .messages import Message

if TYPE_CHECKING:
    import pandas as pd

    from ..app import Scheduler

FORMAT = "labsched-recording"
FORMAT_VERSION = 1

# Facts of the machine, not of the run; payloads belong to users.
_NOT_IN_DIGEST = frozenset({"pid", "hostname", "payload"})
_ADDRESS = re.compile(rb" at 0x[0-9a-f]+")  # in the text of an error that names an object


# Names of views are taken by the frames.
_IN_THE_FILE = {"history": "events", "fault_log": "faults", "message_log": "messages"}


class Recording(msgspec.Struct, kw_only=True, dict=True, rename=_IN_THE_FILE):
    """A run from start to end. `started` and `ended` are Unix seconds by the server's clock.

    A value: nothing here changes after it was made, and derived views are computed once.
    """

    world: Literal["real", "simulated"]
    namespace: str
    started: float
    ended: float
    seed: int | None = None
    options: dict[str, Any] = {}
    plan: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    snapshot: dict[str, Any] = {}
    final: dict[str, Any] | None = None
    history: list[Event] = []
    journals: list[dict[str, Any]] = []
    fault_log: list[dict[str, Any]] = []
    message_log: list[Message] = []

    def __repr__(self) -> str:
        lasted = self.ended - self.started
        return f"<Recording of {lasted:g} s in a {self.world} world: {len(self.history)} events>"

    def check(self, settle: float | None = None) -> Report:
        """Every guarantee, judged on this recording. `settle` (seconds): how long a healthy cluster may take to
        decide what was due; by default from its leases."""
        return run(self, settle)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one JSON file, gzipped when the name ends in `.gz`. A reader sees the old file or the whole new one."""
        target = Path(path)
        _write(target, packed(self, gzipped=target.name.endswith(".gz")))

    def replay(self, app: Scheduler | None = None) -> Recording:
        """The same run again, from its seed, options and faults; the digest must be the same (simulated world only).

        `app` brings the functions of tasks that are neither samples nor the swarm's. ConfigError for a recording that
        cannot be run again here: of real processes, of other versions, with calls or programs of the user's own.
        """
        from .replay import replay

        return replay(self, app)

    @cached_property
    def digest(self) -> str:
        """sha256 over what happened: equal for two runs that tell the same story (docs/recording.md)."""
        told = hashlib.sha256()
        for line in self.story():
            told.update(line + b"\n")
        return told.hexdigest()

    def story(self) -> Iterator[bytes]:
        """What the digest is made from: a line of JSON per event, without what differs between equal runs."""
        ranks, start = self.facts.ranks, round(self.started * 1_000_000)
        for e in self.history:
            when = round(e.at * 1000) * 1000 - start
            line = (
                when,
                e.kind,
                e.task,
                e.execution,
                e.attempt,
                e.instance,
                ranks.get(e.token),
                ranks.get(e.epoch),
            )
            yield _ADDRESS.sub(b"", msgspec.json.encode((line, _semantic(e.data)), order="sorted"))

    @cached_property
    def history_reset(self) -> str:
        """Why this is not one unbroken history, or an empty text."""
        for fault in self.fault_log:
            if is_elsewhere(fault):
                continue
            if fault.get("lost"):
                return f"the {fault['kind']} lost {fault['lost']} acknowledged writes"
            if fault.get("keep") is False:
                return f"the {fault['kind']} threw the data away"
        last = self.snapshot.get("last_event")
        for e in self.history:
            if last and id_key(e.id) <= id_key(last):
                return f"event {e.id} follows {last}"
            last = e.id
        final = (self.final or {}).get("last_event")
        if final and last and id_key(final) < id_key(last):
            return f"the final state knows no event after {final}, the history reaches {last}"
        if final and (last is None or id_key(final) > id_key(last)):
            return f"the history ends at {last}, the final state knows {final}"
        return ""

    @cached_property
    def facts(self) -> Facts:
        """Runs, tries, lives, holds and reigns: what the checks and frames are made from."""
        return Facts(self)

    @cached_property
    def health(self) -> Health:
        """When the cluster was fit to keep its promises."""
        return Health(self)

    @cached_property
    def capacity(self) -> Capacity:
        """Who could have run what."""
        return Capacity(self)

    @cached_property
    def events(self) -> pd.DataFrame:
        """One row per event, in the order of the stream."""
        return _frame(self, "events")

    @cached_property
    def executions(self) -> pd.DataFrame:
        """One row per execution that was seen."""
        return _frame(self, "executions")

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """One row per attempt."""
        return _frame(self, "attempts")

    @cached_property
    def locks(self) -> pd.DataFrame:
        """One row per grant of a lock."""
        return _frame(self, "locks")

    @cached_property
    def leaders(self) -> pd.DataFrame:
        """One row per epoch."""
        return _frame(self, "leaders")

    @cached_property
    def faults(self) -> pd.DataFrame:
        """One row per fault that the world recorded."""
        return _frame(self, "faults")

    @cached_property
    def messages(self) -> pd.DataFrame:
        """One row per message between an instance or client and a server; empty in the real world."""
        return _frame(self, "messages")


def packed(rec: Recording, *, gzipped: bool) -> bytes:
    """The bytes of its file."""
    body = msgspec.json.encode({"format": FORMAT, "version": FORMAT_VERSION, "recording": rec})
    return gzip.compress(body, mtime=0) if gzipped else body  # the same recording gives the same bytes


def load(path: str | os.PathLike[str]) -> Recording:
    """Read what `save` wrote, in whichever world it was recorded.

    ConfigError of one line when the file cannot be read, is no recording, or has another format version.
    """
    try:
        body = Path(path).read_bytes()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        head = msgspec.json.decode(body, type=_Head)
    except TypeError:
        raise ConfigError(f"load takes a path and got {path!r}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, msgspec.MsgspecError, RecursionError):
        raise ConfigError(f"{path} is not a labsched recording") from None
    except OSError as error:
        raise ConfigError(f"cannot read recording {path}: {error.strerror or error}") from None
    if head.format != FORMAT:
        raise ConfigError(f"{path} is not a labsched recording")
    if head.version != FORMAT_VERSION:
        raise ConfigError(
            f"recording {path} has format version {head.version}, this labsched reads {FORMAT_VERSION}"
        )
    try:
        rec = msgspec.json.decode(head.recording, type=Recording)
        check_shapes(rec)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"recording {path} is damaged: {' '.join(str(error).split())}") from None
    return rec


class _Head(msgspec.Struct):
    format: str
    version: int
    recording: msgspec.Raw


def _semantic(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _semantic(value) for key, value in data.items() if key not in _NOT_IN_DIGEST}
    return [_semantic(value) for value in data] if isinstance(data, list) else data


def _frame(rec: Recording, name: str) -> pd.DataFrame:
    from .checks import frames  # loads pandas, which only those who look at frames need

    frame: pd.DataFrame = getattr(frames, name)(rec)
    return frame


def _write(target: Path, body: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # a temporary file is private, a recording is not
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
