"""The operation Invoke: checks a request, runs it, and tells what came of it as AWS does.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import unquote

from steadfaas.testing.local_lambda.api_errors import (
    ApiError,
    Reply,
    invalid_parameter,
    unreadable,
)
from steadfaas.testing.local_lambda.control_plane import ControlPlane, weights_of
from steadfaas.testing.local_lambda.fleet import Fleet, Run
from steadfaas.testing.local_lambda.functions import FunctionVersion
from steadfaas.testing.local_lambda.names import Reference
from steadfaas.testing.local_lambda.report import Report
from steadfaas.testing.local_lambda.runtime_api import Event

REQUEST_LIMIT: Final = 6_291_456  # bytes
_EVENT_LIMIT: Final = 1_048_576  # bytes of an asynchronous invocation

_Start = Callable[[FunctionVersion, Event], Awaitable[Run]]


class Invoker:
    """Carries out Invoke. `watch` is told of every invocation that has run."""

    def __init__(
        self, control: ControlPlane, fleet: Fleet, watch: Callable[[Report], None] | None
    ) -> None:
        self._control = control
        self._fleet = fleet
        self._watch = watch
        self._later: set[asyncio.Task[None]] = set()

    async def invoke(
        self, function: str, qualifier: str | None, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        """The answer to a call, of which `function` is percent-encoded. Raises ApiError."""
        reference = self._control.place.reference(unquote(function), qualifier)
        version = self._version(reference)
        kind = headers.get("X-Amz-Invocation-Type", "RequestResponse")
        _check_payload(kind, body)
        executed = {"X-Amz-Executed-Version": version.version}
        event = Event(
            request_id=str(uuid.uuid4()),
            function_arn=self._control.place.arn(reference.name, reference.qualifier),
            payload=body or b"{}",
            client_context=_client_context(headers),
            wants_log=headers.get("X-Amz-Log-Type") == "Tail",
        )
        match kind:
            case "DryRun":
                return Reply(204, b"", executed)
            case "Event":
                self._run_later(version, event)
                return Reply(202, b"", executed)
            case "RequestResponse":
                run = await self._watched(self._fleet.run, version, event)
                return _answer(run, event, executed)
            case _:
                raise invalid_parameter(f"'{kind}' is no invocation type.")

    async def forget(self) -> None:
        """Give up the asynchronous invocations that have not begun."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    def _version(self, reference: Reference) -> FunctionVersion:
        """The version to run: an alias may share its requests among two."""
        alias = self._control.alias(reference)
        if alias is not None:
            chosen = str(alias.function_version)
            for other, weight in weights_of(alias).items():
                if random.random() < weight:
                    chosen = other
            reference = Reference(reference.name, chosen)
        return FunctionVersion.of(self._control.function(reference))

    def _run_later(self, version: FunctionVersion, event: Event) -> None:
        task = asyncio.create_task(self._run_unheard(version, event))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _run_unheard(self, version: FunctionVersion, event: Event) -> None:
        # The function may be deleted before its turn comes, and nobody waits to be told.
        with contextlib.suppress(ApiError):
            await self._watched(self._fleet.run_when_possible, version, event)

    async def _watched(self, start: _Start, version: FunctionVersion, event: Event) -> Run:
        begun = time.perf_counter()
        run = await start(version, event)
        if self._watch is not None:
            error = json.loads(run.outcome.payload) if run.outcome.failed else {}
            self._watch(
                Report(
                    version_arn=version.arn,
                    request_id=event.request_id,
                    cold_start=run.cold_start,
                    milliseconds=(time.perf_counter() - begun) * 1000,
                    error=error.get("errorType", "") if run.outcome.failed else None,
                )
            )
        return run


def _answer(run: Run, event: Event, executed: Mapping[str, str]) -> Reply:
    answer = {"Content-Type": "application/json", **executed}
    if run.outcome.failed:
        answer["X-Amz-Function-Error"] = "Unhandled"
    if event.wants_log:
        answer["X-Amz-Log-Result"] = run.log_tail
    return Reply(200, run.outcome.payload, answer)


def _check_payload(kind: str, body: bytes) -> None:
    limit = _EVENT_LIMIT if kind == "Event" else REQUEST_LIMIT
    if len(body) > limit:
        raise too_large(len(body), kind, limit)
    try:
        json.loads(body or b"{}")
    except ValueError as error:
        raise unreadable(error) from error


def too_large(size: int, kind: str, limit: int) -> ApiError:
    """The refusal of a request that is larger than its kind may be."""
    return ApiError(
        413,
        "RequestEntityTooLargeException",
        f"{size} byte payload is too large for the {kind} invocation type (limit {limit} bytes)",
    )


def _client_context(headers: Mapping[str, str]) -> str | None:
    encoded = headers.get("X-Amz-Client-Context")
    return None if encoded is None else base64.b64decode(encoded).decode()
