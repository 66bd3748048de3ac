"""Free loopback ports for servers that tests start.

Ports are drawn from below the kernel's ephemeral range. A port inside that range can be taken as
the *source* port of some client between two starts of a server; and a client that dials such a
port while its server is down may even connect to itself. The crash test would meet both.
"""

from __future__ import annotations

import random

from steadfaas.cli.dev.ports import LOOPBACK, is_free

__all__ = ["LOOPBACK", "free_port"]

_FIRST, _LAST = 20_000, 32_000

_handed_out: set[int] = set()
_random = random.SystemRandom()


def free_port() -> int:
    """A port on the loopback interface that nobody listens on, never given out before here.

    Raises OSError when none was found in a few hundred draws.
    """
    for _ in range(300):
        port = _random.randint(_FIRST, _LAST)
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise OSError(f"no free loopback port found between {_FIRST} and {_LAST}")
