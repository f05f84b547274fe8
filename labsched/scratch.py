"""Where sample tasks put files: a marked folder in the real world, a dictionary in the simulated one.

A cleanup task that deletes in the wrong folder is the worst thing a demo can do. So a folder belongs to
labsched only if it holds labsched's marker, names can lead nowhere else, and symlinks are not followed.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from .clock import Clock
from .errors import ConfigError

MARKER = ".labsched-scratch"
_UNFINISHED = ".unfinished-"
_ABANDONED_AFTER = 60.0  # seconds; no write takes that long, so its writer was killed


class Scratch(Protocol):
    """A flat set of named byte strings, shared by the instances that were given the same place.

    Names are plain file names, else ValueError. Reading what is not there is FileNotFoundError, removing
    it is not: another instance may have been quicker. A reader sees a whole old or a whole new content.
    """

    @property
    def where(self) -> str:
        """The place, in words for people."""

    def write(self, name: str, data: bytes) -> None:
        """Create or replace `name`."""

    def read(self, name: str) -> bytes:
        """The content of `name`."""

    def names(self) -> list[str]:
        """All names, sorted."""

    def age(self, name: str) -> float:
        """Seconds since `name` was last written, never negative."""

    def size(self, name: str) -> int:
        """Bytes in `name`."""

    def remove(self, name: str) -> None:
        """Forget `name`, if it is there."""


def plain(name: str) -> str:
    """`name` if it is a plain file name: not hidden, no separators, at most 200 bytes. ValueError otherwise."""
    if (
        not name
        or name.startswith(".")
        or not name.isprintable()
        or any(separator in name for separator in "/\\")
        or len(name.encode()) > 200
    ):
        raise ValueError(
            f"{name!r} is not a plain file name (no leading dot, no separators, at most 200 bytes)"
        )
    return name


class FolderScratch:
    """A `Scratch` in the folder `root`, which is created with a marker file.

    ConfigError when `root` holds anything and has no marker, or cannot be used. Whatever is not a regular
    file in it (a symlink, a subfolder) is neither listed nor read nor removed.
    """

    def __init__(self, root: Path, clock: Clock) -> None:
        self._clock = clock
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._root = root.resolve(strict=True)
            if not self._marked():
                if any(self._root.iterdir()):
                    raise ConfigError(
                        f"{root} is not empty and has no {MARKER}: tasks would delete files in it. "
                        "Name an empty or a new folder"
                    )
                (self._root / MARKER).write_text("labsched's sample tasks write and delete files here.\n")
            self._drop_unfinished()
        except OSError as error:
            raise ConfigError(f"{root} cannot be the scratch folder: {error.strerror or error}") from None

    @property
    def where(self) -> str:
        return str(self._root)

    def write(self, name: str, data: bytes) -> None:
        target = self._inside(name)
        handle, unfinished = tempfile.mkstemp(prefix=_UNFINISHED, dir=self._root)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            # Ages are counted by the clock that was passed in, and so are the times of files.
            os.utime(unfinished, (self._clock.now(), self._clock.now()))
            os.replace(unfinished, target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(unfinished)
            raise

    def read(self, name: str) -> bytes:
        path = self._inside(name)
        self._stat(name)
        # Between the look and the opening it may have become a symlink: O_NOFOLLOW refuses that.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            return file.read()

    def names(self) -> list[str]:
        with os.scandir(self._root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.is_file(follow_symlinks=False) and not entry.name.startswith(".")
            )

    def age(self, name: str) -> float:
        return max(0.0, self._clock.now() - self._stat(name).st_mtime)

    def size(self, name: str) -> int:
        return self._stat(name).st_size

    def remove(self, name: str) -> None:
        path = self._inside(name)
        with suppress(FileNotFoundError):
            self._stat(name)
            os.unlink(path)

    def _inside(self, name: str) -> Path:
        path = self._root / plain(name)
        if not self._marked():
            raise ConfigError(f"{self._root} has lost its {MARKER}: nothing is written or deleted there")
        return path

    def _marked(self) -> bool:
        return (self._root / MARKER).is_file()

    def _stat(self, name: str) -> os.stat_result:
        found = os.lstat(self._root / plain(name))
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(f"{name} in {self._root} is not a regular file")
        return found

    def _drop_unfinished(self) -> None:
        for path in self._root.glob(f"{_UNFINISHED}*"):
            with suppress(FileNotFoundError):
                if self._clock.now() - path.lstat().st_mtime > _ABANDONED_AFTER:
                    path.unlink()


class MemoryScratch:
    """A `Scratch` in memory, for simulated worlds and tests."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._files: dict[str, tuple[bytes, float]] = {}

    @property
    def where(self) -> str:
        return "memory"

    def write(self, name: str, data: bytes) -> None:
        self._files[plain(name)] = (bytes(data), self._clock.now())

    def read(self, name: str) -> bytes:
        return self._file(name)[0]

    def names(self) -> list[str]:
        return sorted(self._files)

    def age(self, name: str) -> float:
        return max(0.0, self._clock.now() - self._file(name)[1])

    def size(self, name: str) -> int:
        return len(self._file(name)[0])

    def remove(self, name: str) -> None:
        self._files.pop(plain(name), None)

    def _file(self, name: str) -> tuple[bytes, float]:
        try:
            return self._files[plain(name)]
        except KeyError:
            raise FileNotFoundError(f"{name} is not in memory") from None
