"""Asks Lambda's control plane about versions: what an alias points to, what there is, what to drop.

Functions here block; the adapter runs them in threads. Everything that lists is read page by page.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from steadfaas.errors import BadRequest, Conflict, DiscoveryError
from steadfaas.spi import Access, EndpointReference, Evidence, Version
from steadfaas_adapters.aws_lambda import target
from steadfaas_adapters.aws_lambda.clients import NO_CREDENTIALS, clients, forget
from steadfaas_adapters.aws_lambda.failures import NO_GOOD_KEYS
from steadfaas_adapters.aws_lambda.target import FunctionTarget, Kind

NAME: Final = "aws-lambda"
# Facts that tell whether a version is still the same: hashes of the package and of the settings.
HASHES: Final = ("code_sha256", "config_sha256")
# While a version gets ready (network cards, SnapStart): seconds between looks, and looks.
_LOOK_SECONDS: Final = 1
_LOOKS: Final = 20
_WAIT: Final = {"Delay": _LOOK_SECONDS, "MaxAttempts": _LOOKS}
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "403"})
# The last: something else is being done to the function at this moment.
_LATER: Final = frozenset(
    {
        "TooManyRequestsException",
        "ThrottlingException",
        "Throttling",
        "ServiceException",
        "RequestLimitExceeded",
        "ResourceConflictException",
    }
)
# The same as in calls, under the names that STS has for them.
_NO_GOOD_KEYS: Final = NO_GOOD_KEYS | {"ExpiredToken", "SignatureDoesNotMatch"}
_MISSING: Final = "ResourceNotFoundException"
_MOST_TAGS: Final = 20
_LONGEST: Final = 500


def resolve(text: str, access: Access, *, dev: bool) -> EndpointReference:
    """The version that a target means now, with what Lambda says of it."""
    wanted = target.parse(text, dev=dev)
    with _explained(wanted):
        client = _client(wanted, access)
        if wanted.kind is Kind.VERSION:
            return _version(client, wanted)
        if wanted.kind is Kind.LATEST:
            return _latest(client, wanted)
        if wanted.kind is Kind.ALIAS:
            return _pinned(
                client, wanted, _aliased(client, wanted, dev=dev), {"alias": wanted.qualifier}
            )
        return _pinned(client, wanted, _newest(client, wanted), {})


def publish(text: str, access: Access, description: str) -> EndpointReference:
    """Publish the code as it is now. Without a change since the last time, Lambda gives the version
    that there is (API reference, `PublishVersion`)."""
    wanted = target.parse(text, dev=True)
    if wanted.kind not in (Kind.NEWEST, Kind.LATEST):
        raise BadRequest(
            f"what is published is the function's newest code: write '{target.PREFIX}"
            f"{wanted.function}', without '{wanted.qualifier}'"
        )
    with _explained(wanted):
        client = _client(wanted, access)
        # A new function cannot be published yet; a version made while an update is under way would
        # be the old code.
        for ready in ("function_active_v2", "function_updated_v2"):
            client.get_waiter(ready).wait(FunctionName=wanted.function, WaiterConfig=_WAIT)
        before = client.get_function_configuration(FunctionName=wanted.function)
        # The guard: if somebody deploys at this very moment, Lambda refuses.
        made = client.publish_version(
            FunctionName=wanted.function,
            CodeSha256=before["CodeSha256"],
            **({"Description": description} if description else {}),
        )
        return _pinned(client, wanted, made["Version"], {"published_by": "steadfaas"})


def list_versions(text: str, access: Access) -> list[Version]:
    """All published versions, the highest number first, with the aliases that point to each."""
    wanted = target.parse(text, dev=True)
    with _explained(wanted):
        client = _client(wanted, access)
        names: dict[str, list[str]] = {}
        for alias in _pages(client, "list_aliases", "Aliases", FunctionName=wanted.function):
            weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
            for number in (alias["FunctionVersion"], *weights):
                names.setdefault(number, []).append(alias["Name"])
        found = [
            Version(
                label=each["Version"],
                uri=each["FunctionArn"],
                created_at=_milliseconds(each.get("LastModified")),
                names=tuple(sorted(names.get(each["Version"], ()))),
                facts=_facts({"Configuration": each}),
            )
            for each in _published(client, wanted)
        ]
    return sorted(found, key=lambda version: int(version.label), reverse=True)


def verify(reference: EndpointReference, access: Access) -> list[str]:
    """What is other about a version than was recorded of it."""
    wanted = target.parse(reference.uri, dev=True)
    with _explained(wanted):
        try:
            found = _described(_client(wanted, access), wanted, wanted.qualifier or target.LATEST)
        except _botocore_error() as error:
            if _code(error) != _MISSING:
                raise
            return [f"Lambda has no version {wanted.qualifier} of {wanted.name} (any more)"]
    now = _facts(found)
    return [
        f"{name} was {reference.facts[name]} at registration and is {now[name]} now"
        for name in HASHES
        if name in reference.facts and name in now and reference.facts[name] != now[name]
    ]


def needed_by(reference: EndpointReference, access: Access) -> str | None:
    """Which aliases point to a version; None if none does, or if it is gone."""
    wanted = _deletable(reference)
    with _explained(wanted):
        try:
            return _pointed_to(_client(wanted, access), wanted)
        except _botocore_error() as error:
            if _code(error) != _MISSING:
                raise
            return None  # the whole function is gone


def retire(reference: EndpointReference, access: Access) -> None:
    """Delete a version; one that is gone already is fine. Raises Conflict while an alias points to
    it."""
    wanted = _deletable(reference)
    with _explained(wanted):
        client = _client(wanted, access)
        try:
            if needed := _pointed_to(client, wanted):
                raise Conflict(needed)
            client.delete_function(FunctionName=wanted.function, Qualifier=wanted.qualifier)
        except _botocore_error() as error:
            if _code(error) == _MISSING:
                return  # the version, or the whole function
            if _code(error) != "ResourceConflictException":
                raise
            raise Conflict(  # an alias came in between
                f"Lambda did not delete version {wanted.qualifier} of {wanted.name} ({error})"
            ) from error


def _deletable(reference: EndpointReference) -> FunctionTarget:
    wanted = target.parse(reference.uri, dev=True)
    if wanted.kind is not Kind.VERSION:
        # Without a number the whole function would go, for good.
        raise BadRequest(f"only a version can be deleted, and {reference.uri} is none")
    return wanted


def _pointed_to(client: Any, wanted: FunctionTarget) -> str | None:
    """Which aliases point to a version, in a sentence; None if none does."""
    names = sorted(
        alias["Name"]
        for alias in _pages(client, "list_aliases", "Aliases", FunctionName=wanted.function)
        if _points_to(alias, wanted.qualifier)
    )
    if not names:
        return None
    one = len(names) == 1
    return (
        f"version {wanted.qualifier} of {wanted.name} is what the"
        f" {'alias' if one else 'aliases'} {', '.join(names)}"
        f" {'points' if one else 'point'} to; point {'it' if one else 'them'} elsewhere"
        " first (aws lambda update-alias)"
    )


# --- one version -------------------------------------------------------------------------------


def _version(client: Any, wanted: FunctionTarget) -> EndpointReference:
    """Its ARN says that it is immutable. What Lambda says of it is kept as well, if we may ask."""
    try:
        return _pinned(client, wanted, wanted.qualifier, {}, Evidence.GRAMMAR)
    except _botocore_error() as error:
        if not _denied(error, "GetFunction") or wanted.arn is None:
            raise
    facts = {"unverified": "lambda:GetFunction is denied here, so its hashes are not known"}
    return EndpointReference(NAME, wanted.arn, Evidence.GRAMMAR, facts)


def _latest(client: Any, wanted: FunctionTarget) -> EndpointReference:
    found = client.get_function(FunctionName=wanted.function)
    arn = f"{_plain_arn(found['Configuration']['FunctionArn'])}:{target.LATEST}"
    return EndpointReference(NAME, arn, Evidence.MUTABLE, _facts(found))


def _pinned(
    client: Any,
    wanted: FunctionTarget,
    number: str,
    facts: dict[str, str],
    evidence: Evidence = Evidence.CONTROL_PLANE,
) -> EndpointReference:
    found = _described(client, wanted, number)
    for _ in range(_LOOKS):
        if found["Configuration"].get("State") != "Pending":
            break
        time.sleep(_LOOK_SECONDS)
        found = _described(client, wanted, number)
    state = found["Configuration"].get("State", "Active")
    if state == "Pending":
        raise DiscoveryError(
            f"version {number} of {wanted.name} is not ready yet. Try again in a moment",
            code="META0003",
            status=503,
            retryable=True,
        )
    if state == "Failed":
        reason = found["Configuration"].get("StateReason", "no reason given")
        raise DiscoveryError(
            f"version {number} of {wanted.name} cannot run: {reason}", code="META0003", status=400
        )
    # An alias is answered with its own ARN: what counts is the number.
    arn = f"{_plain_arn(found['Configuration']['FunctionArn'])}:{number}"
    return EndpointReference(NAME, arn, evidence, {**_facts(found), **facts})


def _described(client: Any, wanted: FunctionTarget, number: str) -> dict[str, Any]:
    # The one call of the control plane with a generous limit (100 a second).
    found: dict[str, Any] = client.get_function(FunctionName=wanted.function, Qualifier=number)
    return found


def _aliased(client: Any, wanted: FunctionTarget, *, dev: bool) -> str:
    alias = client.get_alias(FunctionName=wanted.function, Name=wanted.qualifier)
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    number = str(alias["FunctionVersion"])
    if weights:
        shares = ", ".join(f"{share:.0%} to version {each}" for each, share in weights.items())
        raise BadRequest(
            f"the alias '{wanted.qualifier}' splits its traffic ({shares}, the rest to version"
            f" {number}), so it names no single version. Register each of them by number"
        )
    if number == target.LATEST:
        raise BadRequest(
            f"the alias '{wanted.qualifier}' points to $LATEST, which the next deploy overwrites;"
            " publish a version and point the alias to that"
        )
    return number


def _newest(client: Any, wanted: FunctionTarget) -> str:
    numbers = [int(each["Version"]) for each in _published(client, wanted)]
    if not numbers:
        raise BadRequest(
            f"the function '{wanted.name}' has no published version yet: add --publish, or run"
            f" 'aws lambda publish-version --function-name {wanted.name}' first"
        )
    return str(max(numbers))


def _published(client: Any, wanted: FunctionTarget) -> Iterator[dict[str, Any]]:
    for each in _pages(
        client, "list_versions_by_function", "Versions", FunctionName=wanted.function
    ):
        if each["Version"].isdecimal():  # else it is $LATEST or $LATEST.PUBLISHED, which move
            yield each


def _points_to(alias: dict[str, Any], number: str) -> bool:
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return number == alias["FunctionVersion"] or number in weights


def _pages(client: Any, call: str, field: str, **arguments: str) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator(call).paginate(**arguments):
        yield from page[field]


# --- what Lambda says of a version ---------------------------------------------------------------


def _facts(found: dict[str, Any]) -> dict[str, str]:
    known = found["Configuration"]
    facts = {
        "code_sha256": known.get("CodeSha256"),
        "config_sha256": known.get("ConfigSha256"),
        "runtime": known.get("Runtime"),
        # The patch version, which AWS may move under a published version (runtime management).
        "runtime_version": (known.get("RuntimeVersionConfig") or {}).get("RuntimeVersionArn"),
        "published_at": known.get("LastModified"),
        "description": known.get("Description"),
    }
    tags = sorted((found.get("Tags") or {}).items())[:_MOST_TAGS]
    facts |= {f"tag:{name}": value for name, value in tags}
    return {name: str(value)[:_LONGEST] for name, value in facts.items() if value}


def _plain_arn(arn: str) -> str:
    """The function's ARN, without the qualifier that an answer may have behind it."""
    return ":".join(arn.split(":")[:7])


