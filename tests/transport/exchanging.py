"""One exchange with a scripted endpoint, and everything that came of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from yarl import URL

from steadfaas.errors import AttemptFailure
from steadfaas.transport.http import HttpTransport, Limits
from steadfaas.wire.frame import Frame
from steadfaas.wire.version import content_type

CONTENT_TYPE: Final = content_type(6)
ABORT: Final = 0.2  # seconds of silence after which these tests give up


@dataclass(slots=True)
class Outcome:
    """How an exchange went. `at` is when each hand-over came, in seconds from the start."""

    failure: AttemptFailure | None = None
    batches: list[list[Frame]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def frames(self) -> list[Frame]:
        """All frames that were handed over."""
        return [frame for batch in self.batches for frame in batch]

    @property
    def code(self) -> str | None:
        """The failure's code; None without a failure."""
        return None if self.failure is None else self.failure.code


@contextlib.asynccontextmanager
async def transport(connect_timeout: float = 2.0) -> AsyncIterator[HttpTransport]:
    """A transport that is closed at the end."""
    made = HttpTransport(connect_timeout=connect_timeout)
    try:
        yield made
    finally:
        await made.close()


async def exchange(
    through: HttpTransport,
    url: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    abort: float = ABORT,
    max_frame: int = 1024 * 1024,
    outcome: Outcome | None = None,
) -> Outcome:
    """Do one exchange. Give an `outcome` to look at it while the exchange goes on."""
    result = Outcome() if outcome is None else outcome
    started = time.monotonic()

    def sink(frames: list[Frame]) -> None:
        result.batches.append(frames)
        result.at.append(time.monotonic() - started)

    result.failure = await through.exchange(
        URL(f"{url}/invoke/S/h"),
        {"content-type": CONTENT_TYPE, "accept": CONTENT_TYPE, **(headers or {})},
        body,
        Limits(abort=abort, max_frame=max_frame),
        sink,
    )
    result.seconds = time.monotonic() - started
    return result
