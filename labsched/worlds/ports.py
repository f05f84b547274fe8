"""TCP ports of this machine: one that is free, and who answers there."""

from __future__ import annotations

import random
import socket
from urllib.parse import unquote, urlsplit

from labsched.errors import ConfigError

HOST = "127.0.0.1"
# Below the range from which kernels pick ports for outgoing connections: a client that keeps dialling a
# stopped server's port could else be given that very port, connect to itself, and keep the server out.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port that nobody listens on just now. ConfigError when there is none."""
    choose = random.SystemRandom()
    for _ in range(100):
        if bindable(port := choose.choice(_PORTS)):
            return port
    raise ConfigError(f"no free port found on {HOST} between {_PORTS.start} and {_PORTS.stop}")


def bindable(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
    return True


def ping(url: str, timeout: float = 1.0) -> str:
    """ "PONG", what else the server says ("LOADING …", "WRONGPASS …"), or "" if nobody answers there."""
    where = urlsplit(url)
    try:
        with socket.create_connection((where.hostname, where.port), timeout) as link:
            for words in (["AUTH", unquote(where.password or "")], ["PING"]):
                parts = [word.encode() for word in words]
                link.sendall(
                    b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
                )
                said = link.recv(512).decode(errors="replace").strip()
                if said.startswith("-"):
                    break
            return said[1:]
    except OSError:
        return ""
