"""Three sample tasks that do something real and visible: files appear in the scratch folder and go again.

    daily-report        a Markdown report on the scheduler's own executions      report-*.md
    data-backup         an archive of those reports with a verified checksum     backup-*.tar.gz
    cleanup-temp-files  temporary files, made to be removed once they are old    temp-*.tmp

A file is named after its execution: a second attempt writes the same file again, not one more. Each task
removes only files of its own kind, and keeps so few that a cluster may run for weeks.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .durations import seconds

if TYPE_CHECKING:
    from .context import Context
    from .model import Execution
    from .scratch import Scratch

REPORTS_KEPT = 20
BACKUPS_KEPT = 3


async def daily_report(ctx: Context, *, day: str = "today", limit: int = 100) -> dict[str, Any]:
    """Counts the newest `limit` executions by task and state, and writes the table as a file."""
    ctx.log(f"reading the newest {limit} executions")
    executions = await ctx.app.executions(limit=limit)
    for step in range(3):
        ctx.progress(step, 3)
        await ctx.work(0.1)
    name = _file("report", ctx.execution, "md")
    ctx.scratch.write(
        name, _report(f"Report of {day}", ctx.now.isoformat(timespec="seconds"), executions).encode()
    )
    removed = _prune(ctx.scratch, "report-", REPORTS_KEPT)
    result = {"file": name, "executions": len(executions)}
    # Only the first attempt to get here publishes; a later one of the same execution changes nothing.
    published = await ctx.fence.write("report", result)
    ctx.progress(3, 3)
    ctx.log(f"{name} in {ctx.scratch.where}: {len(executions)} executions, {removed} old reports removed")
    return {**result, "published": published}


async def cleanup_temp_files(ctx: Context, *, older_than: float | str = "5s") -> dict[str, Any]:
    """Writes one temporary file, and removes those that nobody has written for `older_than`."""
    limit = seconds(older_than, "older_than")
    scratch = ctx.scratch
    scratch.write(_file("temp", ctx.execution, "tmp"), f"made by {ctx.execution}\n".encode())
    await ctx.work(0.05)
    removed = 0
    for name in _of_kind(scratch, "temp-"):
        if _age(scratch, name) > limit:
            scratch.remove(name)
            removed += 1
    kept = len(_of_kind(scratch, "temp-"))
    ctx.log(f"{removed} temporary files removed, {kept} are younger than {limit:g} s")
    return {"removed": removed, "kept": kept}


async def data_backup(ctx: Context, *, steps: int = 10, duration: float | str = "2s") -> dict[str, Any]:
    """Packs all reports, reads the archive back, and fails unless its checksum and content are right."""
    pause = seconds(duration, "duration") / steps
    scratch = ctx.scratch
    reports = _of_kind(scratch, "report-")
    content: dict[str, bytes] = {}
    for step in range(steps):
        ctx.progress(step, steps)
        for report in reports[step::steps]:
            try:
                content[report] = scratch.read(report)
            except FileNotFoundError:
                ctx.log(f"{report} was removed meanwhile")
        await ctx.work(pause)
        if ctx.lease_lost:
            ctx.log("lease lost: stopping before the archive is written")
            return {"file": None}
    archive = pack(content)
    digest = hashlib.sha256(archive).hexdigest()
    name = _file("backup", ctx.execution, "tar.gz")
    scratch.write(name, archive)
    try:
        _verify(scratch.read(name), digest, content)
    except ValueError:
        scratch.remove(name)  # or it would push a sound archive out
        raise
    removed = _prune(scratch, "backup-", BACKUPS_KEPT)
    result = {"file": name, "reports": len(content), "bytes": len(archive), "sha256": digest}
    await ctx.fence.write("backup", result)
    ctx.progress(steps, steps)
    ctx.log(f"{name}: {len(content)} reports, sha256 {digest[:12]}…, {removed} old archives removed")
    return result


Handler = Callable[..., Coroutine[Any, Any, Any]]

HANDLERS: Mapping[str, Handler] = {
    "daily-report": daily_report,
    "cleanup-temp-files": cleanup_temp_files,
    "data-backup": data_backup,
}


def pack(content: Mapping[str, bytes]) -> bytes:
    """A tar.gz archive of `content`. The same content gives the same bytes: no times, no owners."""
    plain = io.BytesIO()
    # File names are short and plain ASCII: the oldest format holds them, and takes a third less time.
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(content):
            entry = tarfile.TarInfo(name)
            entry.size = len(content[name])
            tar.addfile(entry, io.BytesIO(content[name]))
    packed = io.BytesIO()
    # Not gzip.compress: its header differs between Python 3.11 and 3.13.
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as file:
        file.write(plain.getvalue())
    return packed.getvalue()


def unpack(archive: bytes) -> dict[str, bytes]:
    """What `pack` packed."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive)), mode="r:") as tar:
        files = ((entry.name, tar.extractfile(entry)) for entry in tar)
        return {name: file.read() for name, file in files if file is not None}


def _verify(archive: bytes, digest: str, content: Mapping[str, bytes]) -> None:
    found = hashlib.sha256(archive).hexdigest()
    if found != digest:
        raise ValueError(f"the archive on disk has sha256 {found}, written was {digest}")
    if unpack(archive) != content:
        raise ValueError("the archive does not hold what was packed")


def _report(title: str, when: str, executions: Iterable[Execution]) -> str:
    counts = Counter((execution.task, str(execution.state)) for execution in executions)
    rows = [f"| {task} | {state} | {count} |" for (task, state), count in sorted(counts.items())]
    return "\n".join(
        [
            f"# {title}",
            "",
            f"Written {when}",
            "",
            "| task | state | executions |",
            "|---|---|---:|",
            *rows,
            "",
        ]
    )


def _file(kind: str, execution: str, suffix: str) -> str:
    # The digest keeps ids apart that differ only in what a file name cannot hold.
    readable = re.sub(r"[^A-Za-z0-9-]+", "-", execution)[:80].strip("-")
    return f"{kind}-{readable}-{hashlib.sha256(execution.encode()).hexdigest()[:8]}.{suffix}"


def _of_kind(scratch: Scratch, prefix: str) -> list[str]:
    return [name for name in scratch.names() if name.startswith(prefix)]


def _age(scratch: Scratch, name: str) -> float:
    """Seconds; a file that another instance removed meanwhile has age 0, so that nobody removes it again."""
    try:
        return scratch.age(name)
    except FileNotFoundError:
        return 0.0


def _prune(scratch: Scratch, prefix: str, keep: int) -> int:
    """Remove all but the `keep` youngest files of a kind."""
    by_age = sorted(_of_kind(scratch, prefix), key=lambda name: (_age(scratch, name), name))
    for name in by_age[keep:]:
        scratch.remove(name)
    return len(by_age[keep:])
