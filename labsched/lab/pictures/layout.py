"""Where things go: inches from the top of the drawing, seconds from the left. No ink here."""

from __future__ import annotations

import msgspec

from .bars import LEADERS, SERVER, Bar, Reading, merged, pack, server_of

WIDTH, LEFT, RIGHT = 11.5, 1.75, 0.3  # inches: the whole picture, and what lane names and air take
AXIS = WIDTH - LEFT - RIGHT
LABEL_ROW = 0.19  # inches of one line of fault labels
SHORTEST = 0.10  # inches: the size of a marker, and so the shortest bar that does not overlap the next
MANY = 600  # attempts, above which those too close to tell apart are drawn as one
MOST_LOCKS = 8
_TASKS_APART = 8
_MARK = 0.28  # inches: the sign of a fault beside its label, and air
_LETTER = 0.07  # inches per letter of a label, about


class Lane(msgspec.Struct):
    """One horizontal stripe: labels on top (`head`), then `rows` of `row_height`."""

    name: str
    kind: str  # server, leaders, instance, lock
    top: float
    head: float
    rows: int
    row_height: float
    bars: list[Bar] = []
    label_rows: list[tuple[Bar, int]] = []
    air: float = 0.08  # inches above and below the rows
    hidden: int = 0  # locks that found no room; on the last lock lane

    @property
    def height(self) -> float:
        return self.head + self.rows * self.row_height + 2 * self.air

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def y(self, row: int) -> float:
        """The top of a row."""
        return self.top + self.head + self.air + row * self.row_height


class Layout:
    """The lanes of one picture, in order from the top, and the bars that they hold."""

    def __init__(self, read: Reading) -> None:
        self.read = read
        self.inch = read.span / AXIS  # seconds per inch
        attempts = read.attempts
        self.dense = len(attempts) > MANY
        if self.dense:
            attempts = merged(attempts, SHORTEST * self.inch, read.span / 25)
        self.attempts = attempts
        rows = {name: self._pack([bar for bar in attempts if bar.band == name]) for name in read.instances}
        # Few rows are drawn tall, many thin, so that ten instances still fit on a screen.
        self.row_height = min(0.30, max(0.11, 5.5 / max(1, sum(rows.values()))))
        self.lanes: list[Lane] = []
        self.height = 0.0
        self._add_server()
        if read.leaders:
            self._add(LEADERS, "leaders", 0.0, 1, 0.26, read.leaders)
        for name in read.instances:
            self._add_instance(name, rows[name])
        self._add_locks()

    def fits(self, span: float, text: str, size: float) -> bool:
        """Whether a text of that font size fits into so many seconds."""
        return span > (len(text) * _LETTER * size / 9 + 0.06) * self.inch

    def _pack(self, bars: list[Bar]) -> int:
        """Rows that the attempts of one lane take; when there are very many, each task has rows of its own."""
        tasks = sorted({bar.task or "" for bar in bars}) if self.dense else []
        if not 1 < len(tasks) <= _TASKS_APART:
            return max(1, pack(bars, SHORTEST * self.inch))
        rows = 0
        for task in tasks:
            rows += pack([bar for bar in bars if bar.task == task], SHORTEST * self.inch, rows)
        return rows

    def _add(
        self, name: str, kind: str, head: float, rows: int, height: float, bars: list[Bar], air: float = 0.08
    ) -> Lane:
        lane = Lane(name, kind, self.height, head, rows, height, bars, air=air)
        self.lanes.append(lane)
        self.height = lane.bottom
        return lane

    def _add_server(self) -> None:
        marks = [bar for bar in self.read.marks if bar.band == SERVER]
        if marks:
            labels, used = label_rows(self.read, self.inch, marks)
            self._add(SERVER, "server", used * LABEL_ROW, 0, 0.0, marks).label_rows = labels

    def _add_instance(self, name: str, rows: int) -> None:
        marks = [bar for bar in self.read.marks if bar.band == name]
        labels, used = label_rows(self.read, self.inch, marks)
        bars = [bar for bar in (*self.read.alive, *self.attempts, *marks) if bar.band == name]
        height = max(self.row_height, 0.34 / rows)
        self._add(name, "instance", used * LABEL_ROW, rows, height, bars).label_rows = labels

    def _add_locks(self) -> None:
        names: dict[str, int] = {}
        for bar in self.read.locks:
            names[bar.band] = names.get(bar.band, 0) + 1
        # Locks that somebody named say more than the locks that tasks take for each run.
        wanted = sorted(names, key=lambda name: (name.startswith("task:"), -names[name], name))
        for name in wanted[:MOST_LOCKS]:
            self._add(name, "lock", 0.0, 1, 0.17, [bar for bar in self.read.locks if bar.band == name], 0.045)
        if self.lanes and len(wanted) > MOST_LOCKS:
            self.lanes[-1].hidden = len(wanted) - MOST_LOCKS

    @property
    def bars(self) -> list[Bar]:
        """Everything that is drawn, lane by lane."""
        return [bar for lane in self.lanes for bar in lane.bars]


def label_rows(
    read: Reading, inch: float, marks: list[Bar], *, named: bool = False
) -> tuple[list[tuple[Bar, int]], int]:
    """Each fault's label in the first line in which it does not run into another's, and how many lines that takes."""
    ends: list[float] = []
    placed = []
    for mark in sorted(marks, key=lambda mark: mark.start):
        start, width = label_span(read, inch, mark, named=named)
        row = next((row for row, end in enumerate(ends) if end <= start), len(ends))
        ends[row:] = [start + width, *ends[row + 1 :]]
        placed.append((mark, row))
    return placed, len(ends)


def label_span(read: Reading, inch: float, mark: Bar, *, named: bool = False) -> tuple[float, float]:
    """Where a fault's label begins, right of its mark or else left of it, and how long it is; seconds."""
    width = (len(fault_label(mark, named=named)) * _LETTER + _MARK) * inch
    start = max(mark.start, read.start)
    if start + width > read.end + RIGHT * inch:
        start = mark.start - width
    return max(read.start, start), width


# kind of fault -> its word, with "for so long" behind it when it lasts, else its moment
_WORDS = {
    "kill": "killed", "pause": "paused", "partition": "cut off", "restart": "restarted", "restart_server": "restarted",
    "drain": "told to stop", "hog": "loop blocked", "slow": "slow", "lossy": "loses messages",
    "lose": "next messages lost", "skew": "clock", "failover": "failed over", "out_of_memory": "out of memory",
    "read_only": "read-only",
}  # fmt: skip
_SINCE = frozenset(
    {"kill", "restart_server", "failover"}
)  # of a server: the moment says more than the length


def fault_label(mark: Bar, *, named: bool = False) -> str:
    """What a fault is called in the picture; `named` where it does not stand in the lane of its instance."""
    kind = mark.outcome or ""
    which = server_of(mark)
    said = mark.label.removesuffix(f"({which})").strip()
    word = " ".join(filter(None, (_WORDS.get(kind, kind), said)))
    if mark.end > mark.start and not (mark.band == SERVER and kind in _SINCE):
        when = f"for {mark.end - mark.start:.1f} s"
    else:
        when = f"at {mark.start:.1f} s" if kind == "skew" else f"{mark.start:.1f} s"
    who = f"{which or mark.band} " if named or mark.band == SERVER else ""
    return f"{who}{word} {when}"
