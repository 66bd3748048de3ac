"""Asking real loopback servers what they serve: one row for each check."""

from __future__ import annotations

import asyncio
import gzip
import json
import time

import aiohttp
import pytest

from steadfaas.deployments.discover import Discovered, Patience, discover, discovery_url
from steadfaas.errors import DiscoveryError, Verdict
from steadfaas.spi import EndpointReference, Evidence
from steadfaas.wire.manifest import ProtocolMode
from steadfaas.wire.version import DISCOVERY_ACCEPT
from tests.deployments.world import (
    HASTY,
    MANIFEST_TYPE,
    Answer,
    announce,
    manifest,
    run,
    service,
    serving,
)

GOOD = announce(service())
TYPE = {"content-type": MANIFEST_TYPE}


async def ask(
    uri: str, headers: tuple[tuple[str, str], ...] = (), patience: Patience = HASTY
) -> Discovered:
    reference = EndpointReference("plain-http", uri, Evidence.ASSERTED)
    async with aiohttp.ClientSession() as session:
        return await discover(session, reference, headers, patience=patience)


def test_a_good_answer() -> None:
    async def test() -> None:
        async with serving(announce(service(), protocolMode="BIDI_STREAM")) as endpoint:
            found = await ask(endpoint.uri, (("x-key", "secret"), ("accept", "*/*")))
            assert found.sdk_version == "scripted/1.0"
            assert found.http_version == "HTTP/1.1"
            # Streaming over HTTP/1.1 is accepted, and driven request by request.
            assert found.manifest.protocol_mode is ProtocolMode.BIDI_STREAM
            [request] = endpoint.requests
            assert (request.method, request.path) == ("GET", "/discover")
            assert request.headers["accept"] == DISCOVERY_ACCEPT
            assert request.headers["x-key"] == "secret"

    run(test())


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("http://a/", "http://a/discover"),
        ("http://a/b", "http://a/b/discover"),
        ("http://a/b%2Fc/", "http://a/b%2Fc/discover"),
    ],
)
def test_discovery_is_appended_to_the_base_path(uri: str, url: str) -> None:
    assert discovery_url(uri) == url


def test_an_escaped_path_is_sent_as_it_is_written() -> None:
    async def test() -> None:
        async with serving(GOOD) as endpoint:
            await ask(endpoint.uri + "b%2Fc")
            assert endpoint.requests[0].raw_path == "/b%2Fc/discover"

    run(test())


def with_body(**fields: object) -> Answer:
    return Answer(json.dumps({**manifest(service()), **fields}).encode(), headers=TYPE)


@pytest.mark.parametrize(
    ("answer", "code", "words", "tries"),
    [
        (Answer(status=404), "META0003", "got status code '404'", 1),
        (Answer(status=401), "META0003", "additional_headers", 1),
        (Answer(status=415), "META0003", "update the SDK", 1),
        (Answer(status=302, headers={"location": "http://b/"}), "META0003", "to 'http://b/'", 1),
        (Answer(status=500), "META0003", "got status code '500'", 3),
        (Answer(status=503), "META0003", "got status code '503'", 3),
        (Answer(status=429), "META0003", "got status code '429'", 3),
        (Answer(GOOD.body), "META0013", "no endpoint manifest", 1),
        (Answer(GOOD.body, headers={"content-type": "application/json"}), "META0013", "json", 1),
        (
            Answer(GOOD.body, headers={"content-type": f"{MANIFEST_TYPE}; charset=utf-8"}),
            "META0013",
            "no endpoint manifest",
            1,
        ),
        (
            Answer(GOOD.body, headers={"content-type": MANIFEST_TYPE.replace("v4", "v5")}),
            "META0013",
            "no endpoint manifest",
            1,
        ),
        (Answer(b"<html>", headers=TYPE), None, "not JSON", 1),
        (with_body(protocolMode=None), "META0013", "protocolMode", 1),
        (with_body(minProtocolVersion=9, maxProtocolVersion=8), "META0013", "no range", 1),
        (with_body(minProtocolVersion=9, maxProtocolVersion=9), "META0012", "this engine", 1),
        (with_body(services=[service("restate")]), "META0005", "reserved", 1),
        (Answer(b" " * 9_000_000, headers=TYPE), "META0013", "larger than", 1),
        (
            Answer(gzip.compress(b" " * 9_000_000), headers={**TYPE, "content-encoding": "gzip"}),
            "META0013",
            "larger than",
            1,
        ),
    ],
)
def test_a_bad_answer(answer: Answer, code: str | None, words: str, tries: int) -> None:
    async def test() -> None:
        async with serving(answer) as endpoint:
            with pytest.raises(DiscoveryError) as refused:
                await ask(endpoint.uri)
            assert refused.value.code == code
            assert words in refused.value.message
            assert len(endpoint.requests) == tries
            assert (refused.value.verdict is Verdict.RETRY) == (tries > 1)

    run(test())


def test_a_passing_trouble_heals_within_the_registration() -> None:
    async def test() -> None:
        async with serving(Answer(status=503), Answer(status=502), GOOD) as endpoint:
            found = await ask(endpoint.uri)
            assert found.manifest.services[0].name == "Shop"
            assert len(endpoint.requests) == 3

    run(test())


def test_nobody_listens() -> None:
    async def test() -> None:
        async with serving(GOOD) as endpoint:
            uri = endpoint.uri
        with pytest.raises(DiscoveryError) as refused:
            await ask(uri)
        assert refused.value.code == "META0003"
        assert f"error when calling '{uri}discover': Connection refused. " in refused.value.message

    run(test())


def test_a_silent_endpoint_is_given_up() -> None:
    async def test() -> None:
        async with serving(GOOD) as endpoint:
            endpoint.gate = asyncio.Event()
            hasty = Patience(attempts=2, first_wait=0, attempt_timeout=0.05, deadline=5)
            with pytest.raises(DiscoveryError, match=r"no complete answer within 0\.05 s"):
                await ask(endpoint.uri, patience=hasty)
            assert len(endpoint.requests) == 2

    run(test())


def test_the_deadline_ends_all_tries_together() -> None:
    async def test() -> None:
        async with serving(Answer(status=503)) as endpoint:
            patience = Patience(attempts=100, first_wait=0.02, deadline=0.1)
            began = time.monotonic()
            with pytest.raises(DiscoveryError, match=r"within 0\.1 s"):
                await ask(endpoint.uri, patience=patience)
            assert time.monotonic() - began < 2

    run(test())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
        b"\x00\x00\x12\x04",
    ],
)
def test_what_is_no_http_answer(answer: bytes) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head, _, body = answer.partition(b"OK\r\n")
        typed = head + b"OK\r\ncontent-type: " + MANIFEST_TYPE.encode() + b"\r\n" + body
        writer.write(typed if body else answer)
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            with pytest.raises(DiscoveryError) as refused:
                await ask(f"http://{host}:{port}/")
            assert refused.value.code == "META0003"

    run(test())


def test_streaming_needs_http_1_1() -> None:
    body = json.dumps(manifest(service(), protocolMode="BIDI_STREAM")).encode()
    answer = b"HTTP/1.0 200 OK\r\ncontent-type: " + MANIFEST_TYPE.encode() + b"\r\n\r\n" + body

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            with pytest.raises(DiscoveryError) as refused:
                await ask(f"http://{host}:{port}/")
            assert refused.value.code == "META0015"

    run(test())
