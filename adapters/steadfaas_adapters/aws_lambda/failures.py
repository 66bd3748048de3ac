"""What Lambda's failures mean for the attempt that met them.

The exception's name decides, never the status: 410 is a file system that hiccups, and 502 stands
for a deleted key as well as for a network card that warms up (API reference, `Invoke`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas_adapters import _retry_after

# The exceptions of `Invoke`, and what signing and throttling before it may answer.
VERDICTS: Final[Mapping[Verdict, frozenset[str]]] = {
    # The version is no more. Numbers are never given again, so nobody needs to try again.
    Verdict.GONE: frozenset(
        {
            "CodeArtifactUserDeletedException",
            "NoPublishedVersionException",
            "ResourceNotFoundException",
            "RuntimeAliasDeletedException",
            "RuntimeVersionDeletedException",
        }
    ),
    # It is there, and broken until somebody does something about it.
    Verdict.DENIED: frozenset(
        {
            "AccessDenied",
            "AccessDeniedException",
            "CodeArtifactUserFailedException",
            "EC2AccessDeniedException",
            "EFSMountFailureException",
            "ENILimitReachedException",
            "ExpiredTokenException",
            "IncompleteSignatureException",
            "InvalidClientTokenId",
            "InvalidRuntimeException",
            "InvalidSecurityGroupIDException",
            "InvalidSignatureException",
            "InvalidSubnetIDException",
            "InvalidZipFileException",
            "KMSAccessDeniedException",
            "KMSDisabledException",
            "KMSInvalidStateException",
            "KMSNotFoundException",
            "MissingAuthenticationTokenException",
            "OptInRequired",
            "S3FilesMountFailureException",
            "ServiceQuotaExceededException",
            "SnapStartException",
            "SubnetIPAddressLimitReachedException",
            "UnrecognizedClientException",
        }
    ),
    Verdict.THROTTLED: frozenset({"ThrottlingException", "TooManyRequestsException"}),
    # It will pass by itself.
    Verdict.RETRY: frozenset(
        {
            "CodeArtifactUserPendingException",
            "EC2ThrottledException",
            "EC2UnexpectedException",
            "EFSIOException",
            "EFSMountConnectivityException",
            "EFSMountTimeoutException",
            "ENINotReadyException",
            "InternalFailure",
            "ResourceConflictException",
            "ResourceNotReadyException",
            "S3FilesMountConnectivityException",
            "S3FilesMountTimeoutException",
            "ServiceException",
            "ServiceUnavailableException",
            "SnapStartNotReadyException",
            "SnapStartRegenerationFailureException",
            "SnapStartTimeoutException",
        }
    ),
    Verdict.TOO_LARGE: frozenset(
        {
            "RequestEntityTooLargeException",
            "RequestTooLargeException",
            "SerializedRequestEntityTooLargeException",
        }
    ),
    # We asked wrongly: asking again changes nothing.
    Verdict.BUG: frozenset(
        {
            "DurableExecutionAlreadyStartedException",
            "InvalidParameterValueException",
            "InvalidRequestContentException",
            "ModeNotSupportedException",
            "RecursiveInvocationException",
            "UnsupportedMediaTypeException",
            "ValidationException",
        }
    ),
}
# Another call a moment later may find it ready: worth a few tries within the attempt. The function
# has not run.
BRIEF: Final = frozenset(
    {
        "CodeArtifactUserPendingException",
        "EC2ThrottledException",
        "ENINotReadyException",
        "ResourceConflictException",
        "ResourceNotReadyException",
        "SnapStartNotReadyException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# What the call was signed with is unknown, expired or wrong.
NO_GOOD_KEYS: Final = frozenset(
    {
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)

_VERDICT_OF: Final = {name: verdict for verdict, names in VERDICTS.items() for name in names}
_CODES: Final = {
    Verdict.GONE: "SF0003",
    Verdict.DENIED: "SF0004",
    Verdict.THROTTLED: "RT0023",
    Verdict.RETRY: "RT0010",
    Verdict.TOO_LARGE: "RT0019",
    Verdict.BUG: "SF0005",
}
_NEXT_STEPS: Final = {
    Verdict.GONE: (
        "This version will not come back. Look for code that goes on with the journal: 'steadfaas"
        " check INVOCATION --deployment ID', then 'steadfaas invocations resume INVOCATION"
        " --deployment ID'; or kill it"
    ),
    Verdict.DENIED: (
        "Somebody has to correct this on AWS; the invocation stays on this version and goes on then"
    ),
}
_MOST_TEXT: Final = 1000
# Before the next attempt after a throttle that does not say how long it lasts (milliseconds).
_BREATHER: Final = 2000


class Refusal(AttemptFailure):
    """Lambda did not run the function. `exception` is the name of its exception, `asked` how long
    it asked to wait (milliseconds), if it did."""

    def __init__(self, exception: str, failure: AttemptFailure, asked: int | None) -> None:
        super().__init__(
            failure.code,
            failure.message,
            http_code=failure.http_code,
            verdict=failure.verdict,
            retry_after=failure.retry_after,
        )
        self.exception = exception
        self.asked = asked


def refusal(status: int, headers: Mapping[str, str], body: bytes, arn: str) -> Refusal:
    """What an error answer of the API means. Unknown ones go by their status."""
    said = _object(body)
    # `ResourceNotFoundException:http://…`, or `namespace#Name` in a body.
    written = headers.get("x-amzn-errortype") or str(said.get("__type") or said.get("code") or "")
    name = written.partition(":")[0].rpartition("#")[2] or f"status {status}"
    verdict = _VERDICT_OF.get(name) or _by_status(status)
    sentence = str(said.get("Message") or said.get("message") or "").strip()[:_MOST_TEXT]
    reason = f", {said['Reason']}" if said.get("Reason") else ""
    step = f". {_NEXT_STEPS[verdict]}" if verdict in _NEXT_STEPS else ""
    message = f"Lambda refused to run {arn} ({name}{reason}): {sentence.rstrip('.')}{step}"
    throttled = verdict is Verdict.THROTTLED
    asked = _retry_after.milliseconds(headers) if throttled else None
    failure = AttemptFailure(
        _CODES[verdict],
        message,
        http_code=status if throttled or verdict is Verdict.TOO_LARGE else 500,
        verdict=verdict,
        # Always a delay of Lambda's, never the policy's: what did not run has not failed.
        retry_after=(asked or _BREATHER) if throttled else None,
    )
    return Refusal(name, failure, asked)


def function_error(kind: str, payload: bytes) -> AttemptFailure:
    """The function itself failed: it raised, crashed, ran out of time or memory."""
    said = _object(payload)
    error = str(said.get("errorType") or kind)
    text = str(said.get("errorMessage") or said.get("Message") or "").strip()[:_MOST_TEXT]
    trace = said.get("stackTrace")
    lines = trace if isinstance(trace, list) else []
    if error == "Function.ResponseSizeTooLarge":
        return AttemptFailure(
            "RT0003",
            f"the function answered with more than Lambda carries (6 MB): {text}. Keep large values"
            " elsewhere and return references to them",
            verdict=Verdict.TOO_LARGE,
        )
    timed_out = error == "Sandbox.Timedout" or "Task timed out after" in text
    return AttemptFailure(
        "RT0001" if timed_out else "RT0007",
        f"the function failed ({error}): {text}",
        stacktrace="".join(str(line) for line in lines),
    )


def another_version(executed: str, version: str, arn: str) -> AttemptFailure:
    """An answer of code that is not the pinned one is no result."""
    return AttemptFailure(
        "SF0005",
        f"Lambda ran version {executed or '(it does not say)'} instead of {version} of {arn}; what"
        " it answered was thrown away. Something between here and Lambda rewrites calls",
        verdict=Verdict.BUG,
    )


def _by_status(status: int) -> Verdict:
    if status == 429:
        return Verdict.THROTTLED
    if status == 413:
        return Verdict.TOO_LARGE  # said by a proxy on the way
    if status in (401, 403):
        return Verdict.DENIED
    return Verdict.RETRY if status >= 500 or status == 408 else Verdict.BUG


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"Message": body.decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {"errorMessage": str(found)}
