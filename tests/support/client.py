"""A blunt HTTP/1.1 client for tests: the bytes of path, headers and body go out as given.

A cleverer client would rewrite `%2F`, add content types or follow redirects, and a test could not
tell what the server does with the original. Every call has a timeout, because a failing handler
often shows as a hang.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; raises ValueError, with the body in it, when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ValueError(
                f"HTTP {self.status} with a body that is not JSON: {self.body!r}"
            ) from error


def request(
    method: str,
    base: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Reply:
    """Send one request to `base` (`http://host:port`) and read the whole answer.

    `timeout` (seconds) bounds the connect and each read. Raises OSError or
    `http.client.HTTPException` when there is no complete answer.
    """
    address = urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value.encode("utf-8"))
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        elif method == "POST":
            connection.putheader("content-length", "0")
        connection.endheaders(body)
        answer = connection.getresponse()
        seen = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, seen, answer.read())
    finally:
        connection.close()


def post_json(base: str, path: str, value: Any, *, timeout: float = 10.0) -> Reply:
    """POST a JSON value."""
    body = json.dumps(value).encode()
    return request(
        "POST", base, path, body=body, headers={"content-type": "application/json"}, timeout=timeout
    )


def register(admin: str, uri: str, *, force: bool = False) -> dict[str, Any]:
    """Register an HTTP/1.1 endpoint at an admin API and return the deployment.

    Raises AssertionError with the server's answer when it refuses.
    """
    order = {"uri": uri, "use_http_11": True, "force": force}
    reply = post_json(admin, "/deployments", order, timeout=20.0)
    assert reply.status in (200, 201), f"registration of {uri}: HTTP {reply.status} {reply.body!r}"
    deployment: dict[str, Any] = reply.json()
    return deployment
