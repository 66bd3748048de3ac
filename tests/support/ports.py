"""Free loopback ports for servers that tests start.

Ports are drawn from below the kernel's ephemeral range. A port inside that range can be taken as
the *source* port of some client between two starts of a server; and a client that dials such a
port while its server is down may even connect to itself. The crash test would meet both.
"""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 20_000, 32_000

_handed_out: set[int] = set()
_random = random.SystemRandom()


def free_port() -> int:
    """A port on the loopback interface that nobody listens on, never given out before here.

    Raises OSError when none was found in a few hundred draws.
    """
    for _ in range(300):
        port = _random.randint(_FIRST, _LAST)
        if port not in _handed_out and _is_free(port):
            _handed_out.add(port)
            return port
    raise OSError(f"no free loopback port found between {_FIRST} and {_LAST}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
