"""What notebook 11 stands on: one kill and when its work is taken up again; an hour of hiccups and who is given up."""

from __future__ import annotations

import math
import random

from labsched import Scheduler, Settings, manual
from labsched.context import Context
from labsched.worlds import Recording, Simulation

EVERY_HICCUP = 5.0  # seconds between two of one instance, on average
HICCUP, SPREAD = 0.25, 0.9  # seconds that half of them last at most; the sigma of their logarithm
LOSES = 0.01  # share of all messages


def timings(heartbeat: float, lease: float) -> Settings:
    """Settings in which leadership lasts as long as an instance's lease and is renewed as often."""
    return Settings(
        heartbeat_every=heartbeat, instance_lease=lease, lease_margin=lease / 8, cancel_grace=lease / 20,
        leader_lease=lease, leader_renew_deadline=lease * 0.75, leader_retry=heartbeat, sweep_every=lease,
        request_timeout=min(2.0, lease / 2), pool_size=2,
    )  # fmt: skip


def _cluster(settings: Settings, seed: int) -> Simulation:
    """Three instances with two long attempts each, at 1.2 s."""

    async def busy(ctx: Context) -> None:
        await ctx.work(1e6)

    app = Scheduler("fake", settings=settings.replace(pool_size=2))
    app.add("busy", manual(), busy, max_losses=10_000, lock_at_most_for=1e7)
    sim = Simulation(3, seed=seed, app=app)
    sim.run(until=1)
    sim.call(lambda app: app.trigger_many("busy", [{}] * 6))
    sim.advance(1.2)
    return sim


def killed(settings: Settings, seed: int = 1, victim: str = "leader", wait: float | None = None) -> Recording:
    """A busy cluster in which the leader (or a "follower") gets SIGKILL, at a time that the seed draws.

    Ends `wait` seconds later; by default when what it ran must be running again. `recovery` reads how long that took.
    """
    luck = random.Random(f"kill {seed}")
    longest = max(settings.instance_lease, settings.leader_lease)
    renewed = max(settings.heartbeat_every, settings.leader_retry)
    with _cluster(settings, seed) as sim:
        # Each has renewed by then, and the moment may lie anywhere between two renewals.
        at = round(1.5 + (1 + 3 * luck.random()) * renewed, 3)
        sim.advance(at - 0.001)
        leader = sim.leader
        name = leader if victim == "leader" else next(name for name in sim.names if name != leader)
        sim.at(at).kill(name or sim.names[0])
        return sim.run(until=at + (1.1 * longest + 1 if wait is None else wait))


def recovery(rec: Recording) -> float:
    """Seconds from the kill to the moment at which the lost work is given up by the server; infinite if never."""
    at = next(float(fault["t"]) for fault in rec.fault_log if fault["kind"] == "kill")
    lost = [event.at - rec.started - at for event in rec.history if event.kind == "LOST"]
    return round(max(lost), 3) if len(lost) == 2 else math.inf


def silent_before(rec: Recording) -> float:
    """Seconds from the victim's last renewal to the kill."""
    at, victim = next(
        (float(fault["t"]), fault["target"]) for fault in rec.fault_log if fault["kind"] == "kill"
    )
    beats = [
        m.sent for m in rec.message_log if (m.source, m.name, m.kind) == (victim, "heartbeat", "request")
    ]
    return round(at - max(sent for sent in beats if sent < at), 3)


def requests(rec: Recording, start: float = 1.2) -> float:
    """Requests per second that the instances sent, from `start` to the first fault or the end."""
    end = min([float(fault["t"]) for fault in rec.fault_log] or [rec.ended - rec.started])
    sent = [m for m in rec.message_log if m.kind == "request" and start < m.sent <= end]
    return len(sent) / (end - start)


def hiccups(settings: Settings, seed: int = 1, until: float = 120.0) -> Recording:
    """Nobody is killed. Each instance stands still now and then, as for a garbage collection, and one message in
    a hundred is lost."""
    with _cluster(settings, seed) as sim:
        luck = random.Random(f"hiccups {seed}")
        for name in sim.names:
            sim.lossy(name, LOSES)
            t = 2.0
            while (t := t + luck.expovariate(1 / EVERY_HICCUP)) < until - 5:
                lasts = HICCUP * math.exp(luck.gauss(0, SPREAD))
                sim.at(round(t, 3)).pause(name).at(round(t + lasts, 3)).resume(name)
                t += lasts
        return sim.run(until=until)


def standstills(settings: Settings, lasts: float, seed: int = 1, until: float = 30.0) -> Recording:
    """Nobody is killed. Each instance stands still for `lasts` seconds, again and again, at moments that the seed
    draws: now and then that begins just before a renewal."""
    with _cluster(settings, seed) as sim:
        for name in sim.names:
            luck, t = random.Random(f"standstill {seed} {name}"), 2.0
            while (t := t + luck.uniform(1, 2) * settings.heartbeat_every + 0.5) < until - lasts - 2:
                sim.at(round(t, 3)).pause(name).at(round(t + lasts, 3)).resume(name)
                t += lasts
        return sim.run(until=until)


def false_alarms(rec: Recording) -> int:
    """How many attempts were taken from instances of which each was alive."""
    return sum(event.kind == "LOST" for event in rec.history)
