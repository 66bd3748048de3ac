"""Calls what is pinned often enough that no platform removes it for want of traffic.

A handler that sleeps sends nothing. Where a platform removes what nobody calls, a question for what
the version serves, now and then, is the call that keeps it. Switched on by the setting `keep_warm`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from steadfaas.clock import Time
from steadfaas.deployments.catalog import Catalog, Deployment
from steadfaas.deployments.headers import Connection
from steadfaas.deployments.outlook import Outlooks
from steadfaas.deployments.plan import reference_of
from steadfaas.errors import SteadfaasError
from steadfaas.spi import EndpointReference

_log = logging.getLogger(__name__)


class KeepWarm:
    """Calls every deployment that needs it."""

    def __init__(
        self,
        catalog: Catalog,
        outlooks: Outlooks,
        discover: Callable[[EndpointReference, Connection], Awaitable[object]],
        clock: Time,
    ) -> None:
        self._catalog = catalog
        self._outlooks = outlooks
        self._discover = discover
        self._clock = clock

    async def run(self, interval: float) -> None:
        """Call all of them every `interval` seconds, until cancelled."""
        while True:
            await self.call_all()
            await asyncio.sleep(interval)

    async def call_all(self) -> list[str]:
        """Call each of them once; the ids of those that answered."""
        known = self._catalog.deployments()
        outlooks = self._outlooks.of(known, self._clock.now())
        wanted = [each for each in known if each.id in outlooks and outlooks[each.id].called_off]
        return [each.id for each in wanted if await self._call(each)]

    async def _call(self, deployment: Deployment) -> bool:
        connection = Connection(deployment.headers, deployment.secret_headers, deployment.access)
        try:
            await self._discover(reference_of(deployment), connection)
        except SteadfaasError as error:
            _log.warning("deployment %s could not be kept warm: %s", deployment.id, error)
            return False
        return True