def _milliseconds(written: str | None) -> int | None:
    if not written:
        return None
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(written)
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    return None


# --- clients and errors ------------------------------------------------------------------------


def _client(wanted: FunctionTarget, access: Access) -> Any:
    known = clients()
    return known.control(wanted.region or known.region(), access.assume_role_arn)


def _botocore_error() -> type[Exception]:
    from botocore.exceptions import ClientError

    error: type[Exception] = ClientError
    return error


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str((response.get("Error") or {}).get("Code", ""))


def _denied(error: Exception, operation: str) -> bool:
    return _code(error) in _DENIED and getattr(error, "operation_name", "") == operation


@contextlib.contextmanager
def _explained(wanted: FunctionTarget) -> Iterator[None]:
    """Turn what boto3 raises into a sentence that helps."""
    clients()  # says what to install, if boto3 is not there
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,
        HTTPClientError,
        NoCredentialsError,
        WaiterError,
    )

    try:
        yield
    except WaiterError as error:
        raise _unready(error, wanted) from error
    except ClientError as error:
        if _code(error) in _NO_GOOD_KEYS:
            forget()
        raise _refused(error, wanted) from error
    except NoCredentialsError as error:
        raise DiscoveryError(NO_CREDENTIALS, code="META0003", status=403) from error
    except (ConnectionError, HTTPClientError) as error:
        raise DiscoveryError(
            f"the Lambda API cannot be asked: {error}. Check the region and the network",
            code="META0003",
            status=503,
            retryable=True,
        ) from error
    except BotoCoreError as error:
        raise DiscoveryError(
            f"the AWS settings where this runs cannot be used: {error}",
            code="META0003",
            status=400,
        ) from error


