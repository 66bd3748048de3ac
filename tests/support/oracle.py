"""Plays the same requests to two servers and makes the answers comparable.

A case is a short conversation. Identifiers differ between servers, so they are replaced by the
order in which they appear: `<inv 1>` in two answers of a case means the *same* invocation in both
of them. Times are replaced as a whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support import client

COMPARED_HEADERS = (
    "content-type",
    "location",
    "allow",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "idempotency-expires",
    "x-restate-error-source",
    "x-restate-id",
)
_POLL_DEADLINE = 8.0
_LONG = 100_000
_IDENTIFIER = re.compile(r"(inv|sign|prom|dp)_1[0-9A-Za-z_-]{20,}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Step:
    """One request. `{name}` in path and body stands for what an earlier step kept.

    `keep` remembers the answer under a name: the field `invocationId` of a JSON object, or else
    the JSON text itself. `until` repeats the request until the answer is as wanted, or a few
    seconds have passed.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    keep: str | None = None
    until: Callable[[client.Reply], bool] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A named conversation."""

    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """One answer, made comparable."""

    status: int
    headers: Mapping[str, str]
    body: Any


def play(base: str, case: Case, *, ignored: frozenset[str] = frozenset()) -> list[Observed]:
    """Hold the conversation with one server; the headers `ignored` are left out."""
    kept: dict[str, str] = {}
    names = _Names(base, ignored)
    return [names.observed(step, _ask(base, step, kept)) for step in case.steps]


def explain(case: Case, ours: list[Observed], theirs: list[Observed]) -> str:
    """Where two sides of a conversation differ, one line per part of an answer."""
    lines = []
    for step, one, other in zip(case.steps, ours, theirs, strict=True):
        for part in ("status", "headers", "body"):
            mine, wanted = getattr(one, part), getattr(other, part)
            if mine != wanted:
                lines.append(f"{step.method} {step.path}: {part} {mine!r} instead of {wanted!r}")
    return "\n".join(lines)


def _ask(base: str, step: Step, kept: dict[str, str]) -> client.Reply:
    path = _filled(step.path, kept)
    body = (
        None if step.body is None else _filled(step.body.decode("latin-1"), kept).encode("latin-1")
    )
    deadline = time.monotonic() + _POLL_DEADLINE
    while True:
        reply = client.request(step.method, base, path, body=body, headers=step.headers)
        if step.until is None or step.until(reply) or time.monotonic() > deadline:
            break
        time.sleep(0.03)
    if step.keep is not None:
        kept[step.keep] = _kept(reply)
    return reply


def _filled(text: str, kept: Mapping[str, str]) -> str:
    for name, value in kept.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _kept(reply: client.Reply) -> str:
    value = reply.json()
    return str(value["invocationId"] if isinstance(value, dict) else value)


class _Names:
    """Stable names for the identifiers of one conversation with one server."""

    def __init__(self, base: str, ignored: frozenset[str]) -> None:
        self._host = base.removeprefix("http://")
        self._compared = [name for name in COMPARED_HEADERS if name not in ignored]
        self._names: dict[str, str] = {}

    def observed(self, step: Step, reply: client.Reply) -> Observed:
        seen = {
            name: self._plain(reply.headers[name])
            for name in self._compared
            if name in reply.headers
        }
        if "/attach" in step.path:
            # Only an attach that found the invocation already completed is told this, and whether
            # it does is a race.
            seen.pop("idempotency-expires", None)
        return Observed(reply.status, seen, self._body(reply))

    def _body(self, reply: client.Reply) -> Any:
        """JSON as a value, because servers may space and order it as they like; else text."""
        if len(reply.body) > _LONG:
            return f"{len(reply.body)} bytes, SHA-256 {hashlib.sha256(reply.body).hexdigest()}"
        text = self._plain(reply.body.decode("utf-8", "backslashreplace"))
        if not reply.headers.get("content-type", "").startswith("application/json"):
            return text
        try:
            value = json.loads(text)
        except ValueError:
            return text
        if isinstance(value, dict) and isinstance(value.get("services"), list):
            value["services"].sort()  # The health route lists them in no order.
        return value

    def _plain(self, text: str) -> str:
        text = text.replace(self._host, "<host>")
        return _TIME.sub("<time>", _IDENTIFIER.sub(self._name, text))

    def _name(self, found: re.Match[str]) -> str:
        kind = found.group(1)
        number = sum(1 for name in self._names.values() if name.startswith(f"<{kind} ")) + 1
        return self._names.setdefault(found.group(), f"<{kind} {number}>")
