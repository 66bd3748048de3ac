"""The settings of a handler, resolved once per registration: handler, then service, then engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeVar

from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy
from steadfaas.wire.manifest import (
    HandlerManifest,
    OnExhausted,
    Options,
    RetryOptions,
    ServiceManifest,
)

_MINUTE: Final = 60_000
_DAY: Final = 24 * 60 * _MINUTE
# A hundred years. Endpoints may ask for up to 2^63 ms, which no date and no column can take.
MAX_DURATION: Final = 36_525 * _DAY
# An endpoint that asks for no pause between retries would make the engine spin for it.
MIN_RETRY_INTERVAL: Final = 10


@dataclass(frozen=True, slots=True)
class HandlerOptions:
    """How invocations of a handler are run and kept. All times are in ms.

    The defaults are the engine's: an instance with other values can take their place.
    """

    inactivity_timeout: int = _MINUTE
    abort_timeout: int = 10 * _MINUTE
    journal_retention: int = _DAY
    idempotency_retention: int = _DAY
    workflow_retention: int = _DAY
    lazy_state: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)


def service_options(service: ServiceManifest, defaults: HandlerOptions) -> HandlerOptions:
    """What holds for the handlers of a service that set nothing themselves."""
    return _overlay(service.options, defaults)


def handler_options(
    handler: HandlerManifest, service: ServiceManifest, defaults: HandlerOptions
) -> HandlerOptions:
    """What holds for a handler; each value is looked up on its own."""
    return _overlay(
        handler.options,
        service_options(service, defaults),
        workflow_retention=handler.workflow_completion_retention,
    )


def _overlay(
    options: Options, below: HandlerOptions, *, workflow_retention: int | None = None
) -> HandlerOptions:
    return HandlerOptions(
        inactivity_timeout=_time(options.inactivity_timeout, below.inactivity_timeout),
        abort_timeout=_time(options.abort_timeout, below.abort_timeout),
        journal_retention=_time(options.journal_retention, below.journal_retention),
        idempotency_retention=_time(options.idempotency_retention, below.idempotency_retention),
        workflow_retention=_time(workflow_retention, below.workflow_retention),
        lazy_state=_first(options.enable_lazy_state, below.lazy_state),
        retry=_retry(options.retry, below.retry),
    )


_OUTCOMES: Final = {OnExhausted.PAUSE: OnMaxAttempts.PAUSE, OnExhausted.KILL: OnMaxAttempts.KILL}


def _retry(options: RetryOptions, below: RetryPolicy) -> RetryPolicy:
    if options == RetryOptions():
        return below
    attempts, outcome = options.max_attempts, options.on_max_attempts
    return RetryPolicy(
        initial_interval=_time(
            options.initial_interval, below.initial_interval, least=MIN_RETRY_INTERVAL
        ),
        # A factor below 1 would hurry the more, the longer an endpoint fails.
        factor=below.factor if options.factor is None else max(options.factor, 1.0),
        max_interval=_time(options.max_interval, below.max_interval, least=MIN_RETRY_INTERVAL),
        # Zero attempts would never run anything: it counts as one.
        max_attempts=below.max_attempts if attempts is None else max(attempts, 1),
        on_max_attempts=below.on_max_attempts if outcome is None else _OUTCOMES[outcome],
    )


_T = TypeVar("_T")


def _first(value: _T | None, below: _T) -> _T:
    return below if value is None else value


def _time(value: int | None, below: int, *, least: int = 0) -> int:
    return below if value is None else min(max(value, least), MAX_DURATION)
