"""Routes of Restate's admin API for what steadfaas does not offer: Kafka, limits, virtual queues.

Lists are empty, single things are not found, and who wants to make one is told so in a sentence.
"""

from __future__ import annotations

from aiohttp import web

from steadfaas.errors import BadRequest, NotFound
from steadfaas.servers.admin import AdminRoute, json_body, json_response

_NO_KAFKA = (
    "Kafka is not offered: let a consumer of yours send each record to the ingress, with the"
    " record's topic, partition and offset as its idempotency key."
)
_NO_LIMITS = (
    "limit rules are not offered: bound what runs at the same time with the settings"
    " max_concurrency and max_concurrency_per_deployment."
)


def unoffered_routes() -> list[AdminRoute]:
    """The routes."""
    cluster, subscription = "/kafka-clusters/{cluster_name}", "/subscriptions/{subscription}"
    return [
        AdminRoute("GET", "/kafka-clusters", _list_kafka_clusters),
        AdminRoute("POST", "/kafka-clusters", _no_kafka),
        AdminRoute("GET", cluster, _no_kafka_cluster),
        AdminRoute("PATCH", cluster, _no_kafka_cluster),
        AdminRoute("DELETE", cluster, _no_kafka_cluster),
        AdminRoute("GET", "/subscriptions", _list_subscriptions),
        AdminRoute("POST", "/subscriptions", _no_kafka),
        AdminRoute("GET", subscription, _no_subscription),
        AdminRoute("DELETE", subscription, _no_subscription),
        AdminRoute("PUT", "/limits/rules", _put_rules),
        AdminRoute("POST", "/limits/rules/bulk-delete", _delete_rules),
        AdminRoute("POST", "/vqueues/{vqueue_id}/pause", _no_queue),
        AdminRoute("POST", "/vqueues/{vqueue_id}/resume", _no_queue),
    ]


async def _list_kafka_clusters(_: web.Request) -> web.Response:
    return json_response({"clusters": []})


async def _list_subscriptions(_: web.Request) -> web.Response:
    return json_response({"subscriptions": []})


async def _no_kafka(_: web.Request) -> web.Response:
    raise BadRequest(_NO_KAFKA)


async def _no_kafka_cluster(request: web.Request) -> web.Response:
    name = request.match_info["cluster_name"]
    raise NotFound(f"The requested Kafka cluster '{name}' does not exist; {_NO_KAFKA}")


async def _no_subscription(request: web.Request) -> web.Response:
    name = request.match_info["subscription"]
    raise NotFound(f"The requested subscription '{name}' does not exist; {_NO_KAFKA}")


async def _put_rules(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import Rules, parse_body

    # Taking a rule and not keeping to it would be worse than saying no.
    if parse_body(Rules, await json_body(request)).root:
        raise BadRequest(_NO_LIMITS)
    return json_response([])


async def _delete_rules(request: web.Request) -> web.Response:
    from steadfaas.servers.admin_bodies import RulePatterns, parse_body

    parse_body(RulePatterns, await json_body(request))
    return json_response([])  # the patterns that were removed


async def _no_queue(request: web.Request) -> web.Response:
    name = request.match_info["vqueue_id"]
    raise NotFound(
        f"The virtual queue '{name}' does not exist: virtual queues are not offered; pause single"
        " invocations with PATCH /invocations/ID/pause."
    )
