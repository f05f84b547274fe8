"""`Simulation`: a cluster on virtual time, in one process. The same scheduler code, the same verbs, the same
recording as on real processes; the same seed gives the same run for ever.
"""

from __future__ import annotations

import inspect
import reprlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import simpy

import labsched
from labsched.app import Scheduler
from labsched.config import Settings
from labsched.durations import seconds
from labsched.errors import ConfigError
from labsched.scratch import MemoryScratch
from labsched.scripts import script, script_names

from ..checks.nouns import id_key
from ..recording import Recording
from ..supervisor import names_of
from .clocks import EPOCH, SimClock, sim_host
from .deeds import DEEDS, refuse_unfit
from .fakeserver import SimServer
from .given import expect, handlers_of, seed_of, server_names, versions
from .guest import Guest, Program
from .life import Life
from .links import open_simulated
from .loop import SimLoop
from .network import DEFAULT, Latency, Network
from .node import Node
from .observer import DirectRedis, at_once, observer
from .plan import Plan
from .sayings import Sayings
from .verbs import Verbs, meant, number

T = TypeVar("T")

CLIENT, OBSERVER = "client", "observer"
TICK = 1e-6  # seconds: all times of the world are whole ones


class Simulation(Verbs):
    """`instances` instances and their server(s), at time 0 until `run` is called.

    `tasks` is a tasks.yml for the sample handlers; `app` a Scheduler whose tasks (and, unless given here,
    settings) the instances run, each with a handle of its own. `network` is how long a message takes
    (default 0.1 to 0.3 ms), `service` how long the server works for a command. With `servers=5` there are
    server1 to server5, of which the cluster uses the first. All times are virtual seconds since the start.

    Verbs (`kill`, `pause`, `partition`, … in `Verbs`) happen now; `at(t)` plans them; `press` takes them from
    other threads while the world runs. ConfigError, in one line, for what cannot be done.
    """

    def __init__(
        self,
        instances: int = 3,
        *,
        seed: int = 0,
        tasks: str | Path | None = None,
        app: Scheduler | None = None,
        settings: Settings | None = None,
        network: Latency | None = None,
        servers: int = 1,
        service: float = 0.0,
        names: Sequence[str] | None = None,
        namespace: str | None = None,
        messages: bool = True,
    ) -> None:
        expect("app", app, Scheduler)
        expect("settings", settings, Settings)
        settings = settings or (Settings() if app is None else app.settings)
        self.settings = settings.replace(namespace=namespace) if namespace else settings
        self.names = () if instances == 0 and names is None else names_of(instances, names)
        self.seed, self.service = seed_of(seed), service
        self.tasks, self.handlers = tasks, handlers_of(tasks, app, self.settings)
        self.loop = SimLoop()
        self.network = Network(self.loop, self.seed, network or DEFAULT, record=messages)
        self.network.names = {script(name, True)[1].encode(): name for name in script_names()}
        self.servers = [SimServer(self.network, name, service=service) for name in server_names(servers)]
        self._scratch = MemoryScratch(SimClock(self.loop))
        self._clocks: dict[str, SimClock] = {}
        self._lives: dict[str, Life | Guest] = {}
        self._all_lives: list[Life | Guest] = []
        self._programs: dict[str, Program] = {}
        self._unrecorded: set[str] = set()
        self._journals: list[dict[str, Any]] = []
        self._inbox: deque[tuple[str, str, dict[str, Any], str]] = deque()
        self.faults: list[dict[str, Any]] = []
        self.planned: list[dict[str, Any]] = []
        self.sayings = Sayings(self.loop)
        self._client_node = Node(self.loop, CLIENT, order=-1)
        self._client: Scheduler | None = None
        outside = Node(self.loop, OBSERVER, order=-2)
        self._direct = DirectRedis(self.servers[0], outside)
        self._observer = observer(self._direct, outside, self.namespace, self.seed)
        self.loop.run(self._observer.__aenter__())
        self._snapshot = self._look()
        for name in self.names:
            self.start_life(name)

    def __repr__(self) -> str:
        return f"<Simulation of {len(self.names)} instances, seed {self.seed}, at {self.time:g} s>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what is there

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    @property
    def time(self) -> float:
        """Virtual seconds since the start."""
        return self.loop.time()

    @property
    def env(self) -> simpy.Environment:
        """SimPy's environment, for events and resources on the same clock."""
        return self.loop.env

    @property
    def alive(self) -> tuple[str, ...]:
        """Instances whose process exists, paused ones included."""
        return tuple(name for name, life in self._lives.items() if life.alive)

    @property
    def leader(self) -> str | None:
        """Who leads by the server's word; None between two leaders."""
        key = f"{{labsched:{self.namespace}}}:leader"
        name, until = self._ask(self._direct.execute_command("HMGET", key, "name", "until"))
        if name is None or int(until) <= self.servers[0].clock.now() * 1000:
            return None
        return str(name.decode())

    def life(self, name: str) -> Life | Guest:
        """The newest process of an instance. ConfigError for a name that does not exist."""
        return self._lives[self.known(name)]

    def known(self, name: str) -> str:
        """`name`, if an instance or server has it."""
        if name not in self._lives and self.server_named(name) is None:
            there = ", ".join([*self.names, "leader", *(server.name for server in self.servers)])
            raise ConfigError(f"nothing is named {name!r}, there are {there}")
        return name

    def server_named(self, name: str) -> SimServer | None:
        """That server; None when an instance is meant."""
        return next((server for server in self.servers if server.name == name), None)

    def clock(self, name: str) -> SimClock:
        """The clock of the machine on which that instance's processes run."""
        return self._clocks.setdefault(name, SimClock(self.loop))

    # --- making things happen

    def at(self, t: float | str) -> Plan:
        """Verbs of what this returns happen at `t` (absolute: seconds or text)."""
        return Plan(self, t)

    def process(self, generator: Generator[Any, Any, Any]) -> simpy.Process:
        """Start a native SimPy process beside the instances. ConfigError for anything but a generator."""
        if not isinstance(generator, Generator):
            raise ConfigError(
                f"process() takes a generator, as of f(sim.env), and got {reprlib.repr(generator)}"
            )
        self._unrecorded.add("process")
        return self.env.process(generator)

    def call(self, use: Callable[[Scheduler], Awaitable[T]]) -> T:
        """`await use(app)` in the world, with an `app` on a machine of its own: time goes on until it is done."""
        self._open()
        self._unrecorded.add("call")
        return self.loop.run(self._client_node.create_task(self._use(use)))  # type: ignore[return-value]

    def start_call(self, use: Callable[[Scheduler], Awaitable[Any]]) -> None:
        """`call` without waiting for it; what it raises is one of `loop.troubles`."""
        self._unrecorded.add("call")
        self._client_node.create_task(self._use(use))

    async def _use(self, use: Callable[[Scheduler], Awaitable[T]]) -> T:
        if self._client is None:
            self._client = self.client(self._client_node)
        async with self._client as app:
            asked = use(app)
            if not inspect.isawaitable(asked):
                raise ConfigError(f"call() takes a coroutine function, and {use!r} returned {asked!r}")
            return await asked

    def client(self, node: Node) -> Scheduler:
        """A handle on the cluster for code on `node`; open it with `async with`."""
        opened = open_simulated(self.servers[0], node, request_timeout=self.settings.request_timeout)
        host = sim_host(node, self.seed)
        app = Scheduler(opened, namespace=self.namespace, settings=self.settings, host=host)
        app.handlers.update(self.handlers)
        return app

    def node(self, name: str, order: float = 0) -> Node:
        """A new machine of your own."""
        self._unrecorded.add("node")
        return Node(self.loop, name, order)

    def guest(self, name: str, program: Program) -> None:
        """A machine that runs `await program(machine)`, code of your own on raw Redis commands: a lock, another
        scheduler. Verbs work on it as on an instance; `restart` runs the program again from its beginning.
        """
        if name in self._lives or self.server_named(name) is not None or name in ("leader", "all", CLIENT):
            raise ConfigError(f"{name!r} is taken: a guest needs a name of its own")
        self._programs[name] = program
        self._unrecorded.add("guest")
        self.start_life(name)

    def start_life(self, name: str) -> None:
        """A new process under that name."""
        number = len(self._all_lives) + 1
        if name in self._programs:
            self._lives[name] = Guest(
                self.loop, self.servers, name, number, seed=self.seed, clock=self.clock(name),
                program=self._programs[name],
            )  # fmt: skip
            self._all_lives.append(self._lives[name])
            return
        life = self._lives[name] = Life(
            self.loop, self.servers[0], name, number, seed=self.seed, clock=self.clock(name),
            settings=self.settings, handlers=self.handlers, scratch=self._scratch, journal=self._write_down,
        )  # fmt: skip
        self._all_lives.append(life)

    def _write_down(self, kind: str, fields: dict[str, Any]) -> None:
        self._journals.append({"kind": kind, **fields})

    def _do(self, kind: str, target: str, **args: Any) -> Self:
        self.perform(kind, target, args, "call")
        return self

    def perform(self, kind: str, target: str, args: dict[str, Any], by: str) -> None:
        """Do it now, and keep it as a fault of the record."""
        self._open()
        refuse_unfit(self, kind, target)
        if target == "leader":
            target = self.leader or ""
            if not target:
                raise ConfigError("nobody leads just now: name an instance, or wait")
        elif target == "server" and len(self.servers) > 1:
            target = self.servers[0].name
        fault = self.note(kind, self.known(target) if target != "all" else target, by, **args)
        try:
            fault.update(DEEDS[kind](self, target, **args) or {})
        except ConfigError:
            self.faults.remove(fault)
            raise

    def note(self, kind: str, target: str, by: str = "call", **more: Any) -> dict[str, Any]:
        """Write a fault down, `at` by the server's clock as all history is."""
        fault = {
            "at": self.servers[0].clock.now(),
            "t": self.time,
            "kind": kind,
            "target": target,
            "by": by,
            **more,
        }
        self.faults.append(fault)
        return fault

    def press(self, verb: str, *args: Any, **options: Any) -> None:
        """A verb, with its arguments, from any thread, while the world runs or between two runs: done at the next
        event."""
        kind, target, given = meant(verb, *args, **options)
        refuse_unfit(self, kind, target)
        self._inbox.append((kind, target, given, "hand"))
        self.loop.call_soon_threadsafe(self._empty_inbox)

    def _empty_inbox(self) -> None:
        """At the start of the next microsecond: at this one things have happened already, before which a replay, which
        has nothing but the time, would do it."""
        self.loop.call_at(self.time + TICK, self._perform_pressed, context=self.loop._outside_context)

    def _perform_pressed(self) -> None:
        while self._inbox:
            try:
                self.perform(*self._inbox.popleft())
            except ConfigError as error:
                self.sayings.say("press", str(error))

    # --- running and recording

    @property
    def pace(self) -> float | None:
        """Virtual seconds per real second; None: as fast as possible. May be changed while it runs."""
        return self.loop.pace

    @pace.setter
    def pace(self, factor: float | None) -> None:
        self.loop.pace = None if factor is None else number(factor, "pace")

    def run(self, until: float | str | None = None) -> Recording:
        """Go on until that time (absolute: seconds or text); everything since the start as one recording.

        Raises an ExceptionGroup of what went wrong inside and nobody caught: a defect, not a fault.
        """
        if until is not None:
            self.advance(seconds(until, "until"))
        self.check_troubles()
        return self.recording()

    def advance(self, until: float) -> None:
        """`run` without a recording and without looking for troubles, for whoever goes on in small steps."""
        self._open()
        with self.sayings.heard():
            self.loop.run(until=until)

    def peek(self, question: Callable[[Scheduler], Coroutine[Any, Any, T]]) -> T:
        """`await question(app)` at once: no message, no time, whatever is broken. Only for reading, and only
        what a single look answers (`app.instances()`, `app.history()`)."""
        return self._ask(question(self._observer))

    def check_troubles(self) -> None:
        """Raise what nobody caught, and what an instance itself says should not happen."""
        self.loop.check()
        self.sayings.check()

    def stop(self) -> None:
        """End the current `run` early, from any thread."""
        self.loop.stop()

    def recording(self) -> Recording:
        """Everything so far."""
        self._open()
        first, final = self._snapshot, self._look()
        return Recording(
            world="simulated",
            namespace=self.namespace,
            started=first["at"] / 1000,
            ended=final["at"] / 1000,
            seed=self.seed,
            options=self._options(),
            plan=[dict(step) for step in self.planned],
            versions=versions(),
            snapshot=first,
            final=final,
            history=self._history(first["last_event"] or "0-0", final["last_event"] or "0-0"),
            journals=list(self._journals),
            fault_log=[dict(fault) for fault in self.faults],
            message_log=self.network.messages(),
        )

    def _history(self, since: str, until: str) -> list[labsched.Event]:
        found = self._ask(self._observer.history("-", until))
        return [event for event in found if id_key(event.id) > id_key(since)]

    def _look(self) -> dict[str, Any]:
        return self._ask(self._observer.snapshot())

    def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        """Put it to the observer, from inside the running world or between two runs."""
        return at_once(question) if self.loop.is_running() else self.loop.run(question)  # type: ignore[return-value]

    def _options(self) -> dict[str, Any]:
        return {
            "instances": list(self.names),
            "settings": msgspec.structs.asdict(self.settings),
            "tasks": None if self.tasks is None else str(self.tasks),
            "network": repr(self.network.latency),
            "servers": len(self.servers),
            "service": self.service,
            "epoch": EPOCH,
            "handlers": list(self.handlers),
            "ran": self.time,
            "unrecorded": sorted(
                self._unrecorded
            ),  # code of the user's own, which no recording can run again
        }

    def _open(self) -> None:
        if self.loop.is_closed():
            raise ConfigError("this simulation is closed: make another one; recordings taken before stay")

    def close(self) -> None:
        """The end of the world: nothing of it runs any more, no `finally` either."""
        self.loop.close()
        for life in self._all_lives:
            life.bury()
