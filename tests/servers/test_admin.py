"""The admin API from outside: status, body, headers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import web

from steadfaas.machine.status import Status
from steadfaas.servers.admin import AdminRoute, api_version, json_response
from tests.deployments.world import announce, run, service, serving
from tests.servers.admin_world import DRAINED, UNKNOWN, admin
from tests.support.processes import PythonService

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:greeter"

# --- before anything else ----------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/v2", "/v3", "/v4"])
def test_every_route_under_every_version(prefix: str) -> None:
    async def test() -> None:
        async with admin() as ask:
            version = (await ask("GET", f"{prefix}/version")).body
            assert version.pop("version").startswith("1.7.12+steadfaas.")
            assert version == {
                "min_admin_api_version": 2,
                "max_admin_api_version": 4,
                "ingress_endpoint": "http://127.0.0.1:8080/",
                "features": {},
            }
            health = await ask("GET", f"{prefix}/health")
            assert (health.status, health.raw) == (200, b"")
            assert "content-type" not in health.headers
            assert (await ask("GET", f"{prefix}/cluster-health")).body == {
                "cluster_name": "localcluster",
                "metadata_cluster_health": {"members": [1]},
            }
            shapes: tuple[tuple[str, Any], ...] = (
                ("/kafka-clusters", {"clusters": []}),
                ("/subscriptions", {"subscriptions": []}),
                ("/deployments", {"deployments": []}),
                ("/services", {"services": []}),
            )
            for path, shape in shapes:
                assert (await ask("GET", prefix + path)).body == shape

    run(test())


def test_other_versions_routes_and_methods() -> None:
    async def test() -> None:
        async with admin() as ask:
            old = await ask("GET", "/v1/services")
            assert old.status == 400
            assert old.headers["content-type"].startswith("text/plain")
            assert old.raw.decode() == (
                "Unsupported Admin API version V1. This server supports versions between V2 and V4."
            )
            for method, path, status in (
                ("GET", "/v5/services", 404),
                ("GET", "/nowhere", 404),
                ("PUT", "/services", 405),
            ):
                reply = await ask(method, path)
                assert (reply.status, reply.raw) == (status, b"")

    run(test())


def test_more_routes_see_the_version_they_were_asked_in() -> None:
    async def tell(request: web.Request) -> web.Response:
        return json_response(api_version(request))

    async def test() -> None:
        async with admin(AdminRoute("GET", "/which", tell)) as ask:
            asked = [(await ask("GET", f"{each}/which")).body for each in ("", "/v2", "/v3", "/v4")]
            assert asked == [4, 2, 3, 4]

    run(test())


# --- registering -------------------------------------------------------------------------------


def test_registration_answers_in_the_reference_shape() -> None:
    cart = service(
        "Cart",
        {
            "name": "peek",
            "ty": "SHARED",
            "input": {},
            "output": {"contentType": "application/json", "jsonSchema": {"type": "object"}},
        },
        ty="VIRTUAL_OBJECT",
    )

    async def test() -> None:
        async with admin() as ask, serving(announce(cart)) as one:
            reply = await ask.register(one.uri, additional_headers=None, use_http_11=True)
            assert reply.status == 201
            id = reply.body["id"]
            assert re.fullmatch(r"dp_1[0-9a-zA-Z]{22}", id)
            assert reply.headers["location"] == f"deployments/{id}"
            shown = {
                "name": "Cart",
                "ty": "VirtualObject",
                "handlers": [
                    {
                        "name": "peek",
                        "ty": "Shared",
                        "public": True,
                        "input_description": "none",
                        "output_description": "JSON object",
                        "output_json_schema": {"type": "object"},
                        "retry_policy": {"max_attempts": None},
                    }
                ],
                "deployment_id": id,
                "revision": 1,
                "public": True,
                "idempotency_retention": "1d",
                "journal_retention": "1d",
                "inactivity_timeout": "0s",
                "abort_timeout": "10m",
                "enable_lazy_state": False,
                "retry_policy": {
                    "initial_interval": "500ms",
                    "exponentiation_factor": 2.0,
                    "max_attempts": 70,
                    "max_interval": "1m",
                    "on_max_attempts": "Pause",
                },
            }
            assert reply.body == {
                "id": id,
                "services": [shown],
                "min_protocol_version": 5,
                "max_protocol_version": 7,
                "sdk_version": "scripted/1.0",
                "uri": one.uri,
                "evidence": "asserted",
            }
            deployment = {
                "id": id,
                "uri": one.uri,
                "protocol_type": "RequestResponse",
                "http_version": "HTTP/1.1",
                "adapter": "plain-http",
                "evidence": "asserted",
                "created_at": "2026-09-21T14:13:20.669000000Z",
                "min_protocol_version": 5,
                "max_protocol_version": 7,
                "sdk_version": "scripted/1.0",
                "drain": {**DRAINED, "state": "active", "active_services": ["Cart"]},
            }
            assert (await ask("GET", "/deployments")).body == {
                "deployments": [{**deployment, "services": [{"name": "Cart", "revision": 1}]}]
            }
            detail = (await ask("GET", f"/v4/deployments/{id}")).body
            assert detail == {**deployment, "services": [shown]}
            assert (await ask("GET", "/services")).body == {"services": [shown]}
            assert (await ask("GET", "/v3/services/Cart")).body == shown
            handlers = shown["handlers"]
            assert (await ask("GET", "/services/Cart/handlers")).body == {"handlers": handlers}
            assert (await ask("GET", "/services/Cart/handlers/peek")).body == handlers[0]

    run(test())


def test_what_handlers_and_services_set_themselves_is_shown() -> None:
    handler = {
        "name": "run",
        "ty": "WORKFLOW",
        "documentation": "d",
        "metadata": {"a": "b"},
        "abortTimeout": 185_000,
        "journalRetention": 0,
        "workflowCompletionRetention": 7_200_000,
        "enableLazyState": False,
        "ingressPrivate": True,
        "input": {"contentType": "text/*"},
        "output": {"contentType": "text/plain", "setContentTypeIfEmpty": True},
        "retryPolicyInitialInterval": 100,
        "retryPolicyMaxAttempts": 3,
        "retryPolicyOnMaxAttempts": "KILL",
    }
    flow = service("Flow", handler, ty="WORKFLOW", inactivityTimeout=1_000, documentation="s")

    async def test() -> None:
        async with admin() as ask, serving(announce(flow, protocolMode="BIDI_STREAM")) as one:
            made = (
                await ask.register(one.uri, additional_headers={"X-Key": "v"}, metadata={"c": "d"})
            ).body
            shown = made["services"][0]
            assert (shown["documentation"], shown["public"]) == ("s", True)
            # Streaming endpoints do have an inactivity timeout.
            assert shown["inactivity_timeout"] == "1s"
            assert shown["workflow_completion_retention"] == "2h"
            assert shown["handlers"] == [
                {
                    "name": "run",
                    "ty": "Workflow",
                    "public": False,
                    "documentation": "d",
                    "metadata": {"a": "b"},
                    "input_description": "text/*",
                    "output_description": "optional text/plain",
                    "journal_retention": "0s",
                    "abort_timeout": "3m 5s",
                    "enable_lazy_state": False,
                    "retry_policy": {
                        "initial_interval": "100ms",
                        "max_attempts": 3,
                        "on_max_attempts": "Kill",
                    },
                }
            ]
            listed = (await ask("GET", "/deployments")).body["deployments"][0]
            assert listed["additional_headers"] == {"x-key": "v"}
            assert listed["metadata"] == {"c": "d"}
            assert listed["protocol_type"] == "BidiStream"

    run(test())


def test_status_of_a_registration_by_version() -> None:
    async def test() -> None:
        async with admin() as ask, serving(announce(service())) as one:
            assert (await ask.register(one.uri, dry_run=True)).status == 201
            assert (await ask("GET", "/deployments")).body == {"deployments": []}
            first = await ask.register(one.uri, prefix="/v3")
            assert first.status == 201
            for prefix in ("", "/v3", "/v4"):
                again = await ask.register(one.uri, prefix=prefix)
                assert (again.status, again.body) == (200, first.body)
            assert (await ask.register(one.uri, force=True, dry_run=True)).status == 200
            forced = await ask.register(one.uri, force=True)
            assert forced.status == 200
            assert forced.body["id"] == first.body["id"]
            assert forced.body["services"][0]["revision"] == 2
            assert (await ask.register(one.uri, prefix="/v2")).status == 201
            assert (await ask("GET", "/services/Shop")).body["revision"] == 3
            conflict = await ask.register(one.uri, prefix="/v2", force=False)
            assert conflict.status == 409
            assert "already exists" in conflict.body["message"]

    run(test())


def test_a_broken_promise_is_refused_or_reported() -> None:
    async def test() -> None:
        async with (
            admin() as ask,
            serving(announce(service("A", "buy", "sell"))) as one,
            serving(announce(service("A", "buy"))) as two,
        ):
            await ask.register(one.uri)
            refused = await ask.register(two.uri)
            assert refused.status == 409
            assert refused.body["restate_code"] == "META0006"
            assert refused.body["message"].startswith("[META0006] detected a new service revision")
            done = await ask.register(two.uri, breaking=True)
            assert done.status == 201
            [info] = done.body["info"]
            assert info["code"] == "META0006"
            assert "'sell'" in info["message"]

    run(test())


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "'uri' is missing"),
        ({"uri": None}, 422, "'uri' is missing"),
        ({"uri": 5}, 422, "'uri' is invalid"),
        ({"uri": "localhost:9080"}, 400, "is not absolute"),
        ({"uri": "http://u:p@127.0.0.1/"}, 400, "password"),
        ({"arn": "arn:aws:lambda:eu-central-1:1:function:f:1"}, 400, "is not a Lambda target"),
        ({"arn": f"{FUNCTION}:live"}, 400, f"Write 'lambda:{FUNCTION}@live'"),
        ({"arn": FUNCTION}, 400, "names no version"),
        ({"arn": f"{FUNCTION}:$LATEST"}, 400, "is the code that the next deploy overwrites"),
        ({"target": "lambda:a b"}, 400, "'target' is invalid. Reason: 'lambda:a b' is not"),
        ({"uri": "http://127.0.0.1:1/", "assume_role_arn": "me"}, 400, "not the ARN of a role"),
        ({"uri": "http://127.0.0.1:1/", "force": "yes"}, 422, "'force' is invalid"),
        ({"uri": "http://127.0.0.1:1/", "breaking": 1}, 422, "'breaking' is invalid"),
        ({"uri": "http://127.0.0.1:1/", "metadata": {"a": 1}}, 422, "'metadata.a' is invalid"),
        ({"uri": "http://127.0.0.1:1/", "additional_headers": {"a b": ""}}, 400, "'a b'"),
        ({"uri": "http://127.0.0.1:1/", "auth": {"GoogleIdToken": {}}}, 422, "'auth' is invalid"),
        ({"uri": "http://127.0.0.1:1/", "adapter": "acme"}, 422, "no adapter 'acme'"),
        ([], 422, "must be a JSON object"),
        ("http://127.0.0.1:1/", 422, "must be a JSON object"),
    ],
)
def test_a_bad_registration(body: Any, status: int, words: str) -> None:
    async def test() -> None:
        async with admin() as ask:
            reply = await ask("POST", "/deployments", json=body)
            assert reply.status == status
            assert reply.body["restate_code"] is None
            assert words in reply.body["message"]

    run(test())


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"a":' * 50_000, "application/json", 400),
        (b'{"uri":"http://127.0.0.1/","metadata":{"a":"\\ud800"}}', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "application/json; charset=utf-8", 422),
        (b" " * (1024 * 1024 + 1), "application/json", 413),
    ],
)
def test_a_body_that_is_none(data: bytes, content_type: str, status: int) -> None:
    async def test() -> None:
        async with admin() as ask:
            headers = {"content-type": content_type}
            reply = await ask("POST", "/deployments", data=data, headers=headers)
            assert reply.status == status
            assert reply.body["message"]

    run(test())


def test_an_endpoint_that_does_not_answer() -> None:
    async def test() -> None:
        async with admin() as ask:
            async with serving(announce()) as one:
                uri = one.uri
            reply = await ask.register(uri)
            assert reply.status == 500
            assert reply.body["restate_code"] == "META0003"
            assert reply.body["message"].startswith("[META0003] error when calling")

    run(test())


# --- reading and removing ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/deployments/dp_nope", 400, "with value `dp_nope`: unrecognized codec version"),
        ("GET", f"/deployments/{UNKNOWN}", 404, f"deployment '{UNKNOWN}' does not exist"),
        ("DELETE", "/deployments/inv_1?force=true", 400, "Cannot parse `deployment`"),
        ("DELETE", f"/deployments/{UNKNOWN}?force=true", 404, "not found in the schema registry"),
        ("DELETE", f"/deployments/{UNKNOWN}?force=bogus", 400, "'force' is invalid"),
        ("GET", "/services/Nope", 404, "service 'Nope' does not exist"),
        ("GET", "/services/Nope/handlers", 404, "service 'Nope' does not exist"),
        ("GET", "/services/Shop/handlers/nope", 404, "handler 'nope' on service 'Shop'"),
    ],
)
def test_what_does_not_exist(method: str, path: str, status: int, words: str) -> None:
    async def test() -> None:
        async with admin() as ask, serving(announce(service())) as one:
            await ask.register(one.uri)
            reply = await ask(method, path)
            assert (reply.status, reply.body["restate_code"]) == (status, None)
            assert words in reply.body["message"]

    run(test())


def test_a_deployment_shows_its_own_revision_and_goes_when_drained() -> None:
    async def test() -> None:
        async with (
            admin() as ask,
            serving(announce(service())) as one,
            serving(announce(service("Shop", "buy", "sell"))) as two,
        ):
            old = (await ask.register(one.uri)).body["id"]
            new = (await ask.register(two.uri)).body["id"]
            of_old = (await ask("GET", f"/deployments/{old}")).body["services"][0]
            assert (of_old["deployment_id"], of_old["revision"]) == (old, 1)
            assert (await ask("GET", "/services/Shop")).body["deployment_id"] == new
            ask.world.writer.add_invocation("Shop", Status.SUSPENDED, old)
            for id, words in ((new, "takes the new requests"), (old, "1 suspended")):
                refused = await ask("DELETE", f"/deployments/{id}?force=false")
                assert refused.status == 409
                assert words in refused.body["message"]
            forced = await ask("DELETE", f"/deployments/{old}?force=true")
            assert (forced.status, forced.raw) == (202, b"")
            assert (await ask("GET", f"/deployments/{old}")).status == 404

    run(test())


# --- a real SDK --------------------------------------------------------------------------------


@pytest.mark.e2e
def test_an_endpoint_of_the_official_sdk(python_service: PythonService) -> None:
    async def test() -> None:
        async with admin() as ask:
            reply = await ask.register(f"http://127.0.0.1:{python_service.port}")
            assert reply.status == 201
            assert reply.body["sdk_version"].startswith("restate-sdk-python/")
            assert reply.body["max_protocol_version"] >= 6
            types = {each["name"]: each["ty"] for each in reply.body["services"]}
            assert {"Service", "VirtualObject", "Workflow"} <= set(types.values())
            assert ask.world.restarted().deployments() == ask.world.catalog.deployments()

    run(test())
