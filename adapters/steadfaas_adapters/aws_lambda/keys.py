"""What calls are signed with, renewed beside the event loop.

Asking for new credentials goes over the network and may fail or hang. So it happens a while before
the old ones expire, once for all calls that want it, and nobody waits for it while the old ones
hold.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from steadfaas_adapters.aws_lambda.threads import in_thread

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

# Credentials that hold for less are not used any more (seconds); botocore renews 15 minutes ahead.
_TOO_SHORT: Final = 60
# After a renewal that failed, while the old ones hold (seconds).
_PAUSE: Final = 10.0


class Keys:
    """Credentials that may expire. Belongs to one event loop."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._wants_renewal = getattr(credentials, "refresh_needed", None)
        self._frozen: ReadOnlyCredentials | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._next_at = 0.0

    async def current(self) -> ReadOnlyCredentials:
        """Credentials that hold now. Raises what botocore raises."""
        if self._wants_renewal is None:
            return self._credentials.get_frozen_credentials()
        if self._frozen is None or self._wants_renewal(_TOO_SHORT):
            # Shielded: the others that wait for it go on when this one is cancelled.
            await asyncio.shield(self._renewed())
        elif self._wants_renewal() and asyncio.get_running_loop().time() >= self._next_at:
            self._renewed()
        assert self._frozen is not None
        return self._frozen

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._renewal is not None:
            self._renewal.cancel()

    def _renewed(self) -> asyncio.Task[None]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._renew())
            self._renewal.add_done_callback(_seen)
        return self._renewal

    async def _renew(self) -> None:
        self._next_at = asyncio.get_running_loop().time() + _PAUSE
        self._frozen = await in_thread(self._credentials.get_frozen_credentials)


def _seen(renewal: asyncio.Task[None]) -> None:
    """Nobody may have waited for it; botocore has logged why it failed."""
    if not renewal.cancelled():
        renewal.exception()
