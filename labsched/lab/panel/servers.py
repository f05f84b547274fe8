"""The row of a server: what its buttons do, what it says of the server, and what cannot be done to it, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from labsched.worlds.simulated.simulation import Simulation

if TYPE_CHECKING:
    from labsched.worlds.processes import ProcessCluster

Fault = Mapping[str, Any]
_DOWN = 1.0  # seconds that a restart takes: long enough to be seen
_LAG = 1.0  # seconds that the replica lags
_ADDED = 0.05  # seconds more that each command of a slow server takes


class Act(NamedTuple):
    """A button: the verb that it is, its arguments in each world, and its words."""

    verb: str
    label: str
    title: str
    simulated: Mapping[str, Any] = {}
    real: Mapping[str, Any] = {}


ACTS = {
    "kill": Act("kill", "Kill", "SIGKILL: it is gone until it is restarted"),
    "pause": Act("pause", "Pause", "SIGSTOP: requests wait, its clock goes on"),
    "resume": Act("resume", "Resume", "SIGCONT: it answers what has waited"),
    "partition": Act("partition", "Cut off", "nothing gets through between it and anybody"),
    "heal": Act("heal", "Heal", "mends every link; no server is slow, full or read-only any more"),
    "restart": Act("restart_server", "Restart", "a second later it is there again, with its data", {"down": _DOWN}),
    "empty": Act(
        "restart_server", "Lose data", "restarts it without its data", {"keep": False, "down": _DOWN}, {"keep": False}
    ),
    "failover": Act(
        "failover", "Fail over", "a replica that lags a second takes over: later writes are lost", {"lag": _LAG}
    ),
    "slow": Act("slow", "Slow", "each command takes 50 ms more", {"added": _ADDED}),
    "fill": Act("fill", "Fill", "maxmemory is reached: what needs memory is refused"),
    "read_only": Act("make_read_only", "Read-only", "writes are refused, as by a replica"),
}  # fmt: skip

_ONLY = "real processes: their server can only be killed and restarted"
_NOT_REAL = {
    **dict.fromkeys(("pause", "resume", "slow", "fill", "make_read_only"), _ONLY),
    **dict.fromkeys(("partition", "heal"), "real processes: cut off or heal the instances, each by its row"),
    "failover": "real processes: their server has no replica",
}


def simulated_servers(sim: Simulation) -> list[dict[str, Any]]:
    """A row per server."""
    return [_simulated(sim, server) for server in sim.servers]


def _simulated(sim: Simulation, server: Any) -> dict[str, Any]:
    slow, cut = server.service != sim.service, cut_of(sim.faults, server.name, [s.name for s in sim.servers])
    troubles = {"full": server.full, "read-only": server.read_only, "slow": slow, cut: bool(cut)}
    if not server.up:
        until = "" if server.back_at is None else f" until {server.back_at:.1f} s"
        process, words = "down", [f"down{until}"]
    else:
        process = "paused" if server.paused else "up"
        words = ["paused"] if server.paused else []
    words += [word for word, true in troubles.items() if true]
    off = {} if server.up else dict.fromkeys(("kill", "pause"), "it is down: restart it")
    off |= {
        act: f"it is {word} already: Heal undoes it"
        for act, word in (("slow", "slow"), ("fill", "full"), ("read_only", "read-only"))
        if troubles[word]
    }
    hurt = any(troubles.values())
    return {
        "name": server.name, "process": process, "trouble": hurt or process != "up",
        "heals": hurt, "state": ", ".join(words) or "up", "note": _note(sim.faults, server.name), "off": off,
    }  # fmt: skip


def cut_of(faults: Sequence[Fault], name: str, servers: Sequence[str]) -> str:
    """How that server itself is cut off, in words; "" when it is not. Healing any server heals all."""
    ways: set[str] = set()
    for fault in faults:
        if fault["kind"] == "partition" and fault["target"] == name:
            ways |= {"requests", "replies"} if fault["direction"] == "both" else {fault["direction"]}
        elif fault["kind"] == "heal" and fault["target"] in ("all", *servers):
            ways.clear()
    return "cut off" if len(ways) == 2 else "".join(f"cut off ({way} lost)" for way in ways)


def real_servers(cluster: ProcessCluster, started: float) -> list[dict[str, Any]]:
    """The one server of a real cluster. `started`: the Unix seconds that count as 0."""
    process = "up"
    for fault in cluster.faults:
        if fault["target"] == "server":
            down = fault["kind"] == "kill" or "down" not in fault
            process = ("down" if fault["kind"] == "kill" else "restarting") if down else "up"
    off = {name: why for name, act in ACTS.items() if (why := never_real(cluster, act.verb))}
    if process == "down":
        off.setdefault("kill", "it is down: restart it")
    return [{
        "name": "server", "process": process, "trouble": process != "up", "heals": False, "state": process,
        "note": _note(cluster.faults, "server", started), "off": off,
    }]  # fmt: skip


def never_real(cluster: ProcessCluster, verb: str) -> str:
    """Why that verb can never be done to this server of real processes; "" when it can."""
    if cluster.server is None:
        return "the server is not this cluster's own"
    return _NOT_REAL.get(verb, "")


def _note(faults: Sequence[Fault], name: str, started: float | None = None) -> str:
    """What its latest loss was: the data before it is gone for good."""
    for fault in reversed(faults):
        if fault["target"] == name and (lost := loss(fault)):
            at = fault["t"] if started is None else fault["at"] - started
            return f"{lost} at {at:.1f} s"
    return ""


def loss(fault: Fault) -> str:
    """What that fault took from the server's data, in words; "" when nothing."""
    if fault["kind"] == "restart_server" and not fault["keep"]:
        return "lost its data"
    if fault["kind"] == "failover" and (lost := fault["lost"]):
        return f"lost {lost} write{'s' * (lost != 1)}"
    return ""


def lost_since(fault: Fault) -> float | None:
    """From which time on (as `at`) the server's history was lost; None when nothing was."""
    if not loss(fault):
        return None
    return float(fault["at"] - fault["lag"]) if fault["kind"] == "failover" else 0.0
