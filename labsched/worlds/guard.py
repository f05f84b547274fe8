"""Processes that never outlive this one, however it ends.

A `Guard` (one small /bin/sh, outside the terminal's process group) holds the reading end of a pipe whose
writing end only this process has: when this process ends, the guard ends what it watches.
PR_SET_PDEATHSIG would not do: it is Linux only, and fires when the *thread* ends that started the process.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

# Reads "+ SIGNAL PID" and "- PID" until its input ends, then ends the process groups that are left:
# KILL at once, TERM with 3 s to write down what is in memory. Last it removes the folder in $1, if any.
_GUARD = r"""
watched=
while read -r op a b; do
  case $op in
    +) watched="$watched $a:$b" ;;
    -) rest=; for w in $watched; do [ "${w#*:}" = "$a" ] || rest="$rest $w"; done; watched=$rest ;;
  esac
done
for w in $watched; do kill "-${w%%:*}" "-${w#*:}"; done 2>/dev/null
tries=0
for w in $watched; do
  [ "${w%%:*}" = TERM ] || continue
  while kill -0 "-${w#*:}" 2>/dev/null && [ $tries -lt 30 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "-${w#*:}" 2>/dev/null
done
[ -z "$1" ] || rm -rf "$1"
"""
# A process waits until the guard knows of it; should its owner die first, it never becomes the program.
_AWAIT_GO = 'read -r go && exec "$@" </dev/null'


class Guard:
    """Ends process groups when this process ends. `folder`, if given, is removed then too."""

    def __init__(self, folder: Path | None = None) -> None:
        reading, self._pipe = os.pipe()
        # Also when this object is dropped or the interpreter ends: the guard then acts.
        self._let_go = weakref.finalize(self, os.close, self._pipe)
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "labsched-guard", str(folder or "")],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(reading)

    def spawn(
        self,
        command: Sequence[str],
        *,
        output: IO[bytes],
        how: Literal["TERM", "KILL"] = "KILL",
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """Start `command` in a session and process group of its own, guarded from before its first step."""
        reading, go = os.pipe()
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _AWAIT_GO, "labsched", *command],
                stdin=reading,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
            self._tell(f"+ {how} {process.pid}")
            with contextlib.suppress(BrokenPipeError):
                os.write(go, b"go\n")
        finally:
            os.close(reading)
            os.close(go)
        return process

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """Call it once the process has ended: its number may soon be another's."""
        self._tell(f"- {process.pid}")

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the guard itself may have been killed, or have been let go
            os.write(self._pipe, f"{line}\n".encode())

    def close(self) -> None:
        """Let the guard go: what it still watches ends now, and its folder is removed."""
        self._let_go()
        self._process.wait()


def tail(log: Path, lines: int) -> str:
    """The last lines of what a process has printed; "" when it has no log."""
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
