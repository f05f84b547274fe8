"""The half of a simulated server that answers: connections, commands, and who waits for what.

Commands are executed one at a time, in the order of their arrival, outside of all nodes. What it promises
is what Redis promises to a client: a reply means that the command was executed, silence means nothing.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any

from fakeredis.model import is_write_command

from .clocks import SimClock
from .history import History
from .mending import MendedServer
from .network import Network
from .scripting import ScriptSocket
from .waiting import Waiting, keys_of

if TYPE_CHECKING:
    from .channel import Channel


class Peer:
    """One connection, as the server holds it."""

    __slots__ = ("channel", "number", "pending", "replies", "socket", "what")

    def __init__(self, number: int, channel: Channel) -> None:
        self.number, self.channel = number, channel
        self.socket: ScriptSocket
        self.pending: deque[list[bytes]] = deque()
        self.replies: list[Any] = []
        self.what: tuple[Any, ...] = ()


# May change what a later command of the same connection means.
_OF_SESSION = (b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH", b"SELECT")


class Answering:
    """See `SimServer`, which adds what can go wrong."""

    def __init__(
        self, network: Network, name: str = "redis", *, clock: SimClock | None = None, service: float = 0.0,
        history: bool = True,
    ) -> None:  # fmt: skip
        self.network, self.name = network, name
        self.clock = clock or SimClock(network.loop)
        self.service = service
        self.up, self.paused = True, False
        self._loop, self._outside = network.loop, network._context
        self._history = History() if history else None
        self._serial = self._sessions = 0
        self._life = 0  # grows with each stop: a start that was under way is off
        self._free_at = 0.0  # when it has done what has arrived
        self._held: list[Callable[[], None]] = []  # what fell due while it was paused
        self._peers: dict[Channel, Peer] = {}
        self._talking: dict[Peer, None] = {}
        self._waiting = Waiting()
        self.data = self._fresh()

    def _fresh(self) -> MendedServer:
        return MendedServer(f"{self.network.seed}/{self.name}")

    # --- connections ----------------------------------------------------------------------------------

    def connected(self, channel: Channel) -> None:
        """A client's connect request has arrived."""
        if not self.up:
            self._send(channel, "refuse", (), 0, channel.refused)
            return
        self._sessions += 1
        peer = self._peers[channel] = Peer(self._sessions, channel)
        peer.socket = ScriptSocket(self.data, lambda reply: self._say(peer, reply))
        self._send(channel, "accept", (), 0, channel.accepted)

    def closed(self, channel: Channel) -> None:
        """The client's end is closed. What it has sent before is done; what it waits for is dropped."""
        peer = self._peers.get(channel)
        if peer is not None:
            self._in_turn(0.0, lambda: self._drop(peer, tell=False))

    def _drop(self, peer: Peer, *, tell: bool) -> None:
        if self._peers.pop(peer.channel, None) is None:
            return
        self._talking.pop(peer, None)
        self._waiting.remove(peer)
        peer.socket.closed()
        if tell:
            self._send(peer.channel, "close", (), 0, peer.channel.reset)

    def _send(
        self,
        channel: Channel, kind: str, what: tuple[Any, ...], size: int, deliver: Callable[..., object], *args: Any,
    ) -> None:  # fmt: skip
        channel.back_at = self.network.send(
            self.name, channel.node_name, kind, what, size, channel.back_at, deliver, *args
        )

    # --- commands -------------------------------------------------------------------------------------

    def requested(self, channel: Channel, commands: list[list[bytes]], what: tuple[Any, ...]) -> None:
        """A request has arrived: commands of one connection, to be answered in one message."""
        peer = self._peers.get(channel)
        if peer is None:
            # It was dropped by a stop of which the client has not heard.
            self._send(channel, "close", (), 0, channel.reset)
            return
        peer.pending.extend(commands)
        peer.what = what
        self._in_turn(self.service * len(commands), lambda: self._work(peer))

    def _in_turn(self, cost: float, act: Callable[[], None]) -> None:
        """Do it when all that came before is done, which takes `cost` seconds more."""
        now = self._loop.time()
        if cost or self._free_at > now:
            self._free_at = max(self._free_at, now) + cost
            self._when_due(self._free_at, act)
        elif self.paused:
            self._held.append(act)
        else:
            act()

    def _when_due(self, at: float, act: Callable[[], None]) -> Any:
        """What it is for may be gone by then: `act` has to look."""

        def due() -> None:
            if self.paused:
                self._held.append(due)
            else:
                act()

        return self._loop.call_at(at, due, context=self._outside)

    def _work(self, peer: Peer) -> None:
        self._advance(peer)
        self._flush()

    def _advance(self, peer: Peer) -> None:
        """Do what this connection has asked for, until it has to wait."""
        socket = peer.socket
        while peer.pending and not socket.waits() and peer.channel in self._peers:
            fields = peer.pending.popleft()
            self._execute(peer, fields)
            if socket.waits():
                self._park(peer, fields)
            elif socket._killed or fields[0].upper() == b"CLIENT":
                self._bury_killed()

    def _execute(self, peer: Peer, fields: list[bytes]) -> None:
        self._serial += 1
        now = self.clock.now()
        self.data.execute(peer.socket, fields, now, self._serial)
        if self._history is not None and (
            self.data.changed or peer.socket._transaction is not None or _may_matter(fields[0])
        ):
            self._history.append(self._loop.time(), now, self._serial, peer.number, fields)
        self._wake()

    def _park(self, peer: Peer, fields: list[bytes]) -> None:
        parked = peer.socket.parked
        assert parked is not None
        timer = None
        if parked.timeout:
            at = self._loop.time() + parked.timeout
            timer = self._when_due(at, lambda: self._overdue(peer, parked))
        self._waiting.add(peer, keys_of(fields), fields, timer)

    def _overdue(self, peer: Peer, parked: Any) -> None:
        if peer.socket.parked is parked:
            self._waiting.remove(peer)
            self._serial += 1
            self.data.at(self.clock.now(), self._serial, peer.socket.give_up)
            self._work(peer)

    def _wake(self) -> None:
        """Serve who waits for what has changed, first come, first served; that may change something again."""
        changed = self.data.changed
        while changed:
            keys = list(changed)
            changed.clear()
            for peer, fields in self._waiting.interested(keys):
                if peer.socket.parked is None:
                    continue  # served or gone meanwhile
                self._serial += 1
                now = self.clock.now()
                if self.data.at(now, self._serial, peer.socket.try_again):
                    self._waiting.remove(peer)
                    if self._history is not None:
                        self._history.append(self._loop.time(), now, self._serial, peer.number, fields)
                    self._advance(peer)

    def _bury_killed(self) -> None:
        self._flush()
        for peer in list(self._peers.values()):
            if peer.socket._killed:
                self._drop(peer, tell=True)

    def _say(self, peer: Peer, reply: Any) -> None:
        peer.replies.append(reply)
        self._talking[peer] = None

    def _flush(self) -> None:
        talking, self._talking = self._talking, {}
        for peer in talking:
            replies, peer.replies = peer.replies, []
            size = _size(replies) if self.network.recording else 0
            self._send(peer.channel, "reply", peer.what, size, peer.channel.replied, replies)


@functools.lru_cache(256)
def _may_matter(command: bytes) -> bool:
    """Whether a replica has to do it too, although it changed nothing."""
    return command.upper() in _OF_SESSION or is_write_command(command.lower())


def _size(reply: Any) -> int:
    """About what it takes on the wire."""
    if isinstance(reply, bytes):
        return len(reply)
    if isinstance(reply, dict):
        return sum(map(len, chain.from_iterable(reply.items())))
    return sum(map(_size, reply)) if isinstance(reply, list) else 8
