"""A shop's letters. `python shop.py i1` makes this process an instance, until SIGTERM."""

import sys

from labsched import Scheduler, Settings, every, manual
from labsched.context import Context, SyncContext

app = Scheduler(settings=Settings.load())


@app.task("letter", manual())
def letter(ctx: SyncContext, *, to: str) -> str:
    for page in range(1, 5):
        ctx.work(0.3)
        ctx.progress(page, 4)
    return f"4 pages to {to}"


@app.task("tidy", every("1s"))
async def tidy(ctx: Context) -> None:
    ctx.log("nothing to tidy up")


if __name__ == "__main__":
    app.run(sys.argv[1])
