"""Finding out who answers at the admin API's address."""

from __future__ import annotations

import time
from typing import Final

from steadfaas.cli import admin
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.rollout.server import Managed
from steadfaas.cli.rollout.stock import Stock
from steadfaas.rollout.world import Server

_OURS: Final = "steadfaas"
# Servers tell whole seconds, and the answer takes its time: less (ms) is no difference of clocks.
_SECONDS_ONLY: Final = 2000
# How others say that they know no such address; an ingress says 400.
_NO_ROUTE: Final = (400, 404, 405)


def connect(*, patient: bool = False) -> Managed:
    """Whoever answers at the admin API's address. `patient`: endpoints that do not answer may do so
    later. Raises CommandError."""
    url, source = admin.address()
    version, at = _version(url, source)
    now = time.time_ns() // 1_000_000
    ahead = 0 if at is None else now - at
    server = Server(url, version, _OURS in version, ahead if abs(ahead) > _SECONDS_ONLY else 0)
    return (Managed if server.ours else Stock)(server, patient=patient)


def _version(url: str, source: str) -> tuple[str, int | None]:
    """What answers there, and its clock (ms since the epoch), if it tells."""
    try:
        answer = admin.ask("GET", "/version")
        return str(answer.body["version"]), answer.at
    except CommandError as error:
        if error.status not in _NO_ROUTE:
            raise
    except (KeyError, TypeError):
        pass
    raise CommandError(
        f"What answers at {url} is no admin API. Correct {source}; it is not where requests for"
        " handlers go.",
        ExitCode.REFUSED,
    )
