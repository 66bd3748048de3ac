"""What steadfaas does not offer: lists are empty, and who wants to make one is told so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployments.world import run
from tests.servers.admin_world import admin


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/kafka-clusters", {"name": "c", "properties": {}}, 400, "Kafka is not offered"),
        ("GET", "/kafka-clusters/c", None, 404, "Kafka cluster 'c' does not exist"),
        ("PATCH", "/kafka-clusters/c", {}, 404, "Kafka cluster 'c' does not exist"),
        ("DELETE", "/kafka-clusters/c", None, 404, "Kafka cluster 'c' does not exist"),
        ("POST", "/subscriptions", {"source": "a", "sink": "b"}, 400, "Kafka is not offered"),
        ("GET", "/subscriptions/s", None, 404, "subscription 's' does not exist"),
        ("DELETE", "/subscriptions/s", None, 404, "subscription 's' does not exist"),
        ("PUT", "/limits/rules", [{"pattern": "*"}], 400, "limit rules are not offered"),
        ("PUT", "/limits/rules", {}, 422, "must be a JSON array such as []"),
        ("POST", "/limits/rules/bulk-delete", [{}], 422, "'0.pattern' is invalid"),
        ("POST", "/vqueues/q/pause", None, 404, "virtual queues are not offered"),
        ("POST", "/vqueues/q/resume", None, 404, "virtual queues are not offered"),
    ],
)
def test_a_sentence_says_so(method: str, path: str, body: Any, status: int, words: str) -> None:
    async def test() -> None:
        async with admin() as ask:
            options = {} if body is None else {"json": body}
            reply = await ask(method, path, **options)
            assert (reply.status, reply.body["restate_code"]) == (status, None)
            assert words in reply.body["message"]

    run(test())


def test_nothing_to_do_is_done() -> None:
    async def test() -> None:
        async with admin() as ask:
            assert (await ask("PUT", "/v4/limits/rules", json=[])).body == []
            patterns = [{"pattern": "*", "expected_version": 1}]
            gone = await ask("POST", "/limits/rules/bulk-delete", json=patterns)
            assert (gone.status, gone.body) == (200, [])

    run(test())


def test_the_root_names_the_product_and_where_to_go() -> None:
    async def test() -> None:
        async with admin() as ask:
            welcome = (await ask("GET", "/")).body
            assert welcome["product"] == "steadfaas"
            for link in welcome["links"].values():
                assert (await ask("GET", link)).status == 200

    run(test())
