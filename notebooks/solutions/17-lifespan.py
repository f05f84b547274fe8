from contextlib import asynccontextmanager


@asynccontextmanager
async def lifespan(web):
    async with web.state.scheduler.instance():  # without a name: each process makes one of its own
        yield
