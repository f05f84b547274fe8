"""The options that every command has, before or after its name, and what is made of them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click
from redis.exceptions import RedisError

from ..config import Settings
from ..errors import ConfigError, OutcomeUnknown, UnknownTask, Unreachable
from . import hints, logs

if TYPE_CHECKING:
    from ..app import Scheduler

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

PATIENCE = 5.0  # seconds for which a command tries to reach its server
NO_SERVER = (
    "no embedded server runs here: start a cluster with `labsched up`, "
    "or name a server with --url, REDIS_URL or LABSCHED_REDIS_URL"
)


class Failed(click.ClickException):
    """What was asked for could not be done: exit code 1."""

    exit_code = 1


@dataclass
class Call:
    """What was typed beside the command's own options; None where nothing was."""

    url: str | None = None
    namespace: str | None = None
    config: str | None = None
    verbose: bool = False

    @functools.cached_property
    def settings(self) -> Settings:
        """From file, environment and options, the last of which wins. Raises `ConfigError`."""
        found = Settings.load(self.config)
        if self.url is not None:
            found = found.replace(redis_url=self.url)
        if self.namespace is not None:
            found = found.replace(namespace=self.namespace)
        return found

    def where(self) -> tuple[str, str]:
        """URL and namespace to attach to; the embedded server is the one that runs, with its namespace."""
        url, namespace = self.settings.redis_url, self.settings.namespace
        if url.partition(":")[0] == "fake":
            raise ConfigError(f"url {url!r} lives inside one process: there is nothing to attach to")
        if url != "embedded":
            return url, namespace
        from ..worlds.runtime import find_runtime

        info = find_runtime()
        if info is None:
            raise Failed(NO_SERVER)
        chosen = self.namespace is not None or namespace != Settings().namespace
        return info.url, namespace if chosen else info.namespace

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Scheduler]:
        """An open client of the namespace. Raises `Unreachable` with advice; warnings on the way are for -v."""
        from ..app import Scheduler

        url, namespace = self.where()
        logs.set_up("DEBUG" if self.verbose else "ERROR")
        logging.getLogger("labsched").debug("namespace %s", namespace)
        app = Scheduler(url, namespace=namespace, settings=self.settings, patience=PATIENCE)
        async with contextlib.AsyncExitStack() as leaving:
            with advised(url):
                await leaving.enter_async_context(app)
            yield app


@contextlib.contextmanager
def advised(url: str) -> Iterator[None]:
    """Around the opening of a client: a server that does not answer is told with what to do about it."""
    try:
        yield
    except (Unreachable, OutcomeUnknown, RedisError) as error:
        raise hints.unreachable(error, url) from None


def common(command: F) -> F:
    """Adds --url, --namespace, --config and -v. One after the command's name wins over one before it."""
    options = (
        _kept("--url", metavar="URL", help="Server: embedded, or redis://, rediss://, unix://."),
        _kept("--namespace", metavar="NAME", help="Which cluster on that server."),
        _kept("--config", metavar="FILE", help="Settings file (YAML); LABSCHED_* variables win."),
        _kept("--verbose", "-v", is_flag=True, help="Say more on stderr."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _kept(*names: str, **options: Any) -> Callable[[F], F]:
    """An option whose value goes into the `Call` and not to the command."""

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        call = ctx.ensure_object(Call)
        if value is not None and value is not False:
            setattr(call, str(param.name), value)

    return click.option(*names, callback=keep, expose_value=False, **options)


def command(*args: Any, **options: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """`click.command` with the common options; the function gets the `Call` first, returns an exit code or None."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        made: click.Command = click.command(*args, **options)(common(click.pass_obj(function)))
        return made

    return decorate


def client_command(
    *args: Any, check: Callable[..., None] | None = None, **options: Any
) -> Callable[[Callable[..., Coroutine[Any, Any, int | None]]], click.Command]:
    """The same for a coroutine function, which gets an open client first.

    `check` gets the options before anything is connected: what is wrong in them needs no server to be told.
    """

    def decorate(function: Callable[..., Coroutine[Any, Any, int | None]]) -> click.Command:
        @functools.wraps(function)
        def with_client(call: Call, **given: Any) -> int | None:
            if check is not None:
                check(**given)
            return run(_connected(call, function, given))

        return command(*args, **options)(with_client)

    return decorate


async def _connected(call: Call, function: Callable[..., Awaitable[int | None]], given: Any) -> int | None:
    async with call.client() as app:
        try:
            return await function(app, **given)
        except UnknownTask as error:
            wanted = given.get("name") or given.get("task") or ""
            known = [info.name for info in await app.tasks()]
            raise UnknownTask(f"{error}; {hints.task_names(wanted, known)}") from None


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`; one place, so that every command ends alike."""
    return asyncio.run(coroutine)
