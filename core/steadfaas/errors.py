"""The error tree. Every error carries a stable code and a verdict; nobody decides from its text.

SteadfaasError
├── RequestError         somebody asked for something we refuse: HTTP status, sentence, code
│   ├── NotFound         404
│   ├── BadRequest       400
│   ├── Conflict         409
│   └── Overloaded       429, with the seconds after which to try again
├── DiscoveryError       an endpoint could not be registered: a META code
├── AttemptFailure       one attempt of an invocation failed: an RT code, a verdict, maybe a delay
│   └── ProtocolViolation   the answer breaks the service protocol (RT0012)
└── StoreError           the database refused: nothing was stored, nothing was acknowledged
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What a failure means for the work that met it."""

    RETRY = "retry"
    THROTTLED = "throttled"
    GONE = "gone"
    TOO_LARGE = "too-large"
    DENIED = "denied"
    BUG = "bug"


class SteadfaasError(Exception):
    """Root of all errors raised on purpose by steadfaas."""

    code: str | None = None
    verdict: Verdict = Verdict.BUG


class RequestError(SteadfaasError):
    """A request is refused.

    `status` is the HTTP status, `message` the sentence that helps, `code` the stable code
    (`restate_code` in the admin API's answers) or None where Restate's API has none.
    """

    status = 400
    verdict = Verdict.DENIED

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        if status is not None:
            self.status = status


class BadRequest(RequestError):
    """The request cannot be understood, or asks for what is not allowed."""

    status = 400


class NotFound(RequestError):
    """What the request names does not exist."""

    status = 404
    verdict = Verdict.GONE


class Conflict(RequestError):
    """The request contradicts the present state."""

    status = 409


class Overloaded(RequestError):
    """A limit is reached; try again after `retry_after` seconds."""

    status = 429
    verdict = Verdict.THROTTLED

    def __init__(self, message: str, *, retry_after: int, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class DiscoveryError(SteadfaasError):
    """An endpoint cannot be registered. `code` is a META code, `status` the admin API's status."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int = 500,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.verdict = Verdict.RETRY if retryable else Verdict.DENIED


class AttemptFailure(SteadfaasError):
    """One attempt failed; the invocation goes on by its retry policy.

    `code` is the RT code, `http_code` the number a caller sees when attempts run out,
    `retry_after` a delay in milliseconds that replaces the policy's (and costs no attempt).
    `command_index`, `command_name` and `command_type` name the journal command the endpoint blamed.
    """

    code: str  # always there

    def __init__(
        self,
        code: str,
        message: str,
        *,
        http_code: int = 500,
        verdict: Verdict = Verdict.RETRY,
        retry_after: int | None = None,
        command_index: int | None = None,
        command_name: str | None = None,
        command_type: int | None = None,
        stacktrace: str = "",
    ) -> None:
        super().__init__(f"[{code}] {message}")
        self.code = code
        self.message = message
        self.http_code = http_code
        self.verdict = verdict
        self.retry_after = retry_after
        self.command_index = command_index
        self.command_name = command_name
        self.command_type = command_type
        self.stacktrace = stacktrace


class ProtocolViolation(AttemptFailure):
    """The answer breaks the service protocol; retryable, RT0012 unless told otherwise."""

    def __init__(self, message: str, *, code: str = "RT0012", http_code: int = 571) -> None:
        super().__init__(code, message, http_code=http_code, verdict=Verdict.BUG)


class StoreError(SteadfaasError):
    """The database refused: nothing was stored. It may heal (RETRY), or somebody must help."""

    def __init__(self, message: str, *, verdict: Verdict = Verdict.RETRY) -> None:
        super().__init__(message)
        self.verdict = verdict
