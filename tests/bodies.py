"""Bodies for the process runner: another process must find them by module and name."""

from __future__ import annotations

import os
import signal
import sys
import time


def add(ctx, x, y=1):
    ctx.log(f"adding in {os.getpid()}")
    ctx.progress(1, 2)
    return {
        "sum": x + y,
        "pid": os.getpid(),
        "attempt": ctx.attempt,
        "slot": ctx.slot_ms,
        "instance": ctx.instance,
    }


def fenced(ctx):
    return [ctx.fence.write("k", 1), ctx.fence.write("k", 2), ctx.fence.read("k")]


def sleep(ctx, path, seconds=60):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(seconds)


def fail(ctx):
    raise KeyError("in another process")


def leave(ctx, code=3):
    sys.exit(code)


def vanish(ctx):
    os._exit(7)


def killed(ctx):
    os.kill(os.getpid(), signal.SIGKILL)


def hungry(ctx, mib):
    return len(bytearray(mib << 20))


def wrong_result(ctx):
    return {1, 2}


def waits(ctx):
    ctx.work(0.05)
    return ctx.now.timestamp() > 1.6e9
