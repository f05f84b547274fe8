"""A simulated network with servers and clients for tests, and a way to collect what happened when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labsched.worlds.simulated.clocks import SimClock
    from labsched.worlds.simulated.fakeserver import SimServer
    from labsched.worlds.simulated.links import SimRedis
    from labsched.worlds.simulated.loop import SimLoop
    from labsched.worlds.simulated.network import Latency, Network
    from labsched.worlds.simulated.node import Node

MS = 0.001


class World:
    """One loop, one network, and what tests make on them. A message takes 1 ms unless `latency` says otherwise."""

    def __init__(self, loop: SimLoop, *, seed: object = 1, latency: Latency | None = None) -> None:
        from labsched.worlds.simulated.network import Constant, Network

        self.loop = loop
        self.net: Network = Network(loop, seed, latency or Constant(MS))
        self.log: list[tuple[float, Any]] = []

    def server(self, name: str = "redis", **options: Any) -> SimServer:
        from labsched.worlds.simulated.fakeserver import SimServer

        return SimServer(self.net, name, **options)

    def node(self, name: str) -> Node:
        from labsched.worlds.simulated.node import Node

        return Node(self.loop, name)

    def client(self, server: SimServer, node: Node | str = "n1", **options: Any) -> SimRedis:
        from labsched.worlds.simulated.links import SimRedis

        return SimRedis(server, node, **{"request_timeout": 100.0, **options})

    def clock(self, **options: Any) -> SimClock:
        from labsched.worlds.simulated.clocks import SimClock

        return SimClock(self.loop, **options)

    async def note(self, what: Awaitable[Any]) -> Any:
        """What became of it, in `log` with the millisecond at which it did: the reply, or the error."""
        try:
            found = await what
        except Exception as error:
            found = error
        self.log.append((round(self.loop.time() * 1000, 3), found))
        return found

    def do(self, main: Callable[[], Awaitable[Any]], until: float | None = None) -> Any:
        return self.loop.run(main(), until=until)
