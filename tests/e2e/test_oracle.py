"""The ingress beside the real restate-server: same handlers, same requests, same answers.

Each case is a conversation that both servers hold with the same SDK processes behind them. What we
answer differently on purpose is in `DIFFERENCES`, and nowhere else; an entry that has become
untrue fails. `STEADFAAS_ORACLE_ENGINE=restate` puts the real server on both sides, as a check of
the table itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.support import npm
from tests.support.client import Reply
from tests.support.oracle import Case, Observed, Step, explain, play
from tests.support.processes import (
    EngineServer,
    NodeService,
    PythonService,
    RestateServer,
    SteadfaasServer,
)

pytestmark = pytest.mark.e2e

BOTH_REAL = os.environ.get("STEADFAAS_ORACLE_ENGINE") == "restate"

JSON = {"content-type": "application/json"}
BYTES = {"content-type": "application/octet-stream"}
TEXT = {"content-type": "text/plain"}

# Well-formed identifiers of nothing.
NO_INVOCATION = "inv_10T5Thwsbi8d5pG3SV7MxGQ1nGGV23lwFb"
NO_AWAKEABLE = "sign_1my7YO_KXxCuOwZNvfol_GfZ2vtNSyxBPAAAAEQ"


@dataclass(frozen=True, slots=True)
class Difference:
    """An intended difference: why, and how the last answer of the case differs.

    Without a `status` only the wording of `message` differs. Otherwise it is what we answer, and
    the rest of the answer is not compared.
    """

    reason: str
    status: int | None = None


# Everywhere: the real server makes up an idempotency key for each request without one, and then
# tells when that key expires. We do not; the header is compared where a request has a key.
MADE_UP_KEY_HEADERS = frozenset({"idempotency-expires"})

WORDING = Difference("the same refusal in a sentence of ours: it says what to do instead")

DIFFERENCES: dict[str, Difference] = {
    "input: content type in capitals": Difference(
        "media types do not depend on case (RFC 9110, section 8.3.1)", status=200
    ),
    "idempotency: key with a slash": Difference(
        "the key in the path is decoded, so that any key can be asked for", status=200
    ),
    "idempotency: empty": Difference(
        "an empty key protects nothing, and is most likely a mistake", status=400
    ),
    "failure: 200 is no failure": Difference(
        "a failure must not look like a success to those who only look at the status", status=500
    ),
    "lookup: malformed body": Difference(
        "bad input is a 400 with a sentence, not a 500 with a stack trace", status=400
    ),
    **dict.fromkeys(
        (
            "call: PUT",
            "call: DELETE",
            "input: empty body with content type",
            "input: body where none is allowed",
            "input: content type where no body is allowed",
            "path: restate call only",
            "path: health by POST",
            "key: not UTF-8",
            "send: PUT",
            "send: body where none is allowed",
            "send: delay is a bare number",
            "send: delay is nonsense",
            "send: delay is empty",
            "send: delay is negative",
            "idempotency: unknown handler",
            "idempotency: on a workflow",
            "idempotency: on a workflow send",
            "idempotency: not ASCII",
            "attach: no prefix",
            "attach: other kind of id",
            "attach: id of the wrong length",
            "workflow: unknown workflow",
            "awakeable: malformed, reject",
            "awakeable: of another kind",
            "awakeable: GET",
            "awakeable: no operation",
            "attach: no operation",
        ),
        WORDING,
    ),
}


def post(path: str, body: bytes | str = b"", **headers: str) -> Step:
    """A POST of JSON text, or without body and content type when there is none."""
    raw = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Step("POST", path, raw or None, {**(JSON if raw else {}), **named})


def get(path: str) -> Step:
    """A GET without body."""
    return Step("GET", path)


def keeping(step: Step, name: str) -> Step:
    """The step, its answer kept under a name."""
    return replace(step, keep=name)


def _has_body(reply: Reply) -> bool:
    return reply.status == 200 and bool(reply.body)


def _knows_the_address(reply: Reply) -> bool:
    return b'"a@b"' in reply.body


def _is_done(reply: Reply) -> bool:
    return reply.status != 470


def until_body(step: Step) -> Step:
    """Repeat until there is something to read."""
    return replace(step, until=_has_body)


def _is_known(reply: Reply) -> bool:
    return reply.status != 404


def until_known(step: Step) -> Step:
    """Repeat until the invocation is there: a handler learns the id of what it sent before that."""
    return replace(step, until=_is_known)


def until_done(step: Step) -> Step:
    """Repeat until the invocation has completed."""
    return replace(step, until=_is_done)


def case(name: str, *steps: Step) -> Case:
    """A named conversation."""
    return Case(name, steps)


CALLS = [
    case("call", post("/Basic/greet", '"Ada"')),
    case("call: GET without body", get("/Basic/greet")),
    case("call: no input, no output", post("/Basic/nothing")),
    case("call: GET, no input", get("/Basic/nothing")),
    case("call: explicit route", post("/restate/call/Basic/greet", '"Ada"')),
    case("call: explicit route to an object", post("/restate/call/Counter/explicit/add", "2")),
    case("call: query string is ignored", post("/Basic/greet?a=b", '"Ada"')),
    case("call: trailing slash", post("/Basic/greet/", '"Ada"')),
    case("call: doubled slash", post("//Basic/greet", '"Ada"')),
    case("call: PUT", Step("PUT", "/Basic/greet", b'"Ada"', JSON)),
    case("call: DELETE", Step("DELETE", "/Basic/greet")),
    case("call: three steps", post("/Basic/threeSteps", '"x"')),
    case("call: sleep", post("/Basic/sleepy")),
    case("call: retried until it works", post("/Basic/failTimes", "2")),
    case("call: handler calls handler", post("/Basic/callOther", '"x"')),
    case("call: headers reach the handler", post("/Basic/headers", x_mine="1", X_Upper="Two")),
    case("call: 3 MB", Step("POST", "/Basic/bigEcho", b"steadfast" * 333_333, BYTES)),
]

INPUT = [
    case("input: bad JSON", post("/Basic/greet", '"Ada')),
    case("input: empty body", post("/Basic/greet")),
    case("input: empty body with content type", Step("POST", "/Basic/greet", b"", JSON)),
    case("input: no content type", Step("POST", "/Basic/greet", b'"Ada"')),
    case("input: other content type", Step("POST", "/Basic/greet", b'"Ada"', TEXT)),
    case(
        "input: content type with parameter",
        post("/Basic/greet", '"Ada"', content_type="application/json; charset=utf-8"),
    ),
    case(
        "input: content type in capitals",
        post("/Basic/greet", '"Ada"', content_type="APPLICATION/JSON"),
    ),
    case("input: content type that is none", post("/Basic/greet", '"Ada"', content_type="json")),
    case("input: body where none is allowed", post("/Basic/nothing", '"Ada"')),
    case("input: content type where no body is allowed", Step("POST", "/Basic/nothing", b"", JSON)),
    case("input: any type", Step("POST", "/Basic/echo", b"text", TEXT)),
    case("input: any type, empty", post("/Basic/echo")),
    case("input: any type, no content type", Step("POST", "/Basic/echo", b"text")),
    case("input: bytes handler, JSON sent", post("/Basic/bigEcho", '"Ada"')),
    case("input: bytes handler, empty", post("/Basic/bigEcho")),
]

PATHS = [
    case("path: unknown service", post("/Nope/greet", '"x"')),
    case("path: unknown handler", post("/Basic/nope", '"x"')),
    case("path: unknown object handler", post("/Counter/k/nope", "1")),
    case("path: unknown service with key", post("/Nope/k/greet", '"x"')),
    case("path: unknown service, send", post("/Nope/greet/send", '"x"')),
    case("path: unknown handler, send", post("/Basic/nope/send", '"x"')),
    case("path: wrong case", post("/basic/greet", '"x"')),
    case("path: object without key", post("/Counter/add", "1")),
    case("path: service with key", post("/Basic/k/greet", '"x"')),
    case("path: too long", post("/Basic/greet/send/more", '"x"')),
    case("path: object, too long", post("/Counter/k/add/more", "1")),
    case("path: service only", post("/Basic", '"x"')),
    case("path: object and key only", post("/Counter/k", "1")),
    case("path: root", get("/")),
    case("path: empty key", post("/Counter//add", "1")),
    case("path: private service", post("/Hidden/secret", '"x"')),
    case("path: private service, send", post("/Hidden/secret/send", '"x"')),
    case("path: openapi", get("/openapi")),
    case("path: restate only", get("/restate")),
    case("path: restate unknown", get("/restate/nope")),
    case("path: restate openapi", get("/restate/openapi")),
    case("path: restate call only", post("/restate/call", '"x"')),
    case("path: restate call to nothing", post("/restate/call/Nope/greet", '"x"')),
    case("path: health", get("/restate/health")),
    case("path: health by POST", post("/restate/health")),
    case("path: health and more", get("/restate/health/more")),
    case(
        "path: preflight",
        Step(
            "OPTIONS",
            "/Basic/greet",
            headers={"origin": "http://a.example", "access-control-request-method": "POST"},
        ),
    ),
]

KEYS = [
    case(
        "key: slash",
        post("/Counter/a%2Fb/add", "3"),
        get("/Counter/a%2Fb/get"),
        get("/Counter/a%2fb/get"),
    ),
    case("key: space", post("/Counter/a%20b/add", "3"), get("/Counter/a%20b/get")),
    case("key: plus is plus", post("/Counter/c+d/add", "3"), get("/Counter/c%2Bd/get")),
    case("key: unicode", post("/Counter/%C3%A9/add", "3"), get("/Counter/%C3%A9/get")),
    case("key: percent", post("/Counter/50%25/add", "3"), get("/Counter/50%25/get")),
    case("key: stray percent", post("/Counter/60%/add", "3")),
    case("key: not UTF-8", post("/Counter/%FF/add", "3")),
]

STATE = [
    case(
        "state: add, get, clear",
        post("/Counter/state/add", "2"),
        post("/Counter/state/add", "3"),
        get("/Counter/state/get"),
        post("/Counter/state/clear"),
        get("/Counter/state/get"),
    ),
    case(
        "state: lazy",
        post("/LazyCounter/state/add", "2"),
        post("/LazyCounter/state/add", "3"),
        get("/LazyCounter/state/get"),
        get("/LazyCounter/state/keys"),
        post("/LazyCounter/state/clear"),
        get("/LazyCounter/state/keys"),
    ),
]

FAILURES = [
    case("failure: 409", post("/Basic/terminal", '{"code":409,"message":"no"}')),
    case("failure: 404", post("/Basic/terminal", '{"code":404,"message":"gone"}')),
    case("failure: 599", post("/Basic/terminal", '{"code":599,"message":"odd"}')),
    case("failure: 42 is no status", post("/Basic/terminal", '{"code":42,"message":"odd"}')),
    case("failure: 1000 is no status", post("/Basic/terminal", '{"code":1000,"message":"odd"}')),
    case("failure: 200 is no failure", post("/Basic/terminal", '{"code":200,"message":"odd"}')),
    case("failure: unicode", post("/Basic/terminal", '{"code":500,"message":"caf\\u00e9"}')),
    case("failure: empty message", post("/Basic/terminal", '{"code":500,"message":""}')),
    case("failure: passed on", post("/Basic/callTerminal", '{"code":418,"message":"tea"}')),
    case(
        "failure: kept",
        keeping(post("/Basic/terminal/send", '{"code":418,"message":"tea"}'), "id"),
        until_done(get("/restate/invocation/{id}/output")),
        get("/restate/invocation/{id}/attach"),
    ),
]

SENDS = [
    case(
        "send",
        keeping(post("/Basic/greet/send", '"x"'), "id"),
        get("/restate/invocation/{id}/attach"),
    ),
    case(
        "send: explicit route",
        keeping(post("/restate/send/Basic/greet", '"x"'), "id"),
        get("/restate/invocation/{id}/attach"),
    ),
    case("send: GET", get("/Basic/nothing/send")),
    case("send: PUT", Step("PUT", "/Basic/greet/send", b'"x"', JSON)),
    case("send: other content type", Step("POST", "/Basic/greet/send", b'"x"', TEXT)),
    case("send: body where none is allowed", post("/Basic/nothing/send", '"x"')),
    case(
        "send: delayed",
        keeping(post("/Basic/greet/send?delay=600ms", '"x"'), "id"),
        get("/restate/invocation/{id}/output"),
        get("/restate/invocation/{id}/attach"),
    ),
    case("send: delay in ISO form", post("/Basic/greet/send?delay=PT0.1S", '"x"')),
    case("send: delay of two parts", post("/Basic/greet/send?delay=1s500ms", '"x"')),
    case("send: delay of zero", post("/Basic/greet/send?delay=0s", '"x"')),
    case("send: delay is a bare number", post("/Basic/greet/send?delay=10", '"x"')),
    case("send: delay is nonsense", post("/Basic/greet/send?delay=soon", '"x"')),
    case("send: delay is empty", post("/Basic/greet/send?delay=", '"x"')),
    case("send: delay is negative", post("/Basic/greet/send?delay=-1s", '"x"')),
    case("send: other query is ignored", post("/Basic/greet/send?dealy=10s", '"x"')),
    case("send: delay on a call", post("/Basic/greet?delay=1s", '"x"')),
    case(
        "send: from a handler",
        keeping(post("/Basic/sendOther", '"sent"'), "id"),
        until_known(get("/restate/invocation/{id}/attach")),
        get("/Counter/sent/get"),
    ),
    case(
        "send: later, from a handler",
        keeping(post("/Basic/delayedSend", '{"key":"later","value":4,"delay_ms":600}'), "id"),
        until_known(get("/restate/invocation/{id}/output")),
        get("/restate/invocation/{id}/attach"),
        get("/Counter/later/get"),
    ),
]

IDEMPOTENCY = [
    case(
        "idempotency: call twice",
        post("/Counter/ik-call/add", "1", idempotency_key="k1"),
        post("/Counter/ik-call/add", "5", idempotency_key="k1"),
        get("/Counter/ik-call/get"),
    ),
    case(
        "idempotency: send twice",
        keeping(post("/Counter/ik-send/add/send", "1", idempotency_key="k2"), "id"),
        get("/restate/invocation/{id}/attach"),
        post("/Counter/ik-send/add/send", "5", idempotency_key="k2"),
        get("/Counter/ik-send/get"),
    ),
    case(
        "idempotency: send, then call while it runs",
        post("/Basic/sleepFor/send", "600", idempotency_key="k3"),
        post("/Basic/sleepFor", "1", idempotency_key="k3"),
        post("/Basic/sleepFor/send", "1", idempotency_key="k3"),
    ),
    case(
        "idempotency: call, then delayed send",
        post("/Basic/greet", '"a"', idempotency_key="k4"),
        post("/Basic/greet/send?delay=1s", '"b"', idempotency_key="k4"),
    ),
    case(
        "idempotency: another handler is another request",
        post("/Basic/greet", '"a"', idempotency_key="k5"),
        post("/Basic/callOther", '"a"', idempotency_key="k5"),
    ),
    case(
        "idempotency: another object key is another request",
        post("/Counter/ik-a/add", "1", idempotency_key="k6"),
        post("/Counter/ik-b/add", "2", idempotency_key="k6"),
    ),
    case(
        "idempotency: failure is kept",
        post("/Basic/terminal", '{"code":409,"message":"no"}', idempotency_key="k7"),
        post("/Basic/terminal", '{"code":410,"message":"yes"}', idempotency_key="k7"),
    ),
    case(
        "idempotency: attach and output by key",
        post("/Basic/greet", '"a"', idempotency_key="k8"),
        get("/restate/invocation/Basic/greet/k8/output"),
        get("/restate/invocation/Basic/greet/k8/attach"),
    ),
    case(
        "idempotency: attach and output by object key",
        post("/Counter/ik-c/add", "1", idempotency_key="k9"),
        get("/restate/invocation/Counter/ik-c/add/k9/output"),
        get("/restate/invocation/Counter/ik-c/add/k9/attach"),
    ),
    case(
        "idempotency: output by key while it runs",
        post("/Basic/sleepFor/send", "600", idempotency_key="k10"),
        get("/restate/invocation/Basic/sleepFor/k10/output"),
        get("/restate/invocation/Basic/sleepFor/k10/attach"),
    ),
    case(
        "idempotency: key with a slash",
        post("/Basic/greet", '"a"', idempotency_key="k/11"),
        get("/restate/invocation/Basic/greet/k%2F11/output"),
    ),
    case("idempotency: unknown key", get("/restate/invocation/Basic/greet/none/output")),
    case("idempotency: attach to unknown key", get("/restate/invocation/Basic/greet/none/attach")),
    case("idempotency: unknown service", get("/restate/invocation/Nope/greet/k/output")),
    case("idempotency: unknown handler", get("/restate/invocation/Basic/nope/k/output")),
    case("idempotency: on a workflow", post("/Signup/ik/run", '"a"', idempotency_key="k12")),
    case(
        "idempotency: on a workflow send", post("/Signup/ik/run/send", '"a"', idempotency_key="k")
    ),
    case("idempotency: not ASCII", post("/Basic/greet", '"a"', idempotency_key="k\u00e9")),
    case("idempotency: empty", post("/Basic/greet", '"a"', idempotency_key="")),
]

ATTACH = [
    case(
        "attach: output, then attach, while it runs",
        keeping(post("/Basic/sleepFor/send", "600"), "id"),
        get("/restate/invocation/{id}/output"),
        get("/restate/invocation/{id}/attach"),
        get("/restate/invocation/{id}/output"),
    ),
    case(
        "attach: short routes",
        keeping(post("/Basic/greet/send", '"x"'), "id"),
        get("/restate/attach/{id}"),
        get("/restate/output/{id}"),
    ),
    case(
        "attach: by POST",
        keeping(post("/Basic/greet/send", '"x"'), "id"),
        post("/restate/invocation/{id}/attach"),
        post("/restate/invocation/{id}/output"),
    ),
    case("attach: unknown", get(f"/restate/invocation/{NO_INVOCATION}/attach")),
    case("attach: output of unknown", get(f"/restate/invocation/{NO_INVOCATION}/output")),
    case("attach: malformed", get("/restate/invocation/inv_bad/attach")),
    case("attach: output of malformed", get("/restate/invocation/inv_bad/output")),
    case("attach: no prefix", get("/restate/invocation/bad/attach")),
    case("attach: short route, malformed", get("/restate/attach/inv_bad")),
    case("attach: other kind of id", get(f"/restate/invocation/{NO_AWAKEABLE}/output")),
    case("attach: id of the wrong length", get(f"/restate/invocation/{NO_INVOCATION}0/output")),
    case("attach: unknown operation", get(f"/restate/invocation/{NO_INVOCATION}/nope")),
    case("attach: no operation", get(f"/restate/invocation/{NO_INVOCATION}")),
    case(
        "attach: in a handler",
        keeping(post("/Basic/greet/send", '"x"'), "id"),
        post("/Basic/attach", '"{id}"'),
    ),
    case("attach: in a handler, unknown", post("/Basic/attach", f'"{NO_INVOCATION}"')),
]

WORKFLOWS = [
    case(
        "workflow: send, promise, attach",
        post("/Signup/w1/run/send", '"a@b"'),
        get("/restate/workflow/Signup/w1/output"),
        replace(get("/Signup/w1/status"), until=_knows_the_address),
        post("/Signup/w1/verify", '"word"'),
        get("/restate/workflow/Signup/w1/attach"),
        get("/restate/workflow/Signup/w1/output"),
        get("/Signup/w1/status"),
    ),
    case(
        "workflow: promise first, then call",
        post("/Signup/w2/verify", '"early"'),
        post("/Signup/w2/run", '"a@b"'),
        post("/Signup/w2/run", '"a@b"'),
        post("/Signup/w2/run/send", '"a@b"'),
    ),
    case(
        "workflow: promise twice",
        post("/Signup/w3/verify", '"one"'),
        post("/Signup/w3/verify", '"two"'),
        post("/Signup/w3/run", '"a@b"'),
    ),
    case(
        "workflow: broken promise",
        post("/Signup/w4/reject", '"spam"'),
        post("/Signup/w4/run", '"a@b"'),
        get("/restate/workflow/Signup/w4/output"),
    ),
    case("workflow: status before the run", post("/Signup/w5/status")),
    case("workflow: unknown key", get("/restate/workflow/Signup/none/output")),
    case("workflow: attach to unknown key", get("/restate/workflow/Signup/none/attach")),
    case("workflow: unknown workflow", get("/restate/workflow/Nope/k/output")),
    case("workflow: not a workflow", get("/restate/workflow/Counter/k/output")),
    case("workflow: unknown operation", get("/restate/workflow/Signup/none/nope")),
    case("workflow: delayed run", post("/Signup/w6/run/send?delay=30s", '"a@b"')),
]

AWAKEABLES = [
    case(
        "awakeable: resolve",
        keeping(post("/Basic/awaitAwakeable/send", '"aw1"'), "id"),
        keeping(until_body(get("/Mailbox/aw1/get")), "name"),
        post("/restate/awakeables/{name}/resolve", '"value"'),
        get("/restate/invocation/{id}/attach"),
        post("/restate/awakeables/{name}/resolve", '"again"'),
        post("/restate/awakeables/{name}/reject", '"again"'),
    ),
    case(
        "awakeable: reject",
        keeping(post("/Basic/awaitAwakeable/send", '"aw2"'), "id"),
        keeping(until_body(get("/Mailbox/aw2/get")), "name"),
        Step("POST", "/restate/awakeables/{name}/reject", b"for a reason", TEXT),
        get("/restate/invocation/{id}/attach"),
    ),
    case(
        "awakeable: resolve with nothing",
        keeping(post("/Basic/awaitAwakeable/send", '"aw3"'), "id"),
        keeping(until_body(get("/Mailbox/aw3/get")), "name"),
        post("/restate/awakeables/{name}/resolve"),
        get("/restate/invocation/{id}/attach"),
    ),
    case(
        "awakeable: reject with nothing",
        keeping(post("/Basic/awaitAwakeable/send", '"aw4"'), "id"),
        keeping(until_body(get("/Mailbox/aw4/get")), "name"),
        post("/restate/awakeables/{name}/reject"),
        get("/restate/invocation/{id}/attach"),
    ),
    case(
        "awakeable: resolve from a handler",
        keeping(post("/Basic/awaitAwakeable/send", '"aw5"'), "id"),
        keeping(until_body(get("/Mailbox/aw5/get")), "name"),
        post("/Basic/resolveAwakeable", '{"id":"{name}","value":"v"}'),
        get("/restate/invocation/{id}/attach"),
    ),
    case(
        "awakeable: reject from a handler",
        keeping(post("/Basic/awaitAwakeable/send", '"aw6"'), "id"),
        keeping(until_body(get("/Mailbox/aw6/get")), "name"),
        post("/Basic/rejectAwakeable", '{"id":"{name}","value":"v"}'),
        get("/restate/invocation/{id}/attach"),
    ),
    case("awakeable: of nobody", post(f"/restate/awakeables/{NO_AWAKEABLE}/resolve", '"v"')),
    case("awakeable: malformed", post("/restate/awakeables/sign_bad/resolve", '"v"')),
    case("awakeable: malformed, reject", post("/restate/awakeables/bad/reject", '"v"')),
    case("awakeable: of another kind", post(f"/restate/awakeables/{NO_INVOCATION}/resolve", '"v"')),
    case("awakeable: GET", get(f"/restate/awakeables/{NO_AWAKEABLE}/resolve")),
    case("awakeable: unknown operation", post(f"/restate/awakeables/{NO_AWAKEABLE}/nope", '"v"')),
    case("awakeable: no operation", post(f"/restate/awakeables/{NO_AWAKEABLE}", '"v"')),
    case(
        "signal: from a handler",
        keeping(post("/Basic/awaitSignal/send", '"knock"'), "id"),
        post("/Basic/sendSignal", '{"id":"{id}","name":"other","value":"no"}'),
        post("/Basic/sendSignal", '{"id":"{id}","name":"knock","value":"who"}'),
        get("/restate/invocation/{id}/attach"),
    ),
]

LOOKUPS = [
    case(
        "lookup: workflow",
        post("/Signup/look/run/send", '"a@b"'),
        post(
            "/restate/lookup", '{"target":"workflow","workflowName":"Signup","workflowKey":"look"}'
        ),
    ),
    case(
        "lookup: idempotent invocation",
        post("/Basic/greet", '"a"', idempotency_key="look"),
        post(
            "/restate/lookup",
            '{"target":"idempotentInvocation","service":"Basic","handler":"greet",'
            '"idempotencyKey":"look"}',
        ),
    ),
    case("lookup: malformed body", post("/restate/lookup", '{"target":"nothing"}')),
]

TYPESCRIPT = [
    case("typescript: call", post("/NodeBasic/greet", '"Ada"')),
    case("typescript: three steps", post("/NodeBasic/threeSteps", '"x"')),
    case("typescript: sleep", post("/NodeBasic/sleepy")),
    case("typescript: failure", post("/NodeBasic/terminal", '{"code":418,"message":"tea"}')),
    case("typescript: handler calls handler", post("/NodeBasic/callOther", '"x"')),
    case(
        "typescript: send from a handler",
        keeping(post("/NodeBasic/sendOther", '"ts"'), "id"),
        until_known(get("/restate/invocation/{id}/attach")),
        get("/NodeCounter/ts/get"),
        post("/NodeCounter/ts/clear"),
        get("/NodeCounter/ts/get"),
    ),
    case(
        "typescript: awakeable",
        keeping(post("/NodeBasic/awaitAwakeable/send", '"ts"'), "id"),
        keeping(
            replace(get("/NodeMailbox/ts/get"), until=lambda reply: b"sign_" in reply.body), "name"
        ),
        post("/NodeBasic/resolveAwakeable", '{"id":"{name}","value":"v"}'),
        get("/restate/invocation/{id}/attach"),
    ),
    case(
        "typescript: workflow",
        post("/NodeSignup/ts/run/send", '"a@b"'),
        post("/NodeSignup/ts/verify", '"word"'),
        get("/restate/workflow/NodeSignup/ts/attach"),
        post("/NodeSignup/ts/run", '"a@b"'),
    ),
]

CASES = [
    *CALLS,
    *INPUT,
    *PATHS,
    *KEYS,
    *STATE,
    *FAILURES,
    *SENDS,
    *IDEMPOTENCY,
    *ATTACH,
    *WORKFLOWS,
    *AWAKEABLES,
    *LOOKUPS,
    *TYPESCRIPT,
]


@dataclass(frozen=True, slots=True)
class Pair:
    """The two sides, each with the handlers registered."""

    engine: EngineServer
    oracle: EngineServer


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory,
    restate_server: RestateServer,
    npm_parts: npm.NpmParts,
    python_service: PythonService,
    node_service: NodeService,
) -> Iterator[Pair]:
    """Our engine (or a second real server) beside the real one."""
    folder = tmp_path_factory.mktemp("oracle")
    engine = RestateServer(folder, npm_parts) if BOTH_REAL else SteadfaasServer(folder)
    with engine:
        for server in (engine, restate_server):
            server.register(python_service)
            server.register(node_service)
        yield Pair(engine, restate_server)


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_answers_as_the_real_server(pair: Pair, one: Case) -> None:
    ignored = frozenset() if _names_an_idempotency_key(one) else MADE_UP_KEY_HEADERS
    theirs = play(pair.oracle.ingress, one, ignored=ignored)
    ours = play(pair.engine.ingress, one, ignored=ignored)
    difference = None if BOTH_REAL else DIFFERENCES.get(one.name)
    if difference is None:
        assert ours == theirs, explain(one, ours, theirs)
        return
    assert ours != theirs, f"no longer different, remove it: {difference.reason}"
    assert ours[:-1] == theirs[:-1], explain(one, ours, theirs)
    if difference.status is None:
        assert _without_message(ours[-1]) == _without_message(theirs[-1]), difference.reason
    else:
        assert ours[-1].status == difference.status


def test_every_difference_names_a_case() -> None:
    assert DIFFERENCES.keys() <= {one.name for one in CASES}


def test_case_names_are_unique() -> None:
    assert len({one.name for one in CASES}) == len(CASES)


def _names_an_idempotency_key(one: Case) -> bool:
    """Workflows count: their key is one."""
    return any("idempotency-key" in step.headers or "/workflow/" in step.path for step in one.steps)


def _without_message(observed: Observed) -> Observed:
    assert isinstance(observed.body, dict)
    return replace(observed, body={**observed.body, "message": ""})
