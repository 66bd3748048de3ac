"""What an endpoint may announce, and what it is told when it may not."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadfaas.errors import DiscoveryError
from steadfaas.wire.jsonshape import MAX_DEPTH
from steadfaas.wire.manifest import (
    HandlerKind,
    InputRule,
    OnExhausted,
    OutputRule,
    ProtocolMode,
    RetryOptions,
    ServiceType,
    parse_manifest,
    service_from_json,
    service_to_json,
)

RECORDED = Path(__file__).parents[1] / "data" / "wire" / "00-discovery.json"

Json = dict[str, Any]


def manifest(*services: Json, **fields: Any) -> Json:
    return {
        "protocolMode": "REQUEST_RESPONSE",
        "minProtocolVersion": 5,
        "maxProtocolVersion": 7,
        "services": list(services),
        **fields,
    }


def service(*handlers: Json, **fields: Any) -> Json:
    return {
        "name": "Shop",
        "ty": "SERVICE",
        "handlers": list(handlers) or [{"name": "buy"}],
        **fields,
    }


def workflow(*handlers: Json, **fields: Any) -> Json:
    return service(*handlers, **{"name": "Flow", "ty": "WORKFLOW", **fields})


def parse(document: Any, version: int = 4) -> Any:
    return parse_manifest(version, json.dumps(document).encode())


# --- accepted ----------------------------------------------------------------------------------


def test_recorded_manifest_of_an_official_sdk() -> None:
    document = json.loads(RECORDED.read_text())["response"]["json"]
    read = parse(document)
    assert (read.min_version, read.max_version) == (5, 7)
    assert read.protocol_mode is ProtocolMode.REQUEST_RESPONSE
    by_name = {known.name: known for known in read.services}
    assert by_name["H2Obj"].type is ServiceType.VIRTUAL_OBJECT
    kinds = {handler.name: handler.kind for handler in by_name["H2Obj"].handlers}
    assert kinds == {
        "add": HandlerKind.EXCLUSIVE,
        "get": HandlerKind.SHARED,
        "clear": HandlerKind.EXCLUSIVE,
    }
    assert by_name["H2Lazy"].options.enable_lazy_state is True
    assert by_name["H2Priv"].options.ingress_private is True
    echo = by_name["H2Svc"].handlers[0]
    assert echo.kind is HandlerKind.SERVICE
    assert echo.input == InputRule(False, "application/json", '{"type":"string"}')
    assert by_name["H2Obj"].handlers[1].input == InputRule()


def test_every_setting_is_read() -> None:
    handler = {
        "name": "run",
        "documentation": "runs",
        "metadata": {"team": "a"},
        "inactivityTimeout": 1,
        "abortTimeout": 2,
        "journalRetention": 3,
        "workflowCompletionRetention": 4,
        "enableLazyState": False,
        "ingressPrivate": True,
        "retryPolicyInitialInterval": 5,
        "retryPolicyMaxInterval": 6,
        "retryPolicyMaxAttempts": 0,
        "retryPolicyExponentiationFactor": 1.5,
        "retryPolicyOnMaxAttempts": "KILL",
        "output": {"contentType": "text/plain", "setContentTypeIfEmpty": True, "jsonSchema": True},
    }
    read = parse(manifest(workflow(handler, idempotencyRetention=7), lambdaCompression="zstd"))
    assert read.lambda_compression == "zstd"
    assert read.services[0].options.idempotency_retention == 7
    run = read.services[0].handlers[0]
    assert run.kind is HandlerKind.WORKFLOW
    assert run.workflow_completion_retention == 4
    assert run.output == OutputRule("text/plain", True, "true")
    assert run.options.retry == RetryOptions(5, 6, 0, 1.5, OnExhausted.KILL)
    assert (run.options.inactivity_timeout, run.options.abort_timeout) == (1, 2)
    assert run.options.metadata == {"team": "a"}


@pytest.mark.parametrize(
    "document",
    [
        manifest(),
        manifest(service(), unheardOf=[1, {"deep": None}]),
        manifest(service({"name": "buy", "later": {}}, future=1)),
        manifest(service({"name": "_1"}, name="_a.b-C_9")),
        manifest(service(), protocolMode="BIDI_STREAM"),
        manifest(service(), minProtocolVersion=1, maxProtocolVersion=5),
        manifest(service(), minProtocolVersion=6, maxProtocolVersion=99),
        manifest(service({"name": "buy", "input": None, "ty": None})),
        manifest(service({"name": "buy", "input": {"contentType": "*/*"}})),
        manifest(service({"name": "buy", "input": {"contentType": "text/*"}})),
        manifest(service({"name": "buy", "input": {"contentType": "a/b+json; charset=utf-8"}})),
        manifest(service(name="OpenApi")),
        manifest(service(abortTimeout=2**63 - 1)),
        manifest(workflow({"name": "peek", "ty": "SHARED"}, ingressPrivate=True)),
    ],
)
def test_accepted_and_the_same_after_being_stored(document: Json) -> None:
    read = parse(document)
    for known in read.services:
        assert service_from_json(service_to_json(known)) == known


def test_lone_surrogates_survive_the_store() -> None:
    body = (
        b'{"protocolMode":"BIDI_STREAM","minProtocolVersion":5,"maxProtocolVersion":6,"services":['
    )
    body += rb'{"name":"S","ty":"SERVICE","documentation":"\ud800","handlers":[]}]}'
    read = parse_manifest(2, body).services[0]
    stored = service_to_json(read)
    stored.encode()
    assert service_from_json(stored) == read


def test_stored_services_are_not_judged_by_rules() -> None:
    # A rule that became stricter must not keep the engine from starting.
    stored = '{"name":"restate now","ty":"SERVICE","handlers":[{"name":"a b","ty":"SHARED"}]}'
    assert service_from_json(stored).name == "restate now"


# --- refused: the protocol ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"protocolMode": None}, "META0013", "update the SDK"),
        ({"minProtocolVersion": 0}, "META0013", "no range"),
        ({"minProtocolVersion": 7, "maxProtocolVersion": 6}, "META0013", "no range"),
        ({"minProtocolVersion": 1, "maxProtocolVersion": 4}, "META0012", "update the SDK"),
        ({"minProtocolVersion": 7, "maxProtocolVersion": 9}, "META0012", "update the engine"),
        ({"protocolMode": "SMOKE"}, None, "not one of REQUEST_RESPONSE, BIDI_STREAM"),
        ({"minProtocolVersion": None}, None, "'minProtocolVersion' of the manifest is missing"),
        ({"maxProtocolVersion": "7"}, None, "must be a whole number, but is a string"),
        ({"minProtocolVersion": True}, None, "must be a whole number, but is a boolean"),
        ({"minProtocolVersion": 5.0}, None, "must be a whole number"),
        ({"services": None}, None, "'services' of the manifest is missing"),
        ({"services": {}}, None, "must be a list of objects, but is an object"),
        ({"services": ["a"]}, None, "must hold objects only, but holds a string"),
        ({"lambdaCompression": 1}, None, "must be a string"),
    ],
)
def test_unusable_endpoint(fields: Json, code: str | None, words: str) -> None:
    with pytest.raises(DiscoveryError) as refused:
        parse({**manifest(service()), **fields})
    assert (refused.value.code, refused.value.status) == (code, 500)
    assert words in refused.value.message


# --- refused: services and handlers ------------------------------------------------------------

RULES: list[tuple[Json, str | None, str]] = [
    (service(name="restateShop"), "META0005", "reserved"),
    (service(name="RESTATE"), "META0005", "reserved"),
    (service(name="openapi"), "META0005", "reserved"),
    (service(name=""), None, "service name ''"),
    (service(name="1a"), None, "is not allowed"),
    (service(name="_"), None, "is not allowed"),
    (service(name="a/b"), None, "is not allowed"),
    (service(name="Shop\n"), None, "is not allowed"),
    (service(name="Läden"), None, "is not allowed"),
    (service({"name": "a.b"}), None, "handler name 'a.b'"),
    (service({"name": "a-b"}), None, "is not allowed"),
    (service({"name": "a"}, {"name": "a"}), None, "announced twice"),
    (service({"name": "a", "ty": "SHARED"}), None, "leave the handler's type out"),
    (service({"name": "a", "ty": "EXCLUSIVE"}), None, "cannot have"),
    (service({"name": "a", "ty": "WORKFLOW"}, ty="VIRTUAL_OBJECT"), None, "EXCLUSIVE or SHARED"),
    (workflow({"name": "a", "ty": "EXCLUSIVE"}), None, "SHARED or WORKFLOW"),
    (workflow({"name": "a"}, {"name": "b"}), None, "more than one WORKFLOW handler (a, b)"),
    (service({"name": "a", "workflowCompletionRetention": 1}), None, "workflowCompletionRetention"),
    (
        workflow({"name": "a", "ty": "SHARED", "workflowCompletionRetention": 1}),
        None,
        "workflowCompletionRetention",
    ),
    (workflow({"name": "a", "idempotencyRetention": 1}), None, "idempotencyRetention"),
    (
        service({"name": "a", "ingressPrivate": False}, ingressPrivate=True),
        None,
        "marked public, but its service is private",
    ),
    (service({"name": "a", "input": {"contentType": "json"}}), None, "takes the content type"),
    (service({"name": "a", "input": {"contentType": "*/json"}}), None, "takes the content type"),
    (service({"name": "a", "input": {"contentType": "a/b\r\nx: y"}}), None, "takes the content"),
    (service({"name": "a", "output": {"contentType": "text/*\n"}}), None, "gives the content type"),
    (service({"name": "a", "output": {"contentType": ""}}), None, "gives the content type"),
]


@pytest.mark.parametrize(("bad", "code", "words"), RULES)
def test_broken_rule(bad: Json, code: str | None, words: str) -> None:
    with pytest.raises(DiscoveryError) as refused:
        parse(manifest(bad))
    assert (refused.value.code, refused.value.status) == (code, 400)
    assert words in refused.value.message


def test_service_announced_twice() -> None:
    with pytest.raises(DiscoveryError, match="'Shop' is announced twice"):
        parse(manifest(service(), service()))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (service(name=None), "'name' of service 1 is missing"),
        (service(name=5), "must be a string, but is a number"),
        (service(ty="LAMBDA"), "'LAMBDA', not one of SERVICE"),
        (service(ty=None), "'ty' of service 'Shop' is missing"),
        (service(handlers="all"), "must be a list of objects"),
        (service({"name": "a", "ty": "SERVICE"}), "not one of EXCLUSIVE, SHARED, WORKFLOW"),
        (service({"name": "a", "input": []}), "must be an object, but is a list"),
        (service({"name": "a", "input": {"required": 1}}), "must be true or false"),
        (service({"name": "a", "input": {"jsonSchema": "x"}}), "must be an object or a boolean"),
        (service(abortTimeout=-1), "out of range"),
        (service(abortTimeout=2**63), "out of range"),
        (service(abortTimeout=1.5), "must be a whole number"),
        (service(abortTimeout=False), "must be a whole number, but is a boolean"),
        (service(retryPolicyExponentiationFactor=-0.5), "out of range"),
        (service(retryPolicyExponentiationFactor=True), "must be a number, but is a boolean"),
        (service(retryPolicyExponentiationFactor="2"), "must be a number"),
        (service(retryPolicyOnMaxAttempts="DROP"), "not one of PAUSE, KILL"),
        (service(metadata=[]), "must be an object"),
        (service(metadata={"a": 1}), "must be a string, but is a number"),
        (service(enableLazyState="yes"), "must be true or false"),
    ],
)
def test_wrong_shape(bad: Json, words: str) -> None:
    with pytest.raises(DiscoveryError) as refused:
        parse(manifest(bad))
    assert (refused.value.code, refused.value.status) == (None, 500)
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        (b"[]", "a list, not an object"),
        (b"null", "null, not an object"),
        (b'{"a":NaN}', "NaN is not a JSON number"),
        (b'{"a":-Infinity}', "-Infinity is not a JSON number"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a":' * 100_000, "levels deep"),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "levels deep"),
    ],
)
def test_not_a_document(body: bytes, words: str) -> None:
    with pytest.raises(DiscoveryError, match=words) as refused:
        parse_manifest(4, body)
    assert "Check that the address" in refused.value.message


def test_messages_stay_short_whatever_the_names() -> None:
    for bad in (service(name="x" * 10**6 + "/"), service(metadata={"y" * 10**6: 1})):
        with pytest.raises(DiscoveryError) as refused:
            parse(manifest(bad))
        assert len(refused.value.message) < 500


# --- any damage --------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Each place in a document: what holds it, and by which key."""
    found: list[tuple[Any, Any]] = []
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        found.append((value, key))
        if isinstance(item, dict | list):
            found += _spots(item)
    return found


@given(st.data())
def test_damage_is_either_harmless_or_refused(data: st.DataObject) -> None:
    document = json.loads(RECORDED.read_text())["response"]["json"]
    for _ in range(data.draw(st.integers(1, 3))):
        spots = _spots(document)
        if spots:
            holder, key = spots[data.draw(st.integers(0, len(spots) - 1))]
            holder[key] = data.draw(JSON_VALUES)
    # Whatever else it raises is a bug.
    with contextlib.suppress(DiscoveryError):
        read = parse(document)
        for known in read.services:
            assert service_from_json(service_to_json(known)) == known
