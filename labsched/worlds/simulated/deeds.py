"""How each verb is done to a simulated world. A deed returns what the record of the fault says beside its
arguments; it raises ConfigError, and has done nothing, when there is nothing to do it to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labsched.errors import ConfigError

from .fakeserver import SimServer
from .guest import Guest
from .life import Life

if TYPE_CHECKING:
    from .simulation import Simulation

Deed = Callable[..., dict[str, Any] | None]
ONLY_INSTANCES = frozenset({"restart", "drain", "hog"})
ONLY_SERVERS = frozenset({"restart_server", "failover", "out_of_memory", "read_only"})


def kill(sim: Simulation, name: str) -> None:
    server = sim.server_named(name)
    if server is not None:
        server.stop()
    else:
        _alive(sim, name).node.kill()


def restart(sim: Simulation, name: str) -> None:
    life = sim.life(name)
    if life.alive:
        sim.note("kill", name, "restart")
        sim.faults[-2:] = reversed(sim.faults[-2:])  # the restart is noted already, but it ends the kill
        life.node.kill()
    sim.start_life(name)


def pause(sim: Simulation, name: str) -> None:
    (sim.server_named(name) or _alive(sim, name).node).pause()


def resume(sim: Simulation, name: str) -> None:
    (sim.server_named(name) or _alive(sim, name).node).resume()


def drain(sim: Simulation, name: str) -> None:
    life = _alive(sim, name)
    if life.node.paused:
        raise ConfigError(f"instance {name} is paused and cannot hear SIGTERM: resume it first")
    life.terminate()


def hog(sim: Simulation, name: str, duration: float) -> None:
    _alive(sim, name).node.busy(duration)


def skew(sim: Simulation, name: str, offset: float, drift: float | None) -> None:
    server = sim.server_named(name)
    clock = sim.clock(name) if server is None else server.clock
    if drift is not None:
        clock.drift(drift)
    clock.jump(offset)


def partition(sim: Simulation, name: str, direction: str) -> None:
    for a, b in _ways(sim, name, direction):
        sim.network.partition(a, b, both=False)


def heal(sim: Simulation, name: str) -> None:
    where = "*" if name == "all" or sim.server_named(name) is not None else sim.known(name)
    for a, b in ((where, "*"), ("*", where)):
        sim.network.heal(a, b, both=False)
        sim.network.slow(a, b)
        sim.network.lossy(a, b)
        sim.network.lose_next(a, b, 0)
    if where == "*":
        for server in sim.servers:
            server.full = server.read_only = False
            server.service = sim.service


def slow(sim: Simulation, name: str, added: float, factor: float) -> None:
    server = sim.server_named(name)
    if server is not None:
        server.service = sim.service * factor + added
        return
    for a, b in _ways(sim, name, "both"):
        sim.network.slow(a, b, factor=factor, added=added)


def lossy(sim: Simulation, name: str, probability: float, direction: str) -> None:
    for a, b in _ways(sim, name, direction):
        sim.network.lossy(a, b, probability)


def lose(sim: Simulation, name: str, direction: str, count: int) -> None:
    for a, b in _ways(sim, name, direction):
        sim.network.lose_next(a, b, count)


def restart_server(sim: Simulation, name: str, keep: bool, down: float) -> None:
    _server(sim, name).restart(keep=keep, down_for=down)


def failover(sim: Simulation, name: str, lag: float, offset: float | None, down: float) -> dict[str, Any]:
    lost = _server(sim, name).failover(lag, offset=offset, down_for=down)
    return {"lost": lost}


def out_of_memory(sim: Simulation, name: str) -> None:
    _server(sim, name).full = True


def read_only(sim: Simulation, name: str) -> None:
    _server(sim, name).read_only = True


DEEDS: dict[str, Deed] = {
    deed.__name__: deed
    for deed in (
        kill, restart, pause, resume, drain, hog, skew, partition, heal, slow, lossy, lose, restart_server, failover,
        out_of_memory, read_only,
    )
}  # fmt: skip


def refuse_unfit(sim: Simulation, kind: str, target: str) -> None:
    """ConfigError when that can never be done to a target of that name, whatever becomes of it."""
    if target in ("leader", "all") and kind not in ONLY_SERVERS:
        return
    server = target == "server" or sim.server_named(sim.known(target)) is not None
    if server and kind in ONLY_INSTANCES:
        raise ConfigError(f"{target} is a server, and {kind} is done to an instance")
    if not server and kind in ONLY_SERVERS:
        raise ConfigError(f"{target} is an instance, and {kind} is done to a server")


def _alive(sim: Simulation, name: str) -> Life | Guest:
    life = sim.life(name)
    if not life.alive:
        raise ConfigError(f"instance {name} has no process: it was killed or has ended, restart it first")
    return life


def _server(sim: Simulation, name: str) -> SimServer:
    server = sim.server_named(name)
    if server is None:
        raise ConfigError(f"no server is named {name!r}, there are {', '.join(s.name for s in sim.servers)}")
    return server


def _ways(sim: Simulation, name: str, direction: str) -> list[tuple[str, str]]:
    """The directions of the links between that instance (or server) and whoever it talks to."""
    out, back = (sim.known(name), "*"), ("*", name)
    if sim.server_named(name) is not None:
        out, back = back, out
    return [way for way, word in ((out, "requests"), (back, "replies")) if direction in ("both", word)]
