"""The admin API about services: settings, and how to call them."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.deployments.world import announce, run, service, serving
from tests.servers.admin_world import admin

Json = dict[str, Any]


# --- settings ----------------------------------------------------------------------------------


def test_settings_are_changed_and_survive_a_restart() -> None:
    async def test() -> None:
        async with admin() as ask, serving(announce(service("Flow", ty="WORKFLOW"))) as one:
            before = (await ask.register(one.uri)).body["services"][0]
            nothing = dict.fromkeys(
                (
                    *("public", "idempotency_retention", "workflow_completion_retention"),
                    *("journal_retention", "inactivity_timeout", "abort_timeout"),
                )
            )
            same: list[Json] = [{}, nothing, {"retry_policy": None}, {"retry_policy": {}}]
            for body in (*same, {"new": 1}):
                unchanged = await ask("PATCH", "/services/Flow", json=body)
                assert (unchanged.status, unchanged.body) == (200, before)
            changed = await ask(
                "PATCH",
                "/v4/services/Flow",
                json={
                    "public": False,
                    "idempotency_retention": "3m 5s",
                    "workflow_completion_retention": "PT2H",
                    "journal_retention": "0s",
                    "abort_timeout": "1day",
                    "retry_policy": {
                        "initial_interval": "100ms",
                        "exponentiation_factor": 1.5,
                        "max_attempts": 3,
                        "on_max_attempts": "Kill",
                    },
                },
            )
            expected = {
                **before,
                "public": False,
                "idempotency_retention": "3m 5s",
                "workflow_completion_retention": "2h",
                "journal_retention": "0s",
                "abort_timeout": "1d",
                "retry_policy": {
                    "initial_interval": "100ms",
                    "exponentiation_factor": 1.5,
                    "max_attempts": 3,
                    "max_interval": "1m",
                    "on_max_attempts": "Kill",
                },
                "handlers": [{**before["handlers"][0], "public": False}],
            }
            assert (changed.status, changed.body) == (200, expected)
            assert (await ask("GET", "/services/Flow")).body == expected
            again = ask.world.restarted().latest("Flow")
            assert again == ask.world.catalog.latest("Flow")

    run(test())


def test_who_changed_which_settings_is_told_by_the_deployment() -> None:
    async def test() -> None:
        async with admin() as ask, serving(announce(service())) as one:
            path = f"/deployments/{(await ask.register(one.uri)).body['id']}"
            me = {"x-steadfaas-actor": "ada@desk"}
            body = {"public": False, "abort_timeout": "90s", "retry_policy": {"max_attempts": 3}}
            for _ in range(2):  # the second time nothing is changed by it
                await ask("PATCH", "/services/Shop", json=body, headers=me)
            [change] = (await ask("GET", path)).body["changes"]
            assert change.pop("at")
            assert change == {
                "by": "ada@desk",
                "what": "settings changed",
                "detail": "Shop: public false, abort_timeout 1m 30s, retry_policy",
            }
            [again] = ask.world.restarted().deployments()
            assert [each.by for each in again.changes] == ["ada@desk"]

    run(test())


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("Nope", {}, 404, "service 'Nope' does not exist"),
        ("Shop", {"public": "false"}, 422, "'public' is invalid"),
        ("Shop", {"abort_timeout": 60}, 422, "'abort_timeout' is invalid. Reason: a duration is"),
        ("Shop", {"abort_timeout": "60"}, 422, "'60' has no unit"),
        ("Shop", {"abort_timeout": "soon"}, 422, "'abort_timeout' is invalid"),
        ("Shop", {"journal_retention": True}, 422, "'journal_retention' is invalid"),
        ("Shop", {"retry_policy": {"max_attempts": 0}}, 422, "'retry_policy.max_attempts'"),
        ("Shop", {"retry_policy": {"exponentiation_factor": 0.5}}, 422, "exponentiation_factor"),
        ("Shop", {"retry_policy": {"on_max_attempts": "Explode"}}, 422, "on_max_attempts"),
        ("Shop", {"retry_policy": 7}, 422, "'retry_policy' is invalid"),
        (
            "Shop",
            {"public": False, "workflow_completion_retention": "1d"},
            400,
            "modifying retention time for service type Service is unsupported",
        ),
        ("Shop", [], 422, 'must be a JSON object such as {"public": false}'),
    ],
)
def test_bad_settings_change_nothing(name: str, body: Any, status: int, words: str) -> None:
    async def test() -> None:
        async with admin() as ask, serving(announce(service())) as one:
            before = (await ask.register(one.uri)).body["services"]
            reply = await ask("PATCH", f"/services/{name}", json=body)
            assert reply.status == status
            assert reply.body["restate_code"] is None
            assert words in reply.body["message"]
            assert (await ask("GET", "/services")).body["services"] == before

    run(test())


# --- how to call a service ---------------------------------------------------------------------

NODE = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/Node"}},
    "$defs": {"Node": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
}
ODD = {
    "properties": {"$ref": {"type": "string"}, "default": {"$ref": "#"}},
    "default": {"$ref": "#/not/a/reference"},
    "allOf": [{"$ref": "https://example.com/other"}],
}


async def document(*announced: Json, name: str, odd: bool = False) -> Json:
    """The OpenAPI document of a service; it is a valid one (what is `odd` no validator stands)."""
    async with admin() as ask, serving(announce(*announced)) as one:
        await ask.register(one.uri)
        reply = await ask("GET", f"/services/{name}/openapi")
        assert reply.status == 200
        made: Json = reply.body
        if not odd:
            validate(made)
        return made


def names(operation: Json) -> list[str]:
    return [parameter["name"] for parameter in operation["parameters"]]


def test_a_plain_service() -> None:
    handler = {
        "name": "greet",
        "documentation": "Says hello.",
        "input": {"required": True, "contentType": "application/json", "jsonSchema": NODE},
        "output": {"contentType": "application/json", "jsonSchema": {"type": "string"}},
    }
    quiet = {"name": "ping", "input": {}, "output": {}}
    hidden = {"name": "hidden", "ingressPrivate": True}
    made = run(document(service("Greeter", handler, quiet, hidden, "any"), name="Greeter"))
    assert made["openapi"] == "3.1.0"
    assert made["info"] == {"title": "Greeter", "version": "1"}
    assert made["servers"] == [{"url": "http://127.0.0.1:8080"}]
    handlers = ("any", "greet", "ping")
    assert list(made["paths"]) == [
        f"/Greeter/{each}{end}" for each in handlers for end in ("", "/send")
    ]
    call = made["paths"]["/Greeter/greet"]["post"]
    assert (call["operationId"], call["description"]) == ("call_greet", "Says hello.")
    assert names(call) == ["idempotency-key", "x-steadfaas-version"]
    assert call["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/greetInput"}}},
    }
    result = call["responses"]["200"]["content"]["application/json"]["schema"]
    assert result == {"$ref": "#/components/schemas/greetOutput"}
    assert made["components"]["schemas"]["greetOutput"] == {"type": "string"}
    send = made["paths"]["/Greeter/greet/send"]["post"]
    assert names(send) == ["idempotency-key", "x-steadfaas-version", "delay"]
    assert list(send["responses"]) == ["202", "4XX", "5XX"]
    ping = made["paths"]["/Greeter/ping"]["post"]
    assert "requestBody" not in ping
    assert "content" not in ping["responses"]["200"]
    anything = made["paths"]["/Greeter/any"]["post"]
    assert anything["requestBody"] == {"content": {"*/*": {}}, "required": False}


def test_schemas_keep_their_references() -> None:
    own = {"$id": "urn:own", **NODE}
    handlers = [
        {"name": name, "input": {"contentType": "application/json", "jsonSchema": schema}}
        for name, schema in (("walk", NODE), ("own", own))
    ]
    made = run(document(service("Tree", *handlers), name="Tree"))
    # With an identity of its own, references would be looked for outside this document.
    for name in ("walk", "own"):
        place = f"#/components/schemas/{name}Input"
        assert made["components"]["schemas"][f"{name}Input"] == {
            "type": "object",
            "properties": {"next": {"$ref": f"{place}/$defs/Node"}},
            "$defs": {"Node": {"anyOf": [{"$ref": place}, {"type": "null"}]}},
        }


def test_only_references_are_taken_for_references() -> None:
    handler = {"name": "h", "output": {"contentType": "application/json", "jsonSchema": ODD}}
    made = run(document(service("Odd", handler), name="Odd", odd=True))
    properties = {"$ref": {"type": "string"}, "default": {"$ref": "#/components/schemas/hOutput"}}
    assert made["components"]["schemas"]["hOutput"] == {**ODD, "properties": properties}


def test_a_virtual_object_has_its_key_in_the_path() -> None:
    cart = service("Cart", {"name": "add"}, {"name": "peek", "ty": "SHARED"}, ty="VIRTUAL_OBJECT")
    made = run(document(cart, name="Cart"))
    assert next(iter(made["paths"])) == "/Cart/{key}/add"
    for path, operations in made["paths"].items():
        more = ["delay"] if path.endswith("/send") else []
        assert names(operations["post"]) == [
            "key", "idempotency-key", "x-steadfaas-version", *more
        ]  # fmt: skip


def test_a_workflow_has_its_result_as_well() -> None:
    run_handler = {"name": "run", "output": {"contentType": "text/plain"}}
    flow = service("Flow", run_handler, {"name": "ask", "ty": "SHARED"}, ty="WORKFLOW")
    made = run(document(flow, name="Flow"))
    # The key of a workflow is its idempotency key.
    assert names(made["paths"]["/Flow/{key}/run"]["post"]) == ["key", "x-steadfaas-version"]
    assert names(made["paths"]["/Flow/{key}/ask"]["post"])[:2] == ["key", "idempotency-key"]
    for name in ("attach", "output"):
        result = made["paths"][f"/restate/workflow/Flow/{{key}}/{name}"]["get"]
        assert result["responses"]["200"]["content"] == {"text/plain": {}}
        assert ("470" in result["responses"]) == (name == "output")


def test_a_private_service_has_no_paths() -> None:
    made = run(document(service("Inner", "a", ingressPrivate=True), name="Inner"))
    assert made["paths"] == {}
