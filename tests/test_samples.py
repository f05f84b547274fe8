"""The sample tasks: what they leave in the scratch folder, and that they only ever remove their own."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clocks import StandingClock

import labsched
from labsched.model import Execution, State
from labsched.samples import BACKUPS_KEPT, HANDLERS, REPORTS_KEPT, pack, unpack
from labsched.scratch import FolderScratch, MemoryScratch
from labsched.taskfile import load_tasks

PACKAGED = Path(next(iter(labsched.__path__))) / "tasks.yml"
VISIBLE = PACKAGED.parent.parent / "data" / "tasks.yml"


class FakeFence:
    def __init__(self) -> None:
        self.written = {}

    async def write(self, key, value) -> bool:
        return self.written.setdefault(key, value) is value


class FakeApp:
    def __init__(self) -> None:
        self.history = []

    async def executions(self, *, limit=100):
        return self.history[:limit]


class FakeContext:
    """What a body sees, on virtual time; `on_work` lets a test interfere while the body works."""

    def __init__(
        self, scratch, clock, execution="task@1764000000000", app=None, fence=None, on_work=None
    ) -> None:
        self.scratch, self.clock, self.execution = scratch, clock, execution
        self.app, self.fence = app or FakeApp(), fence or FakeFence()
        self.on_work = on_work or (lambda ctx: None)
        self.attempt, self.token, self.lease_lost = 1, 7, False
        self.lines, self.steps = [], []

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def log(self, message) -> None:
        self.lines.append(str(message))

    def progress(self, done, total) -> None:
        self.steps.append((done, total))

    async def work(self, seconds) -> None:
        await self.clock.sleep(seconds)
        self.on_work(self)


def execution(task: str, state: State, number: int = 1) -> Execution:
    return Execution(
        id=f"{task}@{number}", task=task, state=state, slot=number, created=0, due=0, started=None, finished=None,
        attempt=1, losses=0, token=None, instance=None, priority="normal", payload={},
    )  # fmt: skip


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture(params=["memory", "folder"])
def scratch(request, clock, tmp_path):
    return MemoryScratch(clock) if request.param == "memory" else FolderScratch(tmp_path / "scratch", clock)


async def test_daily_report_counts_executions_by_task_and_state(scratch, clock):
    app = FakeApp()
    app.history = [
        execution("b", State.FAILED),
        execution("a", State.SUCCEEDED, 2),
        execution("a", State.SUCCEEDED, 1),
    ]
    ctx = FakeContext(scratch, clock, app=app)
    result = await HANDLERS["daily-report"](ctx, day="monday")
    text = scratch.read(result["file"]).decode()
    assert scratch.names() == [result["file"]]
    assert "Report of monday" in text
    assert "| a | SUCCEEDED | 2 |\n| b | FAILED | 1 |" in text
    assert (result["executions"], result["published"]) == (3, True)
    assert ctx.steps[-1] == (3, 3)
    assert clock.time - 1_764_000_000 == pytest.approx(0.3)


async def test_a_second_attempt_rewrites_the_same_report_and_publishes_nothing(scratch, clock):
    fence = FakeFence()
    first = await HANDLERS["daily-report"](FakeContext(scratch, clock, fence=fence))
    second = await HANDLERS["daily-report"](FakeContext(scratch, clock, fence=fence))
    assert first["file"] == second["file"]
    assert (first["published"], second["published"]) == (True, False)
    assert len(scratch.names()) == 1


async def test_executions_whose_ids_differ_only_in_strange_characters_get_files_of_their_own(scratch, clock):
    for xid in ("t@1", "t~1", "../t/1", "ä" * 150):
        await HANDLERS["daily-report"](FakeContext(scratch, clock, execution=xid))
    assert len(scratch.names()) == 4


async def test_reports_do_not_grow_without_bound(scratch, clock):
    for n in range(REPORTS_KEPT + 5):
        last = await HANDLERS["daily-report"](FakeContext(scratch, clock, execution=f"daily-report@{n}"))
    assert len(scratch.names()) == REPORTS_KEPT
    assert last["file"] in scratch.names()


async def test_cleanup_removes_only_aged_files_of_its_own_kind(scratch, clock):
    scratch.write("report-old.md", b"")
    scratch.write("temperature.csv", b"")
    scratch.write("temp-old.tmp", b"")
    clock.time += 100
    scratch.write("temp-young.tmp", b"")
    ctx = FakeContext(scratch, clock)
    result = await HANDLERS["cleanup-temp-files"](ctx, older_than="10s")
    assert result == {"removed": 1, "kept": 2}
    assert {"report-old.md", "temperature.csv", "temp-young.tmp"} < set(scratch.names())
    assert "temp-old.tmp" not in scratch.names()


async def test_cleanup_run_every_second_reaches_a_steady_number_of_files(scratch, clock):
    seen = []
    for n in range(30):
        result = await HANDLERS["cleanup-temp-files"](
            FakeContext(scratch, clock, execution=f"c@{n}"), older_than=5
        )
        seen.append(result)
        clock.time += 0.95
    assert seen[0]["kept"] == 1
    assert {entry["kept"] for entry in seen[10:]} <= {5, 6}
    assert all(entry["removed"] == 1 for entry in seen[10:])


async def test_backup_packs_exactly_the_reports_and_verifies_them(scratch, clock):
    scratch.write("report-a.md", b"alpha")
    scratch.write("report-b.md", b"beta")
    scratch.write("temp-x.tmp", b"no")
    ctx = FakeContext(scratch, clock)
    result = await HANDLERS["data-backup"](ctx)
    archive = scratch.read(result["file"])
    assert unpack(archive) == {"report-a.md": b"alpha", "report-b.md": b"beta"}
    assert result["sha256"] == hashlib.sha256(archive).hexdigest()
    assert (result["reports"], result["bytes"]) == (2, len(archive))
    assert ctx.fence.written["backup"] == result
    assert ctx.steps == [(n, 10) for n in range(11)]
    assert clock.time - 1_764_000_000 == pytest.approx(2.0)


async def test_equal_reports_give_equal_archives_whenever_they_were_written(scratch, clock):
    scratch.write("report-a.md", b"alpha")
    first = await HANDLERS["data-backup"](FakeContext(scratch, clock, execution="b@1"))
    clock.time += 1000
    scratch.write("report-a.md", b"alpha")
    second = await HANDLERS["data-backup"](FakeContext(scratch, clock, execution="b@2"))
    assert first["sha256"] == second["sha256"]
    assert first["file"] != second["file"]


def test_the_bytes_of_an_archive_are_pinned():
    # Recordings of a simulated backup are compared across Python versions.
    assert pack({"b": b"2", "a": b"1"}) == pack({"a": b"1", "b": b"2"})
    assert pack({"a": b"1"})[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"


async def test_the_last_three_archives_are_kept_and_nothing_else_is_touched(scratch, clock):
    scratch.write("report-a.md", b"")
    files = []
    for n in range(BACKUPS_KEPT + 2):
        files.append((await HANDLERS["data-backup"](FakeContext(scratch, clock, execution=f"b@{n}")))["file"])
    assert scratch.names() == sorted([*files[-BACKUPS_KEPT:], "report-a.md"])


async def test_a_backup_that_reads_back_wrong_fails_and_leaves_no_archive(clock):
    class Rotten(MemoryScratch):
        def read(self, name):
            data = super().read(name)
            return data[:-1] + b"?" if name.startswith("backup-") else data

    scratch = Rotten(clock)
    scratch.write("report-a.md", b"alpha")
    with pytest.raises(ValueError, match="sha256"):
        await HANDLERS["data-backup"](FakeContext(scratch, clock))
    assert scratch.names() == ["report-a.md"]


async def test_a_backup_whose_lease_is_lost_writes_nothing(scratch, clock):
    scratch.write("report-a.md", b"alpha")

    def lose(ctx):
        ctx.lease_lost = True

    ctx = FakeContext(scratch, clock, on_work=lose)
    assert await HANDLERS["data-backup"](ctx) == {"file": None}
    assert scratch.names() == ["report-a.md"]
    assert ctx.fence.written == {}


async def test_a_report_that_vanishes_during_a_backup_is_left_out_and_told(scratch, clock):
    for n in range(3):
        scratch.write(f"report-{n}.md", b"x")
    ctx = FakeContext(scratch, clock, on_work=lambda ctx: ctx.scratch.remove("report-2.md"))
    result = await HANDLERS["data-backup"](ctx)
    assert result["reports"] == 2
    assert any("report-2.md" in line for line in ctx.lines)


async def test_a_file_that_another_instance_removes_first_disturbs_nobody(clock):
    class Contended(MemoryScratch):
        def age(self, name):
            if name == "temp-gone.tmp":
                self.remove(name)
            return super().age(name)

    scratch = Contended(clock)
    scratch.write("temp-gone.tmp", b"")
    result = await HANDLERS["cleanup-temp-files"](FakeContext(scratch, clock), older_than=1)
    assert result == {"removed": 0, "kept": 1}


# --- tasks.yml


def test_the_packaged_tasks_and_those_in_data_are_the_same_file():
    assert VISIBLE.read_bytes() == PACKAGED.read_bytes()


def test_the_sample_tasks_load_with_the_periods_of_the_interface():
    tasks = {task.name: task for task in load_tasks(PACKAGED, HANDLERS)}
    assert {name: task.schedule.period for name, task in tasks.items()} == {
        "daily-report": 5.0,
        "cleanup-temp-files": 1.0,
        "data-backup": 10.0,
    }
    assert all(task.retries >= 1 for task in tasks.values())


async def test_the_payloads_of_the_sample_tasks_fit_their_handlers(scratch, clock):
    for task in load_tasks(PACKAGED, HANDLERS):
        ctx = FakeContext(scratch, clock, execution=f"{task.name}@1")
        assert await HANDLERS[task.handler](ctx, **task.payload)
        assert ctx.lines
