"""The command line as tests use it: in this process through click's runner, or as a real process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from click.testing import CliRunner

from labsched.cli.root import root

APP = """
import asyncio
from labsched import Scheduler, cron, every, manual

app = Scheduler("redis://not-used", namespace="not-used")

@app.task("tick", every("1s"), tags=["often"])
async def tick(ctx):
    ctx.log("tock")

@app.task("quick", manual())
async def quick(ctx, **payload):
    return {"got": payload}

@app.task("broken", manual())
async def broken(ctx):
    ctx.log("about to break")
    raise ValueError("no such luck")

@app.task("slow", manual(), priority="low")
async def slow(ctx, *, seconds=0.3):
    for step in range(10):
        ctx.progress(step, 10)
        await asyncio.sleep(seconds / 10)
    return "slept"

@app.task("berlin", cron("30 2 * * *", tz="Europe/Berlin"))
async def berlin(ctx): ...

@app.task("hourly", every("1h"))
async def hourly(ctx):
    return str(ctx.slot)
"""


@dataclass
class Outcome:
    """What one call printed, and how it ended. A traceback on stderr fails the test at once."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def checked(self) -> Outcome:
        assert "Traceback" not in self.err, self.err
        assert "\x1b" not in self.out + self.err
        return self


@dataclass
class Cli:
    """Calls the command line on one server and namespace."""

    url: str
    namespace: str

    def __call__(self, *words: str, **options: Any) -> Outcome:
        return call("--url", self.url, "--namespace", self.namespace, *words, **options)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "labsched", *words, "--url", self.url, "--namespace", self.namespace]


def call(*words: str, stdin: str | None = None) -> Outcome:
    """One call in this process."""
    result = CliRunner().invoke(root, words, input=stdin, env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr).checked()


def process(*words: str, env: dict[str, str] | None = None, timeout: float = 30, **options: Any) -> Outcome:
    """One call as a process of its own, without this process's settings."""
    done = subprocess.run(
        [sys.executable, "-m", "labsched", *words], capture_output=True, text=True, timeout=timeout,
        env={**clean_env(), **(env or {})}, **options,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr).checked()


def clean_env() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LABSCHED_") and k != "REDIS_URL"}
    return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent)}


@contextlib.contextmanager
def instance(
    cli: Cli, folder: Path, *words: str, log: str = "instance.log"
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is an instance of that namespace; killed at the end if it is still there."""
    with open(folder / log, "wb") as file:
        started = subprocess.Popen(
            [*cli.command("instance"), *words], stdout=file, stderr=subprocess.STDOUT, env=clean_env()
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGCONT)
            started.kill()
        started.wait()


@contextlib.contextmanager
def live(url: str, folder: Path, namespace: str) -> Iterator[Cli]:
    """A namespace with one instance, i1, that runs `APP` and leads."""
    cli = Cli(url, namespace)
    (folder / "handlers.py").write_text(APP)
    with instance(cli, folder, "--name", "i1", "--app", f"{folder / 'handlers.py'}:app"):
        wait_for(lambda: any(i["leader"] for i in cli("instances", "--json").json), "i1 does not lead")
        yield cli


def empty(url: str) -> None:
    with redis.Redis.from_url(url) as admin:
        admin.flushall()


def wait_for(true: Callable[[], Any], complaint: str, within: float = 15.0) -> Any:
    """What `true` returned once it was true."""
    end = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < end, complaint
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
