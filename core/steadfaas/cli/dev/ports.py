"""Loopback ports for versions."""

from __future__ import annotations

import random
import socket
from collections.abc import Container
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# Below the ports that systems give to clients: one of those could take it between two starts.
_PORTS: Final = range(20_000, 32_000)


def free_port(taken: Container[int]) -> int:
    """A port that nobody listens at, and that is not among `taken`. Raises OSError."""
    for port in random.sample(_PORTS, len(_PORTS)):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no port is free between {_PORTS.start} and {_PORTS.stop}")


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
