"""What is measured: each scenario is a list of ready-made requests and a number of connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MANY_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load. `make` builds the requests for an ingress `host:port`; they are sent in turn."""

    name: str
    connections: int
    make: Callable[[str], list[bytes]]


def _post(host: str, path: str, body: bytes) -> bytes:
    content = b"content-type: application/json\r\n" if body else b""
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + content + b"\r\n" + body


def _greet(host: str) -> list[bytes]:
    return [_post(host, "/Basic/greet", b'"bench"')]


def _three_steps(host: str) -> list[bytes]:
    return [_post(host, "/Basic/threeSteps", b'"bench"')]


def _sleepy(host: str) -> list[bytes]:
    return [_post(host, "/Basic/sleepy", b"")]


def _one_key(host: str) -> list[bytes]:
    return [_post(host, "/Counter/bench/add", b"1")]


def _many_keys(host: str) -> list[bytes]:
    return [_post(host, f"/Counter/bench-{key}/add", b"1") for key in range(MANY_KEYS)]


SCENARIOS = [
    Scenario("greet-1", 1, _greet),
    Scenario("greet-16", 16, _greet),
    Scenario("greet-64", 64, _greet),
    Scenario("three-steps-16", 16, _three_steps),
    Scenario("sleep-100ms-64", 64, _sleepy),
    Scenario("counter-one-key-16", 16, _one_key),
    Scenario("counter-many-keys-16", 16, _many_keys),
]
