"""The ingress by status, headers and body: what is asked for, and what is asked for wrongly."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from steadfaas import ids
from tests.runtime.in_process import World, code, eventually, run
from tests.servers.ingress_world import ingress, request, wire

# Over real sockets, in real time.
pytestmark = pytest.mark.e2e

JSON = "Content-Type: application/json"
TEXT = "Content-Type: text/plain"
WAIT = "X-Steadfaas-Version-Wait"
UNKNOWN = ids.format_invocation(bytes(range(24)))
NO_HANDLER = (
    "the service 'Basic' exists, but the handler 'nope' was not found, check that the handler"
    " exists in the latest registered service version."
)
NO_SERVICE = "service 'Nope' not found, make sure to register the service before calling it."
BAD_PATH = "bad path, expected either /:service-name/:handler or /:object-name/:object-key/:handler"
LONE_SURROGATE = b'{"target":"workflow","workflowName":"Flow","workflowKey":"\\ud800"}'
PRIVATE = "the invoked service is not public"


@dataclass(frozen=True)
class Case:
    """A request and its answer. `message` of a refusal is a text or, from `~` on, a pattern."""

    target: str
    status: int
    body: bytes = b""
    headers: tuple[str, ...] = ()
    method: str = "POST"
    message: str | None = None
    answer: bytes | None = None
    type: str | None = None
    source: str = "ingress"
    extra: dict[str, str] = field(default_factory=dict)


GOOD = [
    Case("/Basic/greet", 200, b'"you"', (JSON,), answer=b'"Hello you"', type="application/json"),
    Case("/Basic/greet", 200, b'"you"', ("content-TYPE: Application/JSON; charset=utf-8",)),
    Case("/restate/call/Basic/greet", 200, b'"you"', answer=b'"Hello you"'),
    Case("/Basic/greet/", 200, b'"you"', answer=b'"Hello you"'),
    Case("/Basic/echo", 200, b"\0\xff", (TEXT,), answer=b"\0\xff", type="image/png"),
    Case("/Basic/nothing", 200, answer=b""),
    Case("/Basic/nothing", 200, method="GET", answer=b""),
    Case("/B%61sic/gre%65t", 200, b'"you"', answer=b'"Hello you"'),
    Case("/Counter/k/add", 200, b"5", answer=b"5"),
    Case("/Counter/k/key", 200, method="GET", answer=b'"k"'),
    Case("/Counter/a%2Fb/key", 200, answer=b'"a/b"'),
    Case("/Counter/%C3%B6%F0%9F%A6%8A/key", 200, answer=json.dumps("ö🦊").encode()),
    Case("/Counter/a%20b+c%2Bd%25/key", 200, answer=b'"a b+c+d%"'),
    Case("/Counter/send/key", 200, answer=b'"send"'),
    Case("/Counter/restate/key", 200, answer=b'"restate"'),
    Case("/Counter//key", 200, answer=b'""'),
    Case("/Counter/./key", 200, answer=b'"."'),
    Case("/Counter/../key", 200, answer=b'".."'),
    Case("/Counter/k/key?x=y", 200, answer=b'"k"'),
    Case("/restate/call/Counter/k/key", 200, answer=b'"k"'),
    Case("/restate/health", 200, method="GET", type="application/json",
         answer=b'{"services":["Basic","Counter","Flow","Hidden"]}'),
]  # fmt: skip

BAD = [
    # paths
    Case("/", 400, message="bad path: /"),
    Case("/Basic", 400, message="bad path: /Basic"),
    Case("/openapi", 400, message="bad path: /openapi"),
    Case("/restate", 400, message="bad path: /restate"),
    Case("/restate/openapi", 404, message="not found"),
    Case("/restate/nope/x", 404, message="not found"),
    Case("/Nope/greet", 404, message=NO_SERVICE),
    Case("/Basic/nope", 404, message=NO_HANDLER),
    Case("/basic/greet", 404, message="~service 'basic' not found"),
    Case("/Basic/Greet", 404, message="~the handler 'Greet' was not found"),
    Case("/Basic/k/greet", 400, message=BAD_PATH),
    Case("/Basic/greet/send/send", 400, message=BAD_PATH),
    Case("/Counter/add", 400, message=BAD_PATH),
    Case("/Counter/k/l/add", 400, message=BAD_PATH),
    Case("/restate/send/Basic/greet/send", 400, message=BAD_PATH),
    Case("/restate/call/Basic", 400, message="~bad path"),
    Case("/Counter/%FF/key", 400, message="~UTF-8"),
    Case("/Counter/%C3/key", 400, message="~UTF-8"),
    # who may be called
    Case("/Hidden/secret", 400, message=PRIVATE),
    Case("/Hidden/secret/send", 400, message=PRIVATE),
    # methods
    *(Case("/Basic/greet", 405, b'"you"', (JSON,), method=method, message="~")
      for method in ("PUT", "DELETE", "PATCH")),
    Case(f"/restate/invocation/{UNKNOWN}/output", 405, message="~"),
    Case(f"/restate/invocation/{UNKNOWN}/attach", 405, method="DELETE", message="~"),
    Case("/restate/health", 405, message="~"),
    Case("/restate/awakeables/sign_1x/resolve", 405, method="GET", message="~"),
    # bodies
    Case("/Basic/greet", 400, b'"you"', ("Content-Type: text/plain",),
         message="input validation error: Content-type 'text/plain' does not match"
                 " 'application/json'"),
    Case("/Basic/nothing", 400, b"1", message="~input validation error"),
    Case("/Basic/greet", 500, b'{"broken', source="invocation", message="~"),
    # delays
    Case("/Basic/greet?delay=1s", 400, b'"x"',
         message="cannot use the delay query parameter with calls. The delay is supported only"
                 " with sends"),
    Case("/Basic/greet/send?delay=10", 400, b'"x"', message="~delay"),
    Case("/Basic/greet/send?delay=", 400, b'"x"', message="~delay"),
    Case("/Basic/greet/send?delay=-1s", 400, b'"x"', message="~delay"),
    Case("/Basic/greet/send?delay=P1Y", 400, b'"x"', message="~delay"),
    Case("/Basic/greet/send?delay=%FF", 400, b'"x"', message="~delay"),
    Case("/Basic/greet/send?delay=999999999999999999999d", 400, b'"x"', message="~delay"),
    # idempotency keys
    Case("/Basic/greet", 400, b'"x"', ("Idempotency-Key: ö",),
         message="~bad header idempotency-key"),
    Case("/Basic/greet", 400, b'"x"', ("Idempotency-Key:",), message="~idempotency-key"),
    Case("/Flow/k/run", 400, b'"x"', ("Idempotency-Key: one",),
         message="~cannot use the idempotency key with workflow handlers\\."),
    # versions
    *(Case("/Basic/greet", 400, b'"x"', (f"X-Steadfaas-Version: {text}",),
           message="~bad header x-steadfaas-version: .*, as in 'x-steadfaas-version: git:3f2c91e'")
      for text in ("", "git", ":", "git:", ":3f2c91e", " : ", "gït:1", "git:\t1",
                   "git:" + "1" * 253)),
    *(Case("/Basic/greet", 400, b'"x"', ("X-Steadfaas-Version: git:1", f"{WAIT}: {text}"),
           message="~bad header x-steadfaas-version-wait: ")
      for text in ("", "10", "-1s", "soon")),
    *(Case(target, 504, b'"x"', ("X-Steadfaas-Version: git:1", f"{WAIT}: 0s"), message="~SF0006")
      for target in ("/Basic/greet", "/restate/call/Basic/greet", "/restate/send/Basic/greet",
                     "/Basic/greet/send?delay=0s", "/Basic/nope", "/Nope/k/nope/send")),
    Case("/Basic/k/greet", 400, b'"x"', ("X-Steadfaas-Version: git:1",), message=BAD_PATH),
    # results
    Case(f"/restate/invocation/{UNKNOWN}/output", 404, method="GET",
         message="invocation not found"),
    Case(f"/restate/output/{UNKNOWN}", 404, method="GET", message="invocation not found"),
    Case(f"/restate/invocation/{UNKNOWN}/attach", 404, method="GET", message="not found",
         source="invocation"),
    Case(f"/restate/attach/{UNKNOWN}", 404, method="GET", message="not found",
         source="invocation"),
    Case("/restate/invocation/inv_bad/output", 400, method="GET",
         message="~bad invocation id 'inv_bad'"),
    Case("/restate/output/dp_10000000000000000000000", 400, method="GET",
         message="~bad invocation id"),
    Case(f"/restate/invocation/{UNKNOWN}/nope", 404, method="GET", message="not found"),
    Case("/restate/invocation/Basic/greet/one/output", 404, method="GET",
         message="invocation not found"),
    Case("/restate/invocation/Nope/greet/one/output", 404, method="GET", message=NO_SERVICE),
    Case("/restate/workflow/Flow/k/output", 404, method="GET", message="invocation not found"),
    Case("/restate/workflow/Nope/k/output", 404, method="GET", message=NO_SERVICE),
    Case("/restate/workflow/Flow/k/nope", 404, method="GET", message="not found"),
    Case("/restate/workflow/Flow/%FF/output", 400, method="GET", message="~UTF-8"),
    Case("/restate/invocation/Basic/greet/%FF/output", 400, method="GET", message="~UTF-8"),
    # awakeables
    Case("/restate/awakeables/nope/resolve", 400, message="~bad awakeable id"),
    Case("/restate/awakeables/sign_1AAAA/reject", 400, message="~bad awakeable id"),
    Case(f"/restate/awakeables/{ids.format_awakeable(bytes(24), 1)}/resolve", 400,
         message="~reserved"),
    Case(f"/restate/awakeables/{ids.format_awakeable(bytes(24), 17)}/nope", 404,
         message="not found"),
    # lookups
    Case("/restate/lookup", 400, b"nonsense", message="~bad lookup"),
    Case("/restate/lookup", 400, b"[]", message="~bad lookup"),
    Case("/restate/lookup", 400, b'{"target":"workflow"}', message="~bad lookup"),
    Case("/restate/lookup", 400, LONE_SURROGATE,
         message="~bad lookup"),
]  # fmt: skip


def _named(case: Case) -> str:
    return f"{case.method} {case.target} {case.body[:10]!r} {' '.join(case.headers)}"


async def _ask(here: World, case: Case) -> tuple[int, dict[str, str], bytes]:
    async with wire(here) as line:
        line.send(request(case.target, case.body, *case.headers, method=case.method))
        return await line.answer()


def test_good_requests(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _):
            for case in GOOD:
                status, headers, body = await _ask(here, case)
                about = f"{_named(case)}: {status} {body!r}"
                assert status == case.status, about
                if case.answer is not None:
                    assert body == case.answer, about
                if case.type is not None:
                    assert headers["content-type"] == case.type, about
                if not body:
                    assert "content-type" not in headers, about
                if not case.target.startswith("/restate/health"):
                    assert headers["x-restate-id"].startswith("inv_1"), about
                assert "x-restate-error-source" not in headers
                assert "date" in headers

    run(test())


def test_bad_requests(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            wrong = []
            for case in BAD:
                status, headers, body = await _ask(here, case)
                if not _as_expected(case, status, headers, body):
                    wrong.append(f"{_named(case)}: {status} {body!r}")
            assert not wrong, "\n".join(wrong)
            assert services.runs == 0

    run(test())


def _as_expected(case: Case, status: int, headers: dict[str, str], body: bytes) -> bool:
    answer = json.loads(body)
    wanted = case.message or ""
    if wanted.startswith("~"):
        fits = re.search(wanted[1:], answer["message"]) is not None
    else:
        fits = answer["message"] == wanted
    return (
        fits
        and bool(answer["message"])
        and set(answer) == {"code", "message", "source"}
        and status == answer["code"] == case.status
        and answer["source"] == headers["x-restate-error-source"] == case.source
        and headers["content-type"] == "application/json"
    )


# --- results of handlers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, 400), (404, 404), (409, 409), (499, 499), (500, 500), (599, 599), (600, 500),
        (42, 500), (100, 500), (101, 500), (204, 500), (304, 500), (1000, 500), (65535, 500),
    ],
)  # fmt: skip
def test_terminal_errors_keep_their_code(tmp_path: Path, code: int, status: int) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _):
            reply = await here.post("/Basic/fail", code)
            assert reply.status == status
            assert reply.json() == {
                "code": code,
                "message": "as you wish: ö\r\nx: y",
                "source": "invocation",
            }
            assert reply.headers["x-restate-error-source"] == "invocation"
            assert reply.id.startswith("inv_1")
            assert (await here.post("/Basic/nothing")).status == 200

    run(test())


def test_headers_reach_the_handler_and_only_those(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(
                request(
                    "/Basic/headers?a=b",
                    b"",
                    "X-Mixed-Case: Value: with, all=sorts",
                    "X-Utf8: grün",
                    "Idempotency-Key: one",
                    "Authorization: Bearer x",
                    "User-Agent: me",
                )
            )
            status, _, body = await line.answer()
            assert status == 200
            seen = json.loads(body)
            assert seen == {
                "x-restate-ingress-path": "/Basic/headers?a=b",
                "x-mixed-case": "Value: with, all=sorts",
                "x-utf8": "grün",
                "authorization": "Bearer x",
                "user-agent": "me",
                "content-length": "0",
            }

    run(test())


def test_headers_that_are_no_utf8_reach_the_handler_replaced(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(
                b"POST /Basic/headers HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nX-A: \xff\r\n\r\n"
            )
            status, _, body = await line.answer()
            assert (status, json.loads(body)["x-a"]) == (200, "\ufffd")

    run(test())


# --- sends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/Basic/greet/send", "/restate/send/Basic/greet"])
def test_a_send_is_accepted_and_runs(tmp_path: Path, target: str) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            reply = await here.post(target, "you")
            assert reply.status == 202
            assert reply.headers["content-type"] == "application/json"
            answer = reply.json()
            assert answer == {"invocationId": reply.id, "status": "Accepted"}
            assert await here.result(reply.id) == "Hello you"
            assert services.runs == 1

    run(test())


@pytest.mark.parametrize(
    ("delay", "milliseconds"),
    [
        ("60s", 60_000), ("PT1M", 60_000), ("1s500ms", 1500), ("1s%20500ms", 1500),
        ("0s", 0), ("100000d", 100_000 * 86_400_000),
    ],
)  # fmt: skip
def test_a_delayed_send_says_when(tmp_path: Path, delay: str, milliseconds: int) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(request(f"/Basic/greet/send?delay={delay}", b'"x"'))
            before = time.time() * 1000
            status, _, body = await line.answer()
            answer = json.loads(body)
            assert (status, answer["status"]) == (202, "Accepted"), answer
            text = answer["executionTime"]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", text)
            at = datetime.fromisoformat(text[:23] + "+00:00").timestamp() * 1000
            assert before - 2 <= at - milliseconds <= before + 1000

    run(test())


def test_a_repeated_send_is_told_so(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            headers = {"idempotency-key": "one"}
            replies = [await here.post("/Basic/greet/send", "a", headers=headers) for _ in "ab"]
            first, second = (reply.json() for reply in replies)
            assert first["status"] == "Accepted"
            assert second == {
                "invocationId": first["invocationId"],
                "status": "PreviouslyAccepted",
            }
            result = await here.post("/Basic/greet", "b", headers=headers)
            assert result.json() == "Hello a"
            assert services.runs == 1
            text = (await here.post("/Basic/greet", "b", headers=headers)).headers[
                "idempotency-expires"
            ]
            left = datetime.fromisoformat(text).timestamp() - time.time()
            assert 86_300 < left < 86_500

    run(test())


# --- results asked for later -------------------------------------------------------------------


def test_results_by_every_name(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _):
            headers = {"idempotency-key": "o/n e"}
            plain = await here.post("/Basic/greet", "a", headers=headers)
            keyed = await here.post("/Counter/k%2Fk/add", 3, headers=headers)
            flow = await here.post("/Flow/k/run/send", "me")
            lookups: list[tuple[dict[str, Any], str]] = [
                ({"target": "workflow", "workflowName": "Flow", "workflowKey": "k"},
                 flow.json()["invocationId"]),
                ({"target": "idempotentInvocation", "service": "Basic", "handler": "greet",
                  "idempotencyKey": "o/n e"}, plain.id),
                ({"target": "idempotentInvocation", "service": "Counter", "serviceKey": "k/k",
                  "handler": "add", "idempotencyKey": "o/n e"}, keyed.id),
            ]  # fmt: skip
            for target, id in lookups:
                looked = await here.post("/restate/lookup", target)
                assert looked.json() == {"invocationId": id}
            assert (await here.get("/restate/workflow/Flow/k/output")).status == 470
            await here.call("/Flow/k/keep", "word")
            paths = {
                f"/restate/invocation/{plain.id}": "Hello a",
                "/restate/invocation/Basic/greet/o%2Fn%20e": "Hello a",
                "/restate/invocation/Counter/k%2Fk/add/o%2Fn%20e": 3,
                "/restate/workflow/Flow/k": "word",
            }
            for path, value in paths.items():
                for action in ("attach", "output"):
                    async with wire(here) as line:
                        line.send(request(f"{path}/{action}", method="GET"))
                        status, seen, body = await line.answer()
                        assert (status, json.loads(body)) == (200, value), path
                        assert seen["content-type"] == "application/json"
            for path in (f"/restate/attach/{plain.id}", f"/restate/output/{plain.id}"):
                assert (await here.get(path)).json() == "Hello a"

    run(test())


def test_a_stored_failure_is_told_the_same_way(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _):
            failed = await here.post("/Basic/fail", 418)
            for action in ("attach", "output"):
                again = await here.get(f"/restate/invocation/{failed.id}/{action}")
                assert (again.status, again.body) == (418, failed.body)
                assert again.headers["x-restate-error-source"] == "invocation"

    run(test())


def test_awakeables_are_completed_blindly(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _):
            done = await here.post("/Basic/greet", "a")
            for raw in (bytes(24), ids.parse_invocation(done.id)):
                name = ids.format_awakeable(raw, ids.FIRST_AWAKEABLE_SIGNAL)
                for action in ("resolve", "reject"):
                    for body in (b"", b"\xff\0"):
                        reply = await here.ask(
                            "POST", f"{here.ingress}/restate/awakeables/{name}/{action}", data=body
                        )
                        assert (reply.status, reply.body) == (202, b"")

    run(test())


# --- versions -----------------------------------------------------------------------------------


def test_a_request_for_a_version_over_the_wire(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services), code(services.plain) as other:
            version = "X-Steadfaas-Version: git:3f2c91e"
            sent = await here.post(
                "/restate/send/Basic/greet", "you", {"x-steadfaas-version": "git:3f2c91e"}
            )
            assert sent.status == 202
            async with wire(here) as line, wire(here) as gone, wire(here) as held:
                line.send(request("/Basic/headers", b"", version, method="GET"))
                gone.send(request("/Basic/nothing", b"", version))
                held.send(request("/Basic/unknown", b"", version))
                await eventually(lambda: len(here.engine.held) == 1)
                held.reset()
                await eventually(lambda: len(here.engine.held) == 0)
                gone.reset()
                id = await here.register(other, metadata={"git": "3f2c91e"})
                status, _, body = await line.answer()
                assert status == 200
                assert json.loads(body)["x-steadfaas-version"] == "git:3f2c91e"
            assert await here.result(sent.json()["invocationId"]) == "Hello you"
            view = await here.look(sent.json()["invocationId"])
            assert view["deployment_id"] == id
            # Whoever goes away is not waited for, but what was accepted is done.
            await eventually(lambda: services.runs == 2)
            await here.idle()

    run(test())


# --- browsers ----------------------------------------------------------------------------------


def test_a_preflight_mirrors_what_is_asked(tmp_path: Path) -> None:
    asked = "content-type,idempotency-key,x-steadfaas-version"

    async def test() -> None:
        async with ingress(tmp_path) as (here, services), wire(here) as line:
            line.send(
                request(
                    "/Basic/greet",
                    b"",
                    "Origin: https://shop.example",
                    "Access-Control-Request-Method: POST",
                    f"Access-Control-Request-Headers: {asked}",
                    method="OPTIONS",
                )
            )
            status, headers, body = await line.answer()
            assert (status, body) == (200, b"")
            assert headers["access-control-allow-origin"] == "https://shop.example"
            assert headers["access-control-allow-methods"] == "POST"
            assert headers["access-control-allow-headers"] == asked
            assert headers["access-control-allow-credentials"] == "true"
            assert "origin" in headers["vary"]
            assert services.runs == 0

    run(test())


@pytest.mark.parametrize(("target", "status"), [("/Basic/greet", 200), ("/Basic/nope", 404)])
def test_answers_may_be_read_by_the_asking_origin(tmp_path: Path, target: str, status: int) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(request(target, b'"x"', "Origin: https://shop.example"))
            got, headers, _ = await line.answer()
            assert got == status
            assert headers["access-control-allow-origin"] == "https://shop.example"
            assert headers["access-control-allow-credentials"] == "true"
            assert "origin" in headers["vary"]

    run(test())


def test_a_shutdown_refuses_politely(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path, drain_seconds="1") as (here, services):
            calls = [asyncio.ensure_future(here.post("/Basic/wait")) for _ in range(3)]
            await eventually(lambda: services.runs >= 3)
            stopping = asyncio.ensure_future(here.engine.stop())
            await asyncio.sleep(0.02)
            refused = await here.post("/Basic/nothing")
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            services.gate.set()
            assert [reply.json() for reply in await asyncio.gather(*calls)] == ["waited"] * 3
            await stopping

    run(test())