def _unready(error: Any, wanted: FunctionTarget) -> DiscoveryError:
    """Whatever a waiter saw in the end: a refusal, something that failed, or nothing yet."""
    seen = error.last_response
    if "Error" in seen:
        from botocore.exceptions import ClientError

        return _refused(ClientError(seen, "GetFunction"), wanted)
    state = seen.get("Configuration", seen)
    if "Failed" in (state.get("State"), state.get("LastUpdateStatus")):
        reason = (
            state.get("LastUpdateStatusReason") or state.get("StateReason") or "no reason given"
        )
        return DiscoveryError(
            f"'{wanted.function}' cannot be published as it is: {reason}",
            code="META0003",
            status=400,
        )
    return DiscoveryError(
        f"'{wanted.function}' was not ready in time: {error}. Try again in a moment",
        code="META0003",
        status=503,
        retryable=True,
    )


def _refused(error: Any, wanted: FunctionTarget) -> DiscoveryError:
    code, operation = _code(error), error.operation_name
    said = str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
    what = f"{operation} of '{wanted.function}' was refused ({code}: {said})"
    if code == _MISSING:
        number = f"{wanted.kind.value} '{wanted.qualifier}' of" if wanted.qualifier else "function"
        return DiscoveryError(
            f"Lambda knows no {number} '{wanted.function}' ({said}). Check the name, the region and"
            " the account",
            code="META0003",
            status=404,
        )
    if operation == "AssumeRole":
        what = f"the role cannot be assumed ({code}: {said})"
        step = "allow it in the role's trust policy, and sts:AssumeRole to whom this runs as"
        return DiscoveryError(f"{what}; {step}", code="META0003", status=403)
    if code in _DENIED:
        return DiscoveryError(
            f"{what}; allow lambda:{operation} on the function and its versions"
            " ('FUNCTION' and 'FUNCTION:*')",
            code="META0003",
            status=403,
        )
    if code in _NO_GOOD_KEYS:
        step = "check the AWS credentials and the clock where this runs"
        return DiscoveryError(f"{what}; {step}", code="META0003", status=403)
    later = (
        code in _LATER or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 503
    )
    return DiscoveryError(what, code="META0003", status=503 if later else 400, retryable=later)
