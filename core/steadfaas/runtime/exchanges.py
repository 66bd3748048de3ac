"""Sends journals to deployments: what an attempt sends, and what a check sends, is built here."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final, Protocol
from urllib.parse import quote

from yarl import URL

from steadfaas import ids
from steadfaas.clock import Clock
from steadfaas.deployments.adapters import DEFAULT
from steadfaas.deployments.catalog import Deployment, HandlerOptions
from steadfaas.deployments.secrets import looked_up
from steadfaas.errors import AttemptFailure
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Kind
from steadfaas.spi import Endpoint
from steadfaas.store import keys
from steadfaas.store.port import Reader
from steadfaas.transport.http import Limits, Sink
from steadfaas.wire.frame import encode_frame
from steadfaas.wire.messages import MessageType as T
from steadfaas.wire.version import content_type

_START: Final = int(T.START)
# State beyond this is not sent along but fetched by the handler, value by value (bytes).
EAGER_STATE_LIMIT: Final = 8 * 1024 * 1024
_MOST_URLS: Final = 4096
# Tells whoever looks at requests that one is no attempt but a check.
CHECK_HEADER: Final = "x-steadfaas-check"


class Transport(Protocol):
    """Carries exchanges to endpoints; see `transport.http` for the real one."""

    async def exchange(
        self, url: URL, headers: Mapping[str, str], body: bytes, limits: Limits, sink: Sink
    ) -> AttemptFailure | None:
        """Send `body`, hand the answer's frames to `sink` in order, and say how it ended."""
        ...


class PlatformTransport(Protocol):
    """The same for endpoints on platforms with an adapter; see `transport.platforms`."""

    async def exchange_on(
        self,
        adapter: str,
        endpoint: Endpoint,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        sink: Sink,
    ) -> AttemptFailure | None:
        """Send `body`, hand the answer's frames to `sink` in order, and say how it ended."""
        ...


class Exchanges:
    """Builds the request for an invocation, and has it carried to its deployment."""

    def __init__(
        self,
        *,
        transport: Transport,
        platforms: PlatformTransport,
        reader: Reader,
        clock: Clock,
        cluster_name: str,
        max_frame: int,
    ) -> None:
        self._transport = transport
        self._platforms = platforms
        self._reader = reader
        self._clock = clock
        self._cluster_name = cluster_name
        self._max_frame = max_frame
        self._urls: dict[tuple[str, str, str], URL] = {}

    def send(
        self,
        inv: Invocation,
        deployment: Deployment,
        options: HandlerOptions,
        sink: Sink,
        *,
        more: Mapping[str, str] | None = None,
    ) -> Awaitable[AttemptFailure | None]:
        """Send the journal of an invocation, as it is now, and hand the answer to `sink`.

        `inv.version` must be set. `more` are headers beside those of the protocol. What is awaited
        is the transport's own coroutine: each one around it would cost every exchange a little.
        """
        headers = self._headers(inv, deployment)
        if more is not None:
            headers.update(more)
        limits = Limits(abort=options.abort_timeout / 1000, max_frame=self._max_frame)
        body = self._body(inv, lazy=options.lazy_state)
        if deployment.secret_headers:
            try:
                headers.update(looked_up(deployment.secret_headers))
            except AttemptFailure as failure:
                return _refused(failure)
        if deployment.adapter != DEFAULT:
            path = f"/invoke/{inv.service}/{inv.handler}"
            return self._platforms.exchange_on(
                deployment.adapter, deployment.endpoint, path, headers, body, limits, sink
            )
        return self._transport.exchange(self._url(deployment, inv), headers, body, limits, sink)

    def _headers(self, inv: Invocation, deployment: Deployment) -> dict[str, str]:
        wire_type = content_type(inv.version or 0)
        headers = {
            "content-type": wire_type,
            "accept": wire_type,
            "x-restate-invocation-id": ids.format_invocation(inv.id),
            "x-restate-cluster-name": self._cluster_name,
        }
        if inv.key is not None:
            headers["x-restate-service-key"] = quote(inv.key, safe="")
        if deployment.headers:
            headers.update(deployment.headers)
        return headers

    def _body(self, inv: Invocation, *, lazy: bool) -> bytes:
        state: list[tuple[bytes, bytes]] | None = None
        partial = True
        if inv.kind is not Kind.SERVICE and not lazy:
            state, complete = keys.all_state(
                self._reader, inv.service, inv.key or "", EAGER_STATE_LIMIT
            )
            partial = not complete
        start = inv.start_message(self._clock.now(), state, partial=partial)
        parts = [encode_frame(_START, start)]
        parts += [encode_frame(frame_type, payload) for frame_type, payload in inv.journal]
        return b"".join(parts)

    def _url(self, deployment: Deployment, inv: Invocation) -> URL:
        key = (deployment.uri, inv.service, inv.handler)
        url = self._urls.get(key)
        if url is None:
            if len(self._urls) >= _MOST_URLS:
                self._urls.clear()
            base = deployment.uri.rstrip("/")
            url = URL(f"{base}/invoke/{inv.service}/{inv.handler}")
            self._urls[key] = url
        return url


async def _refused(failure: AttemptFailure) -> AttemptFailure:
    return failure
