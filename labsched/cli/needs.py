"""Packages that have to be there for a command, and a port that has to be free."""

from __future__ import annotations

import importlib.util
import socket

from .call import Failed

HOST = "127.0.0.1"


def needs(package: str, extra: str) -> None:
    """Failed, with what to install, when that package is not there."""
    if importlib.util.find_spec(package) is None:
        raise Failed(f"{package} is not installed: pip install 'labsched[{extra}]'")


def free(port: int | None, first: int) -> int:
    """That port, or without one the first free port from `first` on. Failed when it is taken."""
    for tried in [port] if port else range(first, first + 50):
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((HOST, tried))
                return tried
            except OSError as error:
                why = error.strerror
    raise Failed(f"port {tried} cannot be used ({why}): name another one with --port")
