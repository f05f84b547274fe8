"""One order of a program's commands, run from an empty server to its end."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from labsched.errors import ConfigError

from .explorer_redis import Ask, StepRedis, flat, text
from .explorer_watch import NO_TIME, BadProgram, ClockCall, Place, watched
from .simulated import abandoned
from .simulated.clocks import EPOCH
from .simulated.mending import MendedServer
from .simulated.scripting import ScriptSocket

Program = Callable[["Client", StepRedis], Coroutine[Any, Any, Any]]
COMMANDS = 10_000  # after so many without return, a program never ends

DIES, PASSES = "!", "~"
NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Step(NamedTuple):
    """One line of the story: `who` ("A", or "time"), what, and what the server answered."""

    who: str
    what: str
    reply: str = ""


class Client(str):
    """A client's name ("A", "B", ...), which is a text like any other; and what it believes, if it says so."""

    number: int
    _run: Run

    def holds(self) -> None:
        """From here on this client believes that it holds what the program is about."""
        self._run.believes(self)

    def lets_go(self) -> None:
        """From here on it does not."""
        self._run.lets_go(self)


class Run:
    """A fresh server, the clients in front of their first commands, and then `do` one choice after another.

    A choice is a client's name (it does its next command and goes on to the one after), the name with "!" (it
    does it and dies before the reply is there), or "~" (time passes, `expire` seconds).
    """

    def __init__(self, program: Program, handles: Sequence[StepRedis], expire: float) -> None:
        self._program, self._expire = program, expire
        self._place = Place(program)
        self.server, self.now, self.commands = MendedServer("explore"), EPOCH, 0
        self.order, self.steps = "", list[Step]()
        self.results: dict[str, Any] = {}
        self.crashed: list[str] = []
        self.holders: list[str] = []  # who believes just now
        self.spoke: set[str] = set()  # who told us what it believes, so that its result is no claim
        self.got: set[str] = set()
        self.clash = ""
        self._clients: list[Client] = []
        self._asks: dict[str, Ask] = {}
        self._coroutines: dict[str, Any] = {}
        self._contexts: dict[str, contextvars.Context] = {}
        self._spare = handles[-1]  # for whoever comes later
        for number, handle in enumerate(handles[:-1]):
            self._start(number, handle)

    @property
    def going(self) -> list[str]:
        """The clients that have a command to do, in the order of their names."""
        return sorted(self._asks)

    def do(self, choice: str) -> None:
        """One choice. ConfigError for one that is none; BadProgram when the program misbehaves."""
        name = choice.rstrip(DIES)
        if choice == PASSES:
            self.now += self._expire
            self.steps.append(Step("time", f"passes: {self._expire:g} s"))
        elif name not in self._asks:
            raise ConfigError(f"order {self.order + choice!r}: {name!r} has no command to do there")
        else:
            self._serve(name)
            self.order += choice
            if choice != name:
                self._die(name)
            else:
                self._advance(name)
            return
        self.order += choice

    def newcomer(self) -> bool:
        """Whether one who comes alone, `expire` seconds after the end, gets it."""
        self.do(PASSES)
        name = self._start(len(self._coroutines), self._spare)
        while name in self._asks:
            self.do(name)
        return name in self.got

    def ask(self, *words: Any) -> Any:
        """The server's answer to a command of ours, decoded: no step."""
        replies: list[Any] = []
        socket = ScriptSocket(self.server, replies.append)
        self.server.execute(socket, [str(word).encode() for word in words], self.now, self.commands)
        socket.closed()
        if isinstance(replies[0], Exception):
            raise replies[0]
        return _plain(replies[0])

    def over(self) -> None:
        """No line of those who have not returned ever runs, no `finally` either."""
        for coroutine in self._coroutines.values():
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_SUSPENDED:
                abandoned.keep(coroutine)
        for client in self._clients:
            del client._run  # whom they keep need not keep the run
        self._clients.clear()

    # --- what clients believe -------------------------------------------------------------------------

    def believes(self, name: str) -> None:
        self.spoke.add(name)
        self._claim(name)

    def lets_go(self, name: str) -> None:
        self.spoke.add(name)
        if name in self.holders:
            self.holders.remove(name)
            self.steps.append(Step(name, "lets go"))

    def _claim(self, name: str) -> None:
        if name in self.holders:
            return
        self.holders.append(name)
        self.got.add(name)
        self.steps.append(Step(name, "believes that it holds it"))
        if len(self.holders) > 1 and not self.clash:
            self.clash = f"{' and '.join(sorted(self.holders))} hold it at once"

    # --- the clients' code ----------------------------------------------------------------------------

    def _start(self, number: int, handle: StepRedis) -> str:
        client = Client(NAMES[number])
        client.number, client._run = number, self
        self._clients.append(client)
        name = str(client)
        handle.begin(self.server)
        self._contexts[name] = contextvars.copy_context()
        made = self._guarded(name, self._program, client, handle)
        if not inspect.iscoroutine(made):
            raise ConfigError(f"the program is no `async def program(client, redis)`: it returned {made!r}")
        self._coroutines[name] = made
        self._advance(name)
        return name

    def _advance(self, name: str) -> None:
        """Let it run to its next command, or to its end."""
        self._asks.pop(name, None)
        coroutine = self._coroutines[name]
        asked = None
        while asked is None:  # asyncio.sleep(0) waits for nothing
            try:
                asked = self._guarded(name, coroutine.send, None)
            except StopIteration as done:
                self._returned(name, done.value)
                return
        if not isinstance(asked, Ask):
            raise self._bad(
                "waits for something else than its server", name, self._place.of_waiting(coroutine)
            )
        self._asks[name] = asked

    def _returned(self, name: str, value: Any) -> None:
        self.results[name] = value
        if value is True and name not in self.spoke:
            self._claim(name)

    def _serve(self, name: str) -> None:
        ask = self._asks[name]
        self.commands += 1
        if self.commands > COMMANDS:
            what = f"did not return within {COMMANDS:,} commands"
            raise self._bad(what, name, self._place.of_waiting(self._coroutines[name]))
        if not ask.serve(self.server, self.now, self.commands):
            what = f"waits in {ask.commands[0][0].decode()}: {NO_TIME}"
            raise self._bad(what, name, self._place.of_waiting(self._coroutines[name]))
        self.steps.append(Step(name, str(ask), ask.reply))

    def _die(self, name: str) -> None:
        self.crashed.append(name)
        self.steps.append(Step(name, "dies"))
        self._asks.pop(name).channel.close()
        if name in self.holders:
            self.holders.remove(name)  # the dead believe nothing

    def _guarded(self, name: str, act: Callable[..., Any], *args: Any) -> Any:
        try:
            return self._contexts[name].run(watched, act, *args)
        except StopIteration:
            raise
        except ClockCall as call:
            raise self._bad(f"calls {call.name}: {NO_TIME}", name, self._place.of_call(call.stack)) from None
        except Exception as error:
            what = f"raised {type(error).__name__}: {error}"
            if isinstance(error, RuntimeError) and "no running event loop" in str(error):
                what = f"needs asyncio's loop (sleep, timeout, gather, tasks): {NO_TIME}"
            raise self._bad(what, name, self._place.of_error(error.__traceback__)) from error

    def _bad(self, what: str, name: str, where: tuple[int | None, str]) -> BadProgram:
        self.over()
        return BadProgram(what, name, where[0], self.order, where[1])


def _plain(reply: Any) -> Any:
    if isinstance(reply, dict):
        return _plain(flat(reply))
    if isinstance(reply, list):
        return [_plain(item) for item in reply]
    return text(reply) if isinstance(reply, bytes) else reply
