"""The difference of a service, from what the admin API shows of two versions of it.

Both versions are announced by the official SDK and looked at by a real registry: the one is
registered, the other one is tried by a dry run, as `plan` does.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import restate
from pydantic import BaseModel

from steadfaas.rollout.interface import (
    HandlerChange,
    ServiceDifference,
    difference,
    lines,
    to_json,
)
from steadfaas.rollout.schemas import Effect, Finding
from tests.deployments.world import announce, run, serving
from tests.rollout.announced import manifest_of, service_of
from tests.servers.admin_world import admin

Json = dict[str, Any]


class Order(BaseModel):
    name: str


class Priority(BaseModel):
    name: str
    urgent: bool
    note: str | None = None


def compared(before: Any | None, after: Any) -> ServiceDifference:
    """The difference between two services of the SDK (None: nothing is registered)."""
    found: list[ServiceDifference] = []

    async def ask() -> None:
        async with admin() as api:
            old = None
            if before is not None:
                async with serving(announce(*manifest_of(before)["services"])) as one:
                    assert (await api.register(one.uri)).status == 201
                old = (await api("GET", f"/services/{before.name}")).body
            async with serving(announce(*manifest_of(after)["services"])) as two:
                tried = await api.register(two.uri, dry_run=True, breaking=True)
            assert tried.status == 201
            (new,) = tried.body["services"]
            found.append(difference(old, new))

    run(ask())
    return found[0]


async def look(ctx: Any) -> None: ...


def keyed(kind: Any) -> restate.VirtualObject:
    cart = restate.VirtualObject("Cart")
    cart.handler("look", kind=kind)(look)
    return cart


def plain() -> restate.Service:
    cart = restate.Service("Cart")
    cart.handler("look")(look)
    return cart


def private(service: restate.Service) -> restate.Service:
    for handler in service.handlers.values():
        handler.ingress_private = True
    return service


BUY = service_of(buy=(Order, int))

# before, after, what is told of it, whether the engine refuses it
TABLE: dict[str, tuple[Any, Any, list[str], bool]] = {
    "the same": (BUY, service_of(buy=(Order, int)), [], False),
    "a new service": (
        None,
        service_of(sell=(int, int), buy=(int, int)),
        ["+ service Shop (Service)", "+ handler buy", "+ handler sell"],
        False,
    ),
    "a handler more": (
        BUY,
        service_of(buy=(Order, int), wave=(Any, Any)),
        ["+ handler wave"],
        False,
    ),
    "a handler renamed": (
        BUY,
        service_of(purchase=(Order, int)),
        ["+ handler purchase", "- handler buy (breaking)"],
        True,
    ),
    "what it takes and gives": (
        BUY,
        service_of(buy=(Priority, float)),
        [
            "~ buy input $.urgent: is new and required (breaking)",
            "~ buy input $.note: is new and optional (other values of that name were let through"
            " before, taken to be unused) (narrowed)",
            "~ buy output $: may have fractions now (breaking)",
        ],
        False,
    ),
    "a schema where none was": (
        service_of(buy=(Any, Any)),
        BUY,
        [
            "~ buy input $: must be an object now, was anything (breaking)",
            "~ buy output $: must be an integer now, was anything (narrowed)",
        ],
        False,
    ),
    "a type": (
        keyed("exclusive"),
        plain(),
        ["~ type is Service now, was VirtualObject (breaking)"],
        True,
    ),
    "the kind of a handler": (
        keyed("exclusive"),
        keyed("shared"),
        ["~ look kind: is Shared now, was Exclusive (unknown)"],
        False,
    ),
    "private": (
        BUY,
        private(service_of(buy=(Order, int))),
        ["~ buy ingress: is private now (breaking)"],
        False,
    ),
    "public": (
        private(service_of(buy=(Order, int))),
        BUY,
        ["~ buy ingress: is public now (widened)"],
        False,
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_is_told(case: str) -> None:
    before, after, told, refused = TABLE[case]
    found = compared(before, after)
    assert lines(found) == told
    assert found.breaking is refused
    assert found.is_empty is (not told)
    assert found.is_new is (before is None)
    assert found.before_revision == (None if before is None else 1)


# --- without schemas ---------------------------------------------------------------------------


def shown(**handler: Any) -> Json:
    return {
        "name": "Shop",
        "ty": "Service",
        "revision": 3,
        "handlers": [{"name": "buy", "public": True, **handler}],
    }


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            {"input_description": "none"},
            {"input_description": "application/json"},
            ["~ buy input $: is application/json now, was none (unknown)"],
        ),
        (
            {"input_description": "none"},
            {"input_description": "JSON string", "input_json_schema": {"type": "string"}},
            ["~ buy input $: is JSON string now, was none (unknown)"],
        ),
        (
            {"output_description": "JSON string", "output_json_schema": {"type": "string"}},
            {"output_description": "none"},
            ["~ buy output $: is none now, was JSON string (unknown)"],
        ),
        (
            {"output_description": "JSON string", "output_json_schema": {"type": "string"}},
            {"output_description": "application/json"},
            ["~ buy output $: may be anything now (breaking)"],
        ),
        (
            {"input_description": "JSON 'Old'", "input_json_schema": {"title": "Old"}},
            {"input_description": "JSON 'New'", "input_json_schema": {"title": "New"}},
            [],
        ),
        ({"input_description": "none"}, {}, ["~ buy input $: is not told now, was none (unknown)"]),
    ],
)
def test_what_is_told_without_schemas_on_both_sides(
    before: Json, after: Json, told: list[str]
) -> None:
    assert lines(difference(shown(**before), shown(**after))) == told


# --- for programs ------------------------------------------------------------------------------


def test_the_difference_for_programs() -> None:
    found = ServiceDifference(
        "Shop",
        "VirtualObject",
        before_revision=3,
        added=("wave",),
        removed=("sell",),
        type_change=("Service", "VirtualObject"),
        changed=(
            HandlerChange(
                "buy",
                kind=("Exclusive", "Shared"),
                public=False,
                input=(Finding("$.name", "is required now", Effect.BREAKING),),
            ),
        ),
    )
    told = to_json(found)
    assert json.loads(json.dumps(told)) == told
    assert told == {
        "service": "Shop",
        "type": "VirtualObject",
        "before_revision": 3,
        "added": ["wave"],
        "removed": ["sell"],
        "type_change": {"before": "Service", "after": "VirtualObject"},
        "changed": [
            {
                "handler": "buy",
                "kind": {"before": "Exclusive", "after": "Shared"},
                "public": False,
                "input": [{"path": "$.name", "message": "is required now", "effect": "breaking"}],
                "output": [],
            }
        ],
        "new": False,
        "breaking": True,
    }
    assert to_json(ServiceDifference("Shop", "Service")) == {
        "service": "Shop",
        "type": "Service",
        "new": True,
        "breaking": False,
        "before_revision": None,
        "added": [],
        "removed": [],
        "type_change": None,
        "changed": [],
    }


def test_advice_and_refusal_are_kept_apart() -> None:
    found = compared(BUY, service_of(buy=(Priority, int)))
    assert not found.breaking
    assert found.has(Effect.BREAKING)
    assert found.has(Effect.NARROWED)
    assert not found.has(Effect.UNKNOWN)
    (change,) = found.changed
    assert not change.is_empty
    assert HandlerChange("buy").is_empty
