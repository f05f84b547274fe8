"""Where the demo is shown: a live table on a terminal, plain lines in a pipe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .output import STYLES, echo, fancy, rich_table
from .story import Story


class Stage:
    """`tell` is given to the story; `open` shows it for the length of a block."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._live: Any = None
        self._story: Story | None = None

    def tell(self, at: float, line: str) -> None:
        if self._live is not None:
            self._live.console.print(_styled(line))
            self._live.update(self._view())
        else:
            echo(line)

    @contextlib.contextmanager
    def open(self, story: Story) -> Iterator[None]:
        if not fancy():
            yield
            return
        from rich.live import Live

        self._story = story
        with Live(get_renderable=self._view, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def _view(self) -> Any:
        assert self._story is not None
        rows = []
        for name, tally in self._story.tallies.items():
            state = "leads" if name == self._story.leader and tally.state == "alive" else tally.state
            now = ", ".join(sorted(set(tally.running.values())))
            rows.append([name, state, str(tally.started), str(tally.finished), now])
        return rich_table(["INSTANCE", "STATE", ">STARTED", ">FINISHED", "RUNS NOW"], rows)


def _styled(line: str) -> Any:
    from rich.text import Text

    marks = {"SIGKILL": "bold red", " lost": "red", " leads": "bold green", " again": "cyan"}
    style = next((style for mark, style in marks.items() if mark in line), "")
    return Text(line, style or next((s for word, s in STYLES.items() if f" {word} " in line), "dim"))
