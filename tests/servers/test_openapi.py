"""The published description of the admin API: complete, valid, and what is really answered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from steadfaas.servers.admin import AdminRoute, json_response
from steadfaas.servers.admin_app import admin_routes
from steadfaas.servers.admin_operations import OPERATIONS, operation
from steadfaas.servers.openapi import admin_openapi
from tests.deployments.world import run as run_bare
from tests.runtime.in_process import World, run
from tests.servers.admin_world import UNKNOWN, admin
from tests.servers.ingress_world import Services, ingress

Json = dict[str, Any]
SVC = "/services/Counter"


# --- the document ------------------------------------------------------------------------------


def test_every_route_is_described() -> None:
    for route in admin_routes():
        assert operation(route.method, route.path) is not None, f"{route.method} {route.path}"


def test_names_of_operations_are_told_apart() -> None:
    names = [each.id for each in OPERATIONS]
    assert len(set(names)) == len(names)


def test_a_route_that_is_not_described_is_noticed() -> None:
    async def test() -> None:
        async def nothing(_: Any) -> Any:
            return json_response({})

        async with admin(AdminRoute("GET", "/secret", nothing)) as ask:
            assert (await ask("GET", "/secret")).status == 200
            assert (await ask("GET", "/openapi")).status == 500

    run_bare(test())


def test_only_routes_that_there_are_are_published() -> None:
    made = json.loads(admin_openapi((("GET", "/version"), ("POST", "/deployments")), "1"))
    assert list(made["paths"]) == ["/version", "/deployments"]
    assert [each["name"] for each in made["tags"]] == ["server", "deployment"]
    assert "Invocation" not in made["components"]["schemas"]
    validate(made)


def test_names_of_restate_s_api_are_kept() -> None:
    of_restate = {
        *("cluster_health", "list_deployments", "create_deployment", "get_deployment"),
        *("delete_deployment", "update_deployment", "health", "delete_invocation"),
        *("cancel_invocation", "kill_invocation", "pause_invocation", "purge_invocation"),
        *("purge_journal", "restart_as_new_invocation", "resume_invocation"),
        *("list_kafka_clusters", "create_kafka_cluster", "get_kafka_cluster"),
        *("delete_kafka_cluster", "update_kafka_cluster", "upsert_rules", "bulk_delete_rules"),
        *("query", "list_services", "get_service", "modify_service", "list_service_handlers"),
        *("get_service_handler", "get_service_openapi", "modify_service_state"),
        *("list_subscriptions", "create_subscription", "get_subscription"),
        *("delete_subscription", "version", "pause_vqueue", "resume_vqueue"),
    }
    ours = {each.id for each in OPERATIONS if each.ours}
    rest = {each.id for each in OPERATIONS if not each.ours}
    assert not ours & of_restate
    assert rest - of_restate == {"get_openapi", "replace_deployment"}
    assert of_restate <= rest


def test_checks_of_requests_are_published() -> None:
    routes = (("PATCH", "/services/{service}"), ("GET", "/services/{service}/state"))
    made = json.loads(admin_openapi(routes, "1"))
    change = made["components"]["schemas"]["RetryPolicyChange"]["properties"]
    assert change["max_attempts"]["anyOf"][0] == {"type": "integer", "minimum": 1}
    assert change["initial_interval"]["anyOf"][0]["type"] == "string"
    [_, key, limit] = made["paths"]["/services/{service}/state"]["get"]["parameters"]
    assert (key["name"], key["in"], key["schema"]) == ("key", "query", {"type": "string"})
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100}


# --- real answers ------------------------------------------------------------------------------


@dataclass
class Description:
    """The published document, and which answers of it were seen."""

    document: Json
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        # Here a field that is not described is a mistake, though clients must expect more of them.
        for schema in self.document["components"]["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)

    def check(self, id: str, status: int, body: bytes) -> None:
        """Compare an answer with what is published of this operation. Raises AssertionError."""
        answers = self._operation(id)["responses"]
        assert str(status) in answers, f"{id} answered {status}: {body!r}"
        content = answers[str(status)].get("content")
        if content is None:
            assert body == b"", f"{id} {status}"
        else:
            schema = content["application/json"]["schema"]
            whole = {**schema, "components": self.document["components"]}
            errors = list(Draft202012Validator(whole).iter_errors(json.loads(body)))
            assert not errors, f"{id} {status}: {errors[0].message} at {errors[0].json_path}"
        if status < 300 or not any(int(each) < 300 for each in answers):
            self.seen.add(id)

    def unseen(self) -> set[str]:
        """The operations of which no success was seen (for those that have one)."""
        return {each["operationId"] for each in self._operations()} - self.seen

    def _operation(self, id: str) -> Json:
        return next(each for each in self._operations() if each["operationId"] == id)

    def _operations(self) -> list[Json]:
        return [each for path in self.document["paths"].values() for each in path.values()]


class Asker:
    """Asks a running engine, and compares each answer."""

    def __init__(self, here: World, described: Description) -> None:
        self._here = here
        self.described = described

    async def __call__(
        self, id: str, method: str, path: str, body: Any = None, *, status: int = 200
    ) -> Any:
        options: Json = {}
        if body is not None:
            options["data"] = json.dumps(body)
            options["headers"] = {"content-type": "application/json", "accept": "application/json"}
        reply = await self._here.ask(method, self._here.admin + path, **options)
        assert reply.status == status, f"{method} {path}: {reply.status} {reply.body!r}"
        self.described.check(id, status, reply.body)
        return json.loads(reply.body) if reply.body else None


async def ask_about_the_server(ask: Asker) -> None:
    await ask("welcome", "GET", "/")
    await ask("version", "GET", "/version")
    await ask("health", "GET", "/health")
    await ask("cluster_health", "GET", "/cluster-health")
    await ask("get_openapi", "GET", "/openapi")
    await ask("query", "POST", "/query", {"query": "SELECT id, status FROM sys_invocation"})
    await ask("query", "POST", "/query", {"query": 7}, status=422)


async def ask_about_deployments(ask: Asker) -> None:
    [known] = (await ask("list_deployments", "GET", "/deployments"))["deployments"]
    one = f"/deployments/{known['id']}"
    await ask("create_deployment", "POST", "/deployments", {"uri": known["uri"]})
    await ask("create_deployment", "POST", "/deployments", {}, status=422)
    await ask("get_deployment", "GET", one)
    await ask("get_deployment", "GET", f"/deployments/{UNKNOWN}", status=404)
    headers = {"additional_headers": {"x-key": "v"}}
    changed = await ask("update_deployment", "PATCH", one, headers)
    assert changed["changes"]
    await ask("replace_deployment", "PUT", one, {}, status=405)
    await ask("replace_deployment", "PUT", f"/v2{one}", {})
    await ask("promote_deployment", "POST", f"{one}/promote")
    await ask("delete_deployment", "DELETE", one, status=409)


async def ask_about_retirement(ask: Asker) -> None:
    [known] = (await ask("list_deployments", "GET", "/deployments"))["deployments"]
    path = f"/deployments/{known['id']}/retirement"
    begin, removed = {"step": "begin"}, {"step": "artifact-removed", "evidence": {"a": [1]}}
    await ask("retire_deployment", "POST", path, begin, status=409)
    await ask("retire_deployment", "POST", path, {}, status=422)
    await ask("call_off_retirement", "DELETE", f"/deployments/{UNKNOWN}/retirement", status=404)
    # An endpoint of another name takes over, so that this one may go.
    newer = {"uri": known["uri"], "additional_headers": {"host": "other"}}
    await ask("create_deployment", "POST", "/deployments", newer, status=201)
    await ask("retire_deployment", "POST", path, begin)
    await ask("call_off_retirement", "DELETE", path)
    await ask("retire_deployment", "POST", path, begin)
    await ask("retire_deployment", "POST", path, removed)
    await ask("call_off_retirement", "DELETE", path, status=409)
    await ask("get_deployment", "GET", f"/deployments/{known['id']}")
    await ask("list_deployments", "GET", "/deployments")
    await ask("delete_deployment", "DELETE", f"/deployments/{known['id']}", status=202)
    await ask("list_audit", "GET", "/audit?limit=2")
    await ask("list_audit", "GET", "/audit?limit=0", status=400)


async def ask_about_services(ask: Asker) -> None:
    await ask("list_services", "GET", "/services")
    await ask("get_service", "GET", SVC)
    await ask("get_service", "GET", "/services/Nope", status=404)
    await ask("modify_service", "PATCH", SVC, {"journal_retention": "2d"})
    await ask("list_service_handlers", "GET", f"{SVC}/handlers")
    await ask("get_service_handler", "GET", f"{SVC}/handlers/add")
    await ask("get_service_openapi", "GET", f"{SVC}/openapi")
    change = {"object_key": "k", "new_state": {"n": "1", "raw": [255]}}
    await ask("modify_service_state", "POST", f"{SVC}/state", change, status=202)
    await ask("get_service_state", "GET", f"{SVC}/state")
    await ask("get_service_state", "GET", f"{SVC}/state?key=k")
    await ask("get_service_status", "GET", "/services/Basic/status")
    await ask("get_service_callers", "GET", "/services/Basic/callers")


async def ask_about_invocations(ask: Asker, here: World, services: Services) -> None:
    asleep = await here.send("/Basic/sleep", 3_600_000)
    paused = await here.send("/Basic/sleep", 3_600_000)
    failed = await here.send("/Basic/fail", 409)
    await here.until(failed, "completed")
    await here.until(asleep, "suspended")
    await here.until(paused, "suspended")
    waits = await here.send("/Basic/greet", "you", delay="1h")
    await ask("list_invocations", "GET", "/invocations?limit=2")
    await ask("list_invocations", "GET", "/invocations?status=completed,paused&status=suspended")
    await ask("list_invocations", "GET", "/invocations?status=lost", status=400)
    for id in (asleep, failed, waits):
        await ask("describe_invocation", "GET", f"/invocations/{id}")
        await ask("get_journal", "GET", f"/invocations/{id}/journal")
    await ask("describe_invocation", "GET", "/invocations/inv_nope", status=400)
    await ask("check_invocation", "POST", f"/invocations/{asleep}/check")
    await ask("pause_invocation", "PATCH", f"/invocations/{paused}/pause")
    await ask("describe_invocation", "GET", f"/invocations/{paused}")
    await ask("resume_invocation", "PATCH", f"/invocations/{paused}/resume")
    await ask("cancel_invocation", "PATCH", f"/invocations/{waits}/cancel")
    await ask("cancel_invocation", "PATCH", f"/invocations/{asleep}/cancel", status=202)
    await ask("kill_invocation", "PATCH", f"/invocations/{paused}/kill")
    await ask("kill_invocation", "PATCH", f"/invocations/{paused}/kill", status=409)
    restart = f"/invocations/{failed}/restart-as-new"
    again = await ask("restart_as_new_invocation", "PATCH", restart)
    new = again["new_invocation_id"]
    await here.until(new, "completed")
    await ask("describe_invocation", "GET", f"/invocations/{new}")
    await ask("purge_journal", "PATCH", f"/invocations/{new}/purge-journal")
    await ask("purge_invocation", "PATCH", f"/invocations/{new}/purge")
    await ask("delete_invocation", "DELETE", f"/invocations/{failed}?mode=Purge", status=202)
    order = {"operation": "cancel", "filter": {"service": "Basic"}, "ids": [failed, paused]}
    await ask("batch_invocations", "POST", "/invocations/batch", {**order, "dry_run": True})
    await ask("batch_invocations", "POST", "/invocations/batch", order)
    await ask("batch_invocations", "POST", "/invocations/batch", {}, status=422)


async def ask_for_what_is_not_offered(ask: Asker) -> None:
    cluster, feed = "/kafka-clusters/c", "/subscriptions/s"
    await ask("list_kafka_clusters", "GET", "/kafka-clusters")
    await ask("create_kafka_cluster", "POST", "/kafka-clusters", {}, status=400)
    await ask("get_kafka_cluster", "GET", cluster, status=404)
    await ask("update_kafka_cluster", "PATCH", cluster, {}, status=404)
    await ask("delete_kafka_cluster", "DELETE", cluster, status=404)
    await ask("list_subscriptions", "GET", "/subscriptions")
    await ask("create_subscription", "POST", "/subscriptions", {}, status=400)
    await ask("get_subscription", "GET", feed, status=404)
    await ask("delete_subscription", "DELETE", feed, status=404)
    await ask("upsert_rules", "PUT", "/limits/rules", [])
    await ask("bulk_delete_rules", "POST", "/limits/rules/bulk-delete", [])
    await ask("pause_vqueue", "POST", "/vqueues/q/pause", status=404)
    await ask("resume_vqueue", "POST", "/vqueues/q/resume", status=404)


def test_every_operation_answers_as_it_is_described(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            reply = await here.ask("GET", f"{here.admin}/openapi")
            assert reply.status == 200, reply.body
            document = reply.json()
            validate(document)
            described = Description(document)
            ask = Asker(here, described)
            published = {each["operationId"] for each in described._operations()}
            assert published == {each.id for each in OPERATIONS}
            await ask_about_the_server(ask)
            await ask_about_invocations(ask, here, services)
            await ask_about_services(ask)
            await ask_about_deployments(ask)
            await ask_about_retirement(ask)
            await ask_for_what_is_not_offered(ask)
            [known] = (await ask("list_deployments", "GET", "/deployments"))["deployments"]
            gone = f"/deployments/{known['id']}?force=true"
            await ask("delete_deployment", "DELETE", gone, status=202)
            assert described.unseen() == set()

    run(test(), seconds=30)


@pytest.mark.parametrize(
    "body", [b'{"message":"m"}', b'{"message":"m","restate_code":null,"more":1}', b"[]"]
)
def test_an_answer_that_is_not_described_is_noticed(body: bytes) -> None:
    described = Description(json.loads(admin_openapi((("GET", "/services/{s}"),), "1")))
    described.check("get_service", 404, b'{"message":"m","restate_code":null}')
    with pytest.raises(AssertionError, match="get_service 404"):
        described.check("get_service", 404, body)
    assert described.unseen() == {"get_service"}
