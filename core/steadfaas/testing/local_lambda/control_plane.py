"""The control plane: moto answers, and what it gets wrong is refused before or repaired after.

moto runs in this process, behind its own WSGI application. All calls go through one thread, so that
a check and the call that it guards are not interrupted by another.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from moto.awslambda.models import LambdaAlias, LambdaFunction, lambda_backends
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import EnvironBuilder, run_wsgi_app

from steadfaas.testing.local_lambda.api_errors import (
    ApiError,
    Reply,
    invalid_parameter,
    not_found,
    unreadable,
)
from steadfaas.testing.local_lambda.functions import FunctionVersion
from steadfaas.testing.local_lambda.names import LATEST, Place, Reference, partition_of
from steadfaas.testing.local_lambda.storage import Storage, config_sha256, revision_id

_FUNCTION_CALL: Final = re.compile(r"(/\d{4}-\d\d-\d\d/functions)/([^/]+)(/.*)?")
_LISTS: Final = ("Versions", "Aliases", "Functions")
_PAGE: Final = 50  # whatever is asked for, the Lambda API gives no more at once
_ROLE: Final = "local-lambda"


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a client. `path` is as it came, percent-encoded."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def service(self) -> str:
        """The service that the signature names; a request without one is for Lambda."""
        signature = self.headers.get("Authorization", "")
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", signature)
        return scope[1] if scope else "lambda"

    def parameter(self, name: str) -> str | None:
        """A parameter of the query."""
        return parse_qs(self.query).get(name, [None])[0]

    def json(self) -> dict[str, Any]:
        """The body, empty where there is none. Raises ApiError."""
        try:
            return dict(json.loads(self.body or b"{}"))
        except (ValueError, TypeError) as error:
            raise unreadable(error) from error


class ControlPlane:
    """Functions of one account in one region. `endpoint_url` is where packages can be fetched."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.endpoint_url = ""
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.reset()

    @property
    def role(self) -> str:
        """The ARN of a role that functions may have."""
        partition = partition_of(self.place.region)
        return f"arn:{partition}:iam::{self.place.account}:role/{_ROLE}"

    def reset(self) -> None:
        """Forget all functions, and that there were any."""
        place = self.place
        lambda_backends[place.account][place.region].reset()
        self._storage = Storage(place.region, place.account)
        lambda_backends[place.account][place.region]._lambdas = self._storage
        iam = iam_backends[place.account][partition_of(place.region)]
        iam.reset()
        iam.create_role(_ROLE, "{}", "/", None, "", [], None)

    # What the data plane asks.

    def function(self, reference: Reference) -> LambdaFunction:
        """The version that a reference means. Raises ApiError."""
        found = self._storage.find(reference.name, reference.qualifier)
        if found is None:
            raise not_found(self.place.arn(reference.name, reference.qualifier))
        return found

    def alias(self, reference: Reference) -> LambdaAlias | None:
        """The alias that a reference means, or None where it means something else."""
        return self._aliases(reference.name).get(reference.qualifier or LATEST)

    def reserved_concurrency(self, name: str) -> int | None:
        """How many invocations of a function may run at once: of all its versions together."""
        latest = self._storage.find(name, None)
        reserved = None if latest is None else latest.reserved_concurrency
        return None if reserved is None else int(reserved)

    def is_current(self, version: FunctionVersion) -> bool:
        """Whether the version exists and is still configured like this."""
        found = self._storage.find(version.name, version.version)
        return found is not None and version == FunctionVersion.of(found)

    # What clients ask.

    def answer(self, call: Call) -> Reply:
        """The answer to any call but Invoke. Raises ApiError."""
        match = _FUNCTION_CALL.fullmatch(call.path)
        if call.service != "lambda":
            return self._ask_moto(call)
        if match is None:
            return self._repaired(call, self._ask_moto(call))
        reference = self.place.reference(unquote(match[2]), call.parameter("Qualifier"))
        if self._storage.find(reference.name, None) is None:
            raise not_found(self.place.arn(reference.name, reference.qualifier))
        operation = match[3] or ""
        self._guard(call, operation.rstrip("/"), reference)
        plain = _with_plain_name(call, f"{match[1]}/{reference.name}{operation}", reference)
        return self._repaired(call, self._ask_moto(plain))

    def _guard(self, call: Call, operation: str, reference: Reference) -> None:
        """Refuse what moto lets pass. Raises ApiError."""
        latest = self.function(Reference(reference.name))
        match call.method, operation:
            case "DELETE", "":
                self._check_deletable(reference)
            case "POST", "/aliases":
                _check_alias_name(str(call.json().get("Name")))
            case "POST", "/versions":
                _check_code(call.json().get("CodeSha256"), latest)
                _check_revision(call.json(), revision_id(latest.get_configuration()))
            case "PUT", "/code" | "/configuration":
                if reference.qualifier not in (None, LATEST):
                    raise invalid_parameter("A published version cannot be changed, only $LATEST.")
                _check_revision(call.json(), revision_id(latest.get_configuration()))
            case "PUT", _ if operation.startswith("/aliases/"):
                alias = self.alias(Reference(reference.name, operation.rpartition("/")[2]))
                if alias is not None:
                    _check_revision(call.json(), _alias_revision(alias.to_json()))

    def _check_deletable(self, reference: Reference) -> None:
        if reference.qualifier == LATEST:
            raise invalid_parameter(
                "$LATEST version cannot be deleted without deleting the function."
            )
        if reference.qualifier is None:
            return
        if self.alias(reference) is not None:
            raise invalid_parameter("A version is deleted by its number, not by an alias.")
        holders = [
            alias.name
            for alias in self._aliases(reference.name).values()
            if reference.qualifier in (alias.function_version, *weights_of(alias))
        ]
        if holders:
            raise ApiError(
                409,
                "ResourceConflictException",
                "Unable to delete version because the following aliases reference it:"
                f" [{', '.join(sorted(holders))}]",
            )

    def _aliases(self, name: str) -> dict[str, LambdaAlias]:
        return self._storage.aliases_of(self.place.arn(name))

    def _ask_moto(self, call: Call) -> Reply:
        place = self.place
        scope = f"Credential=local/20200101/{place.region}/{call.service}/aws4_request"
        headers = {
            **call.headers,
            # moto takes the region and the service from the signature, which it does not check.
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none",
            "x-moto-account-id": place.account,
        }
        builder = EnvironBuilder(
            path=call.path,
            base_url=f"http://{call.service}.{place.region}.amazonaws.com",
            method=call.method,
            query_string=call.query,
            headers=list(headers.items()),
            data=call.body,
        )
        try:
            parts, status, answered = run_wsgi_app(self._moto, builder.get_environ(), buffered=True)
        except NotImplementedError as error:
            raise _not_offered(call) from error
        reply = Reply(int(status.split()[0]), b"".join(parts), dict(answered.items()))
        if reply.status in (404, 405) and "html" in answered.get("Content-Type", ""):
            raise _not_offered(call)
        return reply

    def _repaired(self, call: Call, reply: Reply) -> Reply:
        """Lambda's answer with what moto leaves out."""
        if reply.status >= 300 or not reply.body.startswith(b"{"):
            return reply
        answer = json.loads(reply.body)
        for key in _LISTS:
            if key in answer:
                _take_page(answer, key, call)
        for found in _configurations(answer):
            if "CodeSha256" in found:
                _complete(found)
        for found in (answer, *answer.get("Aliases", ())):
            if "AliasArn" in found:
                found["RevisionId"] = _alias_revision(found)
        if "Code" in answer and "Configuration" in answer:
            answer["Code"]["Location"] = self._location(answer["Configuration"])
        headers = {name: value for name, value in reply.headers.items() if name != "Content-Length"}
        return Reply(reply.status, json.dumps(answer).encode(), headers)

    def _location(self, configuration: Mapping[str, Any]) -> str:
        name, version = configuration["FunctionName"], quote(configuration["Version"])
        return f"{self.endpoint_url}/packages/{name}/{version}"


