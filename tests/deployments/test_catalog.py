"""What requests look at: the newest revision, resolved settings, prepared checks."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from steadfaas.deployments.catalog import (
    Catalog,
    Deployment,
    Handler,
    HandlerOptions,
    ServiceRevision,
    build_revision,
    preferred,
)
from steadfaas.deployments.options import MAX_DURATION
from steadfaas.errors import NotFound
from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy
from steadfaas.wire.manifest import ProtocolMode
from tests.deployments.world import Json, read_service, service

DAY = 86_400_000


def deployment(id: str, created_at: int, **served: int) -> Deployment:
    """A deployment that serves these services in these revisions."""
    return Deployment(
        id=id,
        uri=f"http://{id}/",
        headers=(),
        min_version=5,
        max_version=7,
        protocol_mode=ProtocolMode.REQUEST_RESPONSE,
        http_version="HTTP/1.1",
        sdk_version=None,
        created_at=created_at,
        metadata={},
        adapter="plain-http",
        services={
            name: build_revision(
                read_service(service(name, f"v{revision}")),
                revision=revision,
                deployment_id=id,
                defaults=HandlerOptions(),
            )
            for name, revision in served.items()
        },
    )


def one_handler(document: Json, defaults: HandlerOptions | None = None) -> Handler:
    revision = build_revision(
        read_service(document), revision=1, deployment_id="d", defaults=defaults or HandlerOptions()
    )
    return next(iter(revision.handlers.values()))


# --- which revision ----------------------------------------------------------------------------


def test_the_highest_revision_takes_new_requests() -> None:
    catalog = Catalog([deployment("b", 2, Cart=2, Shop=1), deployment("a", 1, Cart=1)])
    revision, handler = catalog.handler("Cart", "v2")
    assert (revision.revision, revision.deployment_id, handler.name) == (2, "b", "v2")
    assert [known.id for known in catalog.deployments()] == ["a", "b"]
    assert [(known.name, known.revision) for known in catalog.services()] == [
        ("Cart", 2),
        ("Shop", 1),
    ]
    assert catalog.active_services("a") == []


def test_a_removal_brings_the_next_newest_back_or_ends_the_service() -> None:
    catalog = Catalog([deployment("a", 1, Cart=1), deployment("b", 2, Cart=2, Shop=1)])
    held = catalog.deployment("b")
    catalog.remove("b")
    latest = catalog.latest("Cart")
    assert latest is not None
    assert latest.revision == 1
    assert catalog.latest("Shop") is None
    assert catalog.deployment("b") is None
    assert held is not None
    assert held.services["Shop"].revision == 1
    catalog.put(deployment("a", 3, Shop=2))
    assert catalog.latest("Cart") is None
    assert [known.name for known in catalog.services()] == ["Shop"]


@pytest.mark.parametrize("seed", range(5))
def test_exchanging_one_deployment_is_the_same_as_beginning_anew(seed: int) -> None:
    rng = random.Random(seed)
    catalog, table = Catalog(), dict[str, Deployment]()
    for revision in range(1, 150):
        id = rng.choice("abcdef")
        if rng.random() < 0.3:
            table.pop(id, None)
            catalog.remove(id)
        else:
            names = rng.sample(["Cart", "Shop", "Till"], rng.randrange(4))
            carried = {"git": rng.choice("xyz"), "team": "web"} if rng.random() < 0.8 else {}
            made = deployment(id, rng.randrange(5), **dict.fromkeys(names, revision))
            table[id] = replace(made, metadata=carried)
            catalog.put(table[id])
        anew = Catalog(table.values())
        assert catalog.deployments() == anew.deployments()
        assert catalog.services() == anew.services()
        for each in "abcdef":
            assert catalog.deployment(each) is anew.deployment(each)
            assert catalog.active_services(each) == anew.active_services(each)
        for name in ("Cart", "Shop", "Till", "None"):
            assert catalog.revisions(name) == anew.revisions(name)
            assert catalog.latest(name) == next(iter(anew.revisions(name)), None)
            for version in ("git:x", "git:y", "git:z", "team:web", "team:"):
                carriers = list(catalog.carriers(name, version))
                assert carriers == list(anew.carriers(name, version))
                assert carriers == [
                    known
                    for known in anew.revisions(name)
                    if version in table[known.deployment_id].versions
                ]
        assert catalog._carriers == anew._carriers, "nothing is left of what has gone"


def test_the_preferred_revision_serves_the_handler() -> None:
    old, new = (
        replace(deployment(id, 1, Cart=number), metadata={"git": "x"})
        for number, id in enumerate("ab", 1)
    )
    catalog = Catalog([old, new])

    def found(handler: str) -> ServiceRevision | None:
        return preferred(catalog.carriers("Cart", "git:x"), handler)

    assert (found("v1"), found("v2")) == (old.services["Cart"], new.services["Cart"])
    assert found("nope") == new.services["Cart"]
    assert preferred(catalog.carriers("Cart", "git:y"), "v1") is None
    assert preferred(catalog.carriers("Shop", "git:x"), "v1") is None


def test_those_who_watch_are_told_of_each_change() -> None:
    catalog = Catalog([deployment("a", 1, Cart=1)])
    told: list[tuple[Deployment | None, int]] = []
    catalog.watch(lambda changed: told.append((changed, len(catalog.deployments()))))
    came = deployment("b", 2, Cart=2)
    catalog.put(came)
    catalog.remove("a")
    assert told == [(came, 2), (None, 1)], "when it is seen already"


def test_whoever_looks_changes_nothing() -> None:
    catalog = Catalog([deployment("a", 1, Cart=1)])
    version = catalog.version
    for seen in (catalog.deployments(), catalog.services(), catalog.active_services("a")):
        seen.clear()
    catalog.revisions("Cart").clear()
    assert len(catalog.deployments()) == len(catalog.active_services("a")) == 1
    assert catalog.version == version
    catalog.put(deployment("a", 1, Cart=2))
    assert catalog.version != version


def test_unknown_names_get_the_sentences_of_the_ingress() -> None:
    catalog = Catalog([deployment("a", 1, Basic=1)])
    with pytest.raises(NotFound) as refused:
        catalog.handler("Nope", "x")
    assert refused.value.message == (
        "service 'Nope' not found, make sure to register the service before calling it."
    )
    with pytest.raises(NotFound) as refused:
        catalog.handler("Basic", "nope")
    assert refused.value.message == (
        "the service 'Basic' exists, but the handler 'nope' was not found, check that the handler"
        " exists in the latest registered service version."
    )


# --- settings ----------------------------------------------------------------------------------


def test_defaults_are_those_of_the_stock_server() -> None:
    assert one_handler(service()).options == HandlerOptions(
        inactivity_timeout=60_000,
        abort_timeout=600_000,
        journal_retention=DAY,
        idempotency_retention=DAY,
        workflow_retention=DAY,
        lazy_state=False,
        retry=RetryPolicy(500, 2.0, 60_000, 70, OnMaxAttempts.PAUSE),
    )


def test_each_setting_is_looked_up_on_its_own() -> None:
    handler = {
        "name": "run",
        "ty": "WORKFLOW",
        "abortTimeout": 1,
        "journalRetention": 0,
        "workflowCompletionRetention": 2,
        "enableLazyState": False,
        "retryPolicyMaxAttempts": 3,
    }
    of_service = {
        "abortTimeout": 10,
        "inactivityTimeout": 20,
        "enableLazyState": True,
        "retryPolicyMaxAttempts": 30,
        "retryPolicyInitialInterval": 40,
        "retryPolicyOnMaxAttempts": "KILL",
    }
    defaults = HandlerOptions(
        idempotency_retention=5,
        retry=RetryPolicy(initial_interval=7, factor=3.0, max_attempts=None),
    )
    options = one_handler(service("F", handler, ty="WORKFLOW", **of_service), defaults).options
    assert options == HandlerOptions(
        inactivity_timeout=20,
        abort_timeout=1,
        journal_retention=0,
        idempotency_retention=5,
        workflow_retention=2,
        lazy_state=False,
        retry=RetryPolicy(40, 3.0, 60_000, 3, OnMaxAttempts.KILL),
    )


@pytest.mark.parametrize(
    ("said", "resolved"),
    [
        ({"retryPolicyMaxAttempts": 0}, RetryPolicy(max_attempts=1)),
        ({"retryPolicyExponentiationFactor": 0}, RetryPolicy(factor=1.0)),
        ({"retryPolicyInitialInterval": 0}, RetryPolicy(initial_interval=10)),
        ({"retryPolicyMaxInterval": 2**63 - 1}, RetryPolicy(max_interval=MAX_DURATION)),
    ],
)
def test_absurd_policies_are_cut(said: Json, resolved: RetryPolicy) -> None:
    assert one_handler(service(**said)).options.retry == resolved


def test_absurd_durations_are_cut_to_what_a_date_can_take() -> None:
    options = one_handler(service(journalRetention=2**63 - 1)).options
    assert options == replace(HandlerOptions(), journal_retention=MAX_DURATION)


@pytest.mark.parametrize(
    ("of_service", "of_handler", "public"),
    [(None, None, True), (True, None, False), (None, True, False), (False, None, True)],
)
def test_public_takes_the_services_word_into_account(
    of_service: bool | None, of_handler: bool | None, public: bool
) -> None:
    handler = {"name": "buy", "ingressPrivate": of_handler}
    assert one_handler(service("S", handler, ingressPrivate=of_service)).public is public


# --- input and output --------------------------------------------------------------------------

JSON = {"contentType": "application/json"}
VALUE = {"contentType": "application/json", "jsonSchema": {"type": "string"}}
NOT_JSON = "Content-type 'text/plain' does not match 'application/json'"
NOTHING = "takes neither body nor content-type, but the request has"


@pytest.mark.parametrize(
    ("rule", "content_type", "has_body", "fault"),
    [
        (JSON, "application/json", True, None),
        (JSON, "Application/JSON; charset=utf-8", True, None),
        (JSON, None, False, None),
        (JSON, None, True, "Empty content-type"),
        (JSON, "text/plain", True, NOT_JSON),
        (JSON, "text/plain", False, NOT_JSON),
        (JSON, "application", True, "Content-type 'application' does not match"),
        (JSON, "application/json", False, None),
        (VALUE, "application/json", False, "the body is empty"),
        (VALUE, None, False, None),
        ({**JSON, "required": True}, None, False, "Empty content-type"),
        ({**VALUE, "required": True}, "application/json", True, None),
        ({"contentType": "text/*"}, "text/html", True, None),
        ({"contentType": "text/*"}, "image/png", True, "does not match 'text/*'"),
        ({"contentType": "*/*"}, "whatever", True, None),
        ({"contentType": "*/*"}, None, True, "Empty content-type"),
        ({}, None, False, None),
        ({"required": True}, None, False, None),
        ({}, None, True, f"{NOTHING} a body and no content-type"),
        ({}, "text/plain", False, f"{NOTHING} content-type 'text/plain'"),
        ({}, "text/plain", True, f"{NOTHING} a body and content-type 'text/plain'"),
        (None, None, False, None),
        (None, "text/plain", True, None),
        (None, None, True, "Empty content-type"),
    ],
)
def test_input_check(
    rule: Json | None, content_type: str | None, has_body: bool, fault: str | None
) -> None:
    handler = one_handler(service("S", {"name": "buy", "input": rule}))
    found = handler.check_input(content_type, has_body)
    if fault is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith("input validation error: ")
        assert fault in found


@pytest.mark.parametrize(
    ("output", "of_bytes", "of_nothing"),
    [
        (None, "application/json", None),
        ({}, None, None),
        ({"contentType": "text/plain"}, "text/plain", None),
        (
            {"contentType": "text/plain", "setContentTypeIfEmpty": True},
            "text/plain",
            "text/plain",
        ),
    ],
)
def test_output_types(output: Any, of_bytes: str | None, of_nothing: str | None) -> None:
    handler = one_handler(service("S", {"name": "buy", "output": output}))
    assert (handler.output_type, handler.empty_output_type) == (of_bytes, of_nothing)
