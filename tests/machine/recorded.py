"""The recorded exchanges under tests/data/wire, put together to the lives that they tell."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from steadfaas.machine.status import Kind
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.frame import Frame, FrameReader
from steadfaas.wire.messages import MessageType as T
from tests.wire.samples import DATA

#: Which kind of handler a recorded path names; all others belong to plain services.
_KINDS: Final = {
    "H2Obj": Kind.OBJECT_EXCLUSIVE,
    "H2Lazy": Kind.OBJECT_EXCLUSIVE,
    "H2Wf/run": Kind.WORKFLOW_RUN,
    "H2Wf/resolve": Kind.WORKFLOW_SHARED,
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as frames."""

    start: m.Start
    entries: list[Frame]
    answer: list[Frame]


@dataclass(frozen=True, slots=True)
class Life:
    """The exchanges of one invocation, in order. `where` names it in test output."""

    where: str
    kind: Kind
    version: int
    exchanges: list[Exchange]


def lives() -> list[Life]:
    """Every recorded life in a protocol version that this engine speaks."""
    found: list[Life] = []
    for path in sorted(DATA.glob("*.json")):
        recorded = json.loads(path.read_text())
        exchanges = recorded.get("exchanges", []) if isinstance(recorded, dict) else []
        # Requests made by hand share an id, and each of them tells its whole past.
        by_hand = "origin" not in recorded
        pairs = [
            (_head(item), _exchange(_raw(item["request"]), _raw(item["response"])))
            for item in exchanges
        ]
        pairs += [_lambda_exchange(case) for case in recorded.get("cases", []) if _invokes(case)]
        for number, group in enumerate(_grouped(pairs, apart=by_hand)):
            target, version = group[0][0]
            if version <= 6:
                where = f"{path.stem}/{number}/{target}"
                kind = _KINDS.get(target) or _KINDS.get(target.split("/")[0]) or Kind.SERVICE
                found.append(Life(where, kind, version, [exchange for _, exchange in group]))
    return found


_Head = tuple[str, int]
_Pair = tuple[_Head, Exchange]


def _grouped(pairs: list[_Pair], *, apart: bool) -> list[list[_Pair]]:
    if apart:
        return [[pair] for pair in pairs]
    by_id = sorted(pairs, key=lambda pair: pair[1].start.id)  # stable: each life keeps its order
    return [list(group) for _, group in groupby(by_id, key=lambda pair: pair[1].start.id)]


def _head(item: dict[str, Any]) -> _Head:
    request, response = item["request"], item["response"]
    return _target(request["path"]), _version(response["headers"]["content-type"])


def _target(path: str) -> str:
    return path.removeprefix("/invoke/")


def _version(content_type: str) -> int:
    return int(content_type.rpartition(".v")[2])


def _raw(item: dict[str, Any]) -> bytes:
    return b"".join(bytes.fromhex(frame["hex"]) for frame in item["frames"])


def _invokes(case: dict[str, Any]) -> bool:
    invokes: bool = case["event"]["path"].startswith("/invoke/")
    return invokes and case["response"]["statusCode"] == 200


def _lambda_exchange(case: dict[str, Any]) -> _Pair:
    event, response = case["event"], case["response"]
    head = (_target(event["path"]), _version(event["headers"]["content-type"]))
    bodies = [base64.b64decode(item["body"]) for item in (event, response)]
    return head, _exchange(*bodies)


def _exchange(request: bytes, answer: bytes) -> Exchange:
    start, *entries = FrameReader().feed(request)
    assert start.type == T.START
    return Exchange(decode(m.Start, start.payload), entries, FrameReader().feed(answer))
