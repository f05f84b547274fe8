"""What does not exist in a simulated world: threads, sockets, processes, signals."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

from .errors import NotSimulated

SOCKETS = (
    *("create_connection", "create_server", "create_datagram_endpoint", "connect_accepted_socket"),
    *("create_unix_connection", "create_unix_server", "start_tls", "sendfile", "getaddrinfo", "getnameinfo"),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendto"),
    *("sock_connect", "sock_accept", "sock_sendfile", "add_reader", "remove_reader"),
    *("add_writer", "remove_writer", "connect_read_pipe", "connect_write_pipe"),
)
PROCESSES = ("subprocess_exec", "subprocess_shell", "add_signal_handler", "remove_signal_handler")


def _refusal(name: str, kind: str) -> Callable[..., NoReturn]:
    def refuse(self: object, *args: Any, **options: Any) -> NoReturn:
        raise NotSimulated(f"{name}: a simulated world has no {kind}")

    refuse.__name__ = name
    return refuse


class Refused:
    """Comes before asyncio's own loop among the bases of one that must not reach the machine."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> NoReturn:
        # asyncio.to_thread hands over partial(context.run, function, ...).
        work = func.args[0] if isinstance(func, functools.partial) and func.args else func
        raise NotSimulated(
            f"{getattr(work, '__qualname__', work)} was to run in a thread: a simulated world has none; "
            "declare the time that it takes instead (ctx.work, ctx.hog)"
        )


for _name in SOCKETS:
    setattr(Refused, _name, _refusal(_name, "sockets: connect through its network"))
for _name in PROCESSES:
    setattr(Refused, _name, _refusal(_name, "processes and no signals"))
