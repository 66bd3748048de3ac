"""A small client of a platform's JSON API, shared by the adapters that have no vendor's client.

It asks with a token, reads page by page, and tries again where the API says "later" (429 with
`Retry-After`, 5xx): briefly, because somebody waits. What it cannot get, it says in a sentence with
a stable code. A token is in the request's header and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
from aiohttp.helpers import get_env_proxy_for_url
from yarl import URL

from steadfaas.errors import DiscoveryError
from steadfaas_adapters import _retry_after

if TYPE_CHECKING:
    from pydantic import BaseModel
    from tenacity import RetryCallState

    _M = TypeVar("_M", bound=BaseModel)

# Tries of one request, seconds over all of them, and the longest of one.
_ATTEMPTS: Final = 5
_PATIENCE_SECONDS: Final = 20.0
_REQUEST_SECONDS: Final = 10.0
_FIRST_WAIT: Final = 0.3
_LONGEST_WAIT: Final = 5.0
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
_QUOTED: Final = 300


class ApiRefusal(DiscoveryError):
    """The API answered with an error. `http_status` is its status, `api_code` its own code."""

    def __init__(
        self,
        message: str,
        *,
        http_status: int,
        api_code: str = "",
        retry_after: float | None = None,
    ) -> None:
        later = http_status in _LATER
        status = 503 if later else 403 if http_status in (401, 403) else 400
        super().__init__(message, code="META0003", status=status, retryable=later)
        self.http_status = http_status
        self.api_code = api_code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer of the API."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Api:
    """One platform's API. `error_of` gives code and sentence of an error answer's JSON.

    `token_variable` names the variable of the token, for the sentence that says that it is missing.
    """

    platform: str
    base: str
    token: str | None
    token_variable: str
    error_of: Callable[[Any], tuple[str, str]]

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ApiSession]:
        """Connections for a few requests."""
        if self.token is None:
            raise DiscoveryError(
                f"{self.platform} cannot be asked without a token: set {self.token_variable}, or"
                f" {self.token_variable}_FILE to the file that holds it",
                code="META0003",
                status=403,
            )
        proxy, proxy_auth = _proxy_for(URL(self.base))
        async with aiohttp.ClientSession(
            headers={"authorization": f"Bearer {self.token}", "user-agent": "steadfaas"},
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Not by `trust_env`: it would look for passwords in a file with every request, too.
            proxy=proxy,
            proxy_auth=proxy_auth,
        ) as client:
            yield ApiSession(self, client)


class ApiSession:
    """Asks the API, within one `async with`."""

    def __init__(self, api: Api, client: aiohttp.ClientSession) -> None:
        self._api = api
        self._client = client

    async def read(self, model: type[_M], path: str, query: Mapping[str, str] | None = None) -> _M:
        """`GET`, checked. Raises ApiRefusal, DiscoveryError."""
        return self.checked(model, (await self.ask("GET", path, query)).body)

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object | None = None,
    ) -> Answer:
        """A request and its answer; tried again where that may help. Raises ApiRefusal for an error
        answer, DiscoveryError where there is none."""
        from tenacity import (
            AsyncRetrying,
            retry_if_exception,
            stop_after_attempt,
            stop_before_delay,
        )

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_may_heal),
            stop=stop_after_attempt(_ATTEMPTS) | stop_before_delay(_PATIENCE_SECONDS),
            wait=_wait,
            reraise=True,
        ):
            with attempt:
                return await self._once(method, path, query, body)
        raise AssertionError("a retry loop ends by returning or raising")

    def checked(self, model: type[_M], body: Any) -> _M:
        """A part of an answer as its model. Raises DiscoveryError if it is something else."""
        from pydantic import ValidationError

        try:
            return model.model_validate(body)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(step) for step in problem["loc"])
            raise DiscoveryError(
                f"{self._api.platform} answered in a way that is not understood ({place}:"
                f" {problem['msg']}); look for a newer version of steadfaas",
                code="META0003",
                status=502,
            ) from None

    async def _once(
        self, method: str, path: str, query: Mapping[str, str] | None, body: object | None
    ) -> Answer:
        url = self._api.base.rstrip("/") + path
        try:
            async with self._client.request(
                method, url, params=query, json=body, allow_redirects=False
            ) as response:
                raw = await response.read()
                found = await _json(response)
                if response.status >= 300:
                    raise self._refusal(method, path, response, found, raw)
                return Answer(response.status, response.headers, found)
        except TimeoutError as error:
            raise self._unreachable(f"no answer within {_REQUEST_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error

    def _refusal(
        self, method: str, path: str, response: aiohttp.ClientResponse, found: Any, raw: bytes
    ) -> ApiRefusal:
        api = self._api
        code, sentence = api.error_of(found) if found is not None else ("", "")
        said = sentence or raw[:_QUOTED].decode("utf-8", "replace").strip()
        hint = ""
        if response.status in (401, 403):
            hint = f". Check the token ({api.token_variable}) and what it may see"
        return ApiRefusal(
            f"{api.platform} refused {method} {path} with status {response.status}"
            f"{f' ({code})' if code else ''}: {said.rstrip('.')}{hint}",
            http_status=response.status,
            api_code=code,
            retry_after=_retry_after.seconds(response.headers),
        )

    def _unreachable(self, why: str) -> DiscoveryError:
        return DiscoveryError(
            f"{self._api.platform} at {self._api.base} cannot be asked: {why}",
            code="META0003",
            status=503,
            retryable=True,
        )


def secret(variable: str) -> str | None:
    """The secret in a variable, or in the file that `<variable>_FILE` names; None without either.

    Raises DiscoveryError for a file that cannot be read.
    """
    if value := os.environ.get(variable, "").strip():
        return value
    path = os.environ.get(f"{variable}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise DiscoveryError(
            f"the file that {variable}_FILE names ({path}) cannot be read: {why}",
            code="META0003",
            status=403,
        ) from error


def _proxy_for(url: URL) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    """The proxy that the environment names for an address; None twice: none."""
    try:
        return get_env_proxy_for_url(url)
    except LookupError:
        return None, None


async def _json(response: aiohttp.ClientResponse) -> Any:
    try:
        return await response.json(content_type=None)
    except ValueError:
        return None


def _may_heal(error: BaseException) -> bool:
    from steadfaas.errors import Verdict

    return isinstance(error, DiscoveryError) and error.verdict is Verdict.RETRY


def _wait(state: RetryCallState) -> float:
    error = None if state.outcome is None else state.outcome.exception()
    if isinstance(error, ApiRefusal) and error.retry_after is not None:
        return error.retry_after
    return float(min(_FIRST_WAIT * 2 ** (state.attempt_number - 1), _LONGEST_WAIT))


__all__ = ["Answer", "Api", "ApiRefusal", "ApiSession", "secret"]