def _with_plain_name(call: Call, path: str, reference: Reference) -> Call:
    """The call with a function's bare name in its path, and its qualifier in the query."""
    query = {name: value for name, value in parse_qs(call.query).items() if name != "Qualifier"}
    if reference.qualifier is not None:
        query["Qualifier"] = [reference.qualifier]
    return Call(call.method, path, urlencode(query, doseq=True), call.headers, call.body)


def _check_alias_name(name: str) -> None:
    pattern = r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
    if not re.fullmatch(pattern, name):
        raise ApiError(
            400,
            "ValidationException",
            f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint:"
            f" Member must satisfy regular expression pattern: {pattern}",
        )


def _check_code(expected: str | None, latest: LambdaFunction) -> None:
    if expected and expected != latest.code_sha_256:
        raise invalid_parameter(
            f"CodeSHA256 ({expected}) is different from current CodeSHA256 in $LATEST"
            f" ({latest.code_sha_256}). Please try again with the CodeSHA256 in $LATEST."
        )


def _check_revision(body: Mapping[str, Any], current: str) -> None:
    if body.get("RevisionId") not in (None, current):
        raise ApiError(
            412,
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the"
            " GetFunction/GetAlias API to retrieve the latest Revision Id",
        )


def weights_of(alias: LambdaAlias) -> dict[str, float]:
    """The other versions that get a share of an alias' requests."""
    routing: Any = alias.routing_config or {}
    return dict(routing.get("AdditionalVersionWeights") or {})


def _alias_revision(alias: Mapping[str, Any]) -> str:
    state = {name: value for name, value in alias.items() if name != "RevisionId"}
    return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(state, sort_keys=True)))


def _configurations(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Where an answer may hold a function's configuration."""
    one = answer.get("Configuration", answer)
    return [one, *answer.get("Versions", ()), *answer.get("Functions", ())]


def _complete(configuration: dict[str, Any]) -> None:
    configuration["ConfigSha256"] = config_sha256(configuration)
    configuration["RevisionId"] = revision_id(configuration)
    version, arn = configuration["Version"], configuration["FunctionArn"]
    if version != LATEST and not arn.endswith(f":{version}"):
        configuration["FunctionArn"] = f"{arn}:{version}"


def _take_page(answer: dict[str, Any], key: str, call: Call) -> None:
    """Cut a list down to the page that was asked for. The marker is where the page begins."""
    try:
        start = int(call.parameter("Marker") or 0)
        size = min(int(call.parameter("MaxItems") or _PAGE), _PAGE)
    except ValueError as error:
        raise invalid_parameter(f"Marker and MaxItems are not understood: {error}") from error
    if len(answer[key]) > start + size:
        answer["NextMarker"] = str(start + size)
    answer[key] = answer[key][start : start + size]


def _not_offered(call: Call) -> ApiError:
    return ApiError(
        501,
        "NotImplementedException",
        f"The local Lambda does not offer {call.method} {call.path} ({call.service}).",
    )
