"""Connections are kept, used again, and never held against anybody; headers go out as given."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import quote

import pytest

from tests.runtime.endpoint import END, Exchange, answers, key_of, listening, output, run
from tests.transport.exchanging import CONTENT_TYPE, Outcome, exchange, transport

# Over real sockets, in real time.
pytestmark = pytest.mark.e2e

GOOD = answers(output(), END)


def test_connection_is_used_again() -> None:
    async def test() -> None:
        async with listening(GOOD) as endpoint, transport() as through:
            for _ in range(5):
                assert (await exchange(through, endpoint.url)).failure is None
            assert [asked.connection for asked in endpoint.exchanges] == [1] * 5

    run(test())


def test_exchanges_at_once_have_connections_of_their_own() -> None:
    async def test() -> None:
        async with listening(GOOD) as endpoint, transport() as through:
            results = await asyncio.gather(
                *(exchange(through, endpoint.url, abort=5) for _ in range(50))
            )
            assert all(result.failure is None for result in results)
            await asyncio.gather(*(exchange(through, endpoint.url, abort=5) for _ in range(50)))
            assert endpoint.connections <= 50

    run(test())


def test_connection_that_the_endpoint_wants_closed() -> None:
    async def script(asked: Exchange) -> None:
        await asked.head(headers={"connection": "close"})
        await asked.send(output() + END)
        await asked.end()
        await asked.close()

    async def test() -> None:
        async with listening(script) as endpoint, transport() as through:
            for _ in range(3):
                assert (await exchange(through, endpoint.url)).failure is None
            assert endpoint.connections == 3

    run(test())


def test_connection_closed_while_idle_costs_nothing() -> None:
    async def script(asked: Exchange) -> None:
        await GOOD(asked)
        await asyncio.sleep(0.02)
        await asked.close()

    async def test() -> None:
        async with listening(script) as endpoint, transport() as through:
            for _ in range(4):
                assert (await exchange(through, endpoint.url)).failure is None
                await asyncio.sleep(0.05)
            assert len(endpoint.exchanges) == 4

    run(test())


@pytest.mark.parametrize("body", [b"small", bytes(3 * 1024 * 1024)])
def test_connection_closed_right_behind_the_answer_costs_nothing(body: bytes) -> None:
    """The end of the idle connection and the next request meet on the wire."""

    async def script(asked: Exchange) -> None:
        assert asked.body == body
        await GOOD(asked)
        await asked.close()

    async def test() -> list[Outcome]:
        async with listening(script) as endpoint, transport() as through:
            results = [await exchange(through, endpoint.url, abort=5, body=body) for _ in range(20)]
            assert len(endpoint.exchanges) == 20
            return results

    assert [result.code for result in run(test())] == [None] * 20


def test_kept_connection_whose_next_request_is_dropped() -> None:
    """A server that takes the second request of a connection and hangs up: the same meeting."""

    async def script(asked: Exchange) -> None:
        first = [each.connection for each in endpoint_exchanges].count(asked.connection) == 1
        await (GOOD(asked) if first else asked.close())

    endpoint_exchanges: list[Exchange] = []

    async def test() -> None:
        async with listening(script) as endpoint, transport() as through:
            endpoint.exchanges = endpoint_exchanges
            for _ in range(4):
                assert (await exchange(through, endpoint.url)).failure is None

    run(test())


def test_fresh_connection_that_is_dropped_is_one_failure_and_one_request() -> None:
    async def test() -> None:
        async with listening(Exchange.close) as endpoint, transport() as through:
            for _ in range(3):
                assert (await exchange(through, endpoint.url)).code == "RT0010"
            assert len(endpoint.exchanges) == 3

    run(test())


def test_connection_is_not_used_again_after_a_broken_answer() -> None:
    """What was left of one answer must never be read as the next one."""
    late = output(b"late") + END

    async def script(asked: Exchange) -> None:
        if asked.connection == 1:
            await asked.head()
            await asyncio.sleep(0.3)
            await asked.send(late)
            await asked.end()
        else:
            await GOOD(asked)

    async def test() -> None:
        async with listening(script) as endpoint, transport() as through:
            assert (await exchange(through, endpoint.url, abort=0.1)).code == "RT0001"
            after = await exchange(through, endpoint.url, abort=2)
            assert after.failure is None
            assert b"done" in after.frames[0].payload
            assert endpoint.connections == 2

    run(test())


@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_unasked_answer_on_an_idle_connection_is_not_taken(pause: float) -> None:
    """A second answer behind the first, for a request nobody sent."""
    data = output() + END
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: "
    good = f"{head}{len(data)}\r\n\r\n".encode() + data
    extra = f"{head}8\r\n\r\n".encode() + END

    async def script(asked: Exchange) -> None:
        if pause:
            await asked.raw(good)
            await asyncio.sleep(pause)
            await asked.raw(extra)
        else:
            await asked.raw(good + extra)
        asked.finished = True

    async def test() -> None:
        async with listening(script) as endpoint, transport() as through:
            for _ in range(3):
                result = await exchange(through, endpoint.url)
                assert result.failure is None
                assert len(result.frames) == 2
                await asyncio.sleep(2 * pause)

    run(test())


def test_answer_before_the_body_was_read() -> None:
    """The rest of one request must never stand before the next one."""
    body = bytes(16 * 1024 * 1024)

    async def early(asked: Exchange) -> None:
        await asked.answer(output(), END)
        asked.finished = False  # the connection stays open; nothing more is read for a while
        await asyncio.sleep(0.5)

    async def test() -> None:
        async with listening(GOOD) as endpoint, transport() as through:
            endpoint.before_body = early
            assert (await exchange(through, endpoint.url, body=body)).failure is None
            endpoint.before_body = None
            assert (await exchange(through, endpoint.url, body=b"next")).failure is None
            assert endpoint.exchanges[1].body == b"next"
            assert endpoint.connections == 2

    run(test())


def test_given_up_request_is_not_sent_to_its_end() -> None:
    """What an endpoint did not read in time must not stay in memory until it does."""
    body = bytes(64 * 1024 * 1024)

    async def test() -> None:
        read: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        given_up = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await given_up.wait()
            size = 0
            with contextlib.suppress(OSError):
                while chunk := await reader.read(1024 * 1024):
                    size += len(chunk)
            read.set_result(size)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with transport() as through:
            assert (await exchange(through, url, body=body, abort=0.2)).code == "RT0001"
            given_up.set()
            assert await read < len(body)
        server.close()

    run(test())


# --- headers -----------------------------------------------------------------------------------


def test_headers_go_out_as_given() -> None:
    key = "kéy/ with\r\n: 100%\x00"
    given = {
        "x-restate-invocation-id": "inv_1abc",
        "x-restate-service-key": quote(key, safe=""),
        "authorization": "Bearer s3cret",
        "x-empty": "",
        "x-tabbed": "a\tb",
    }

    async def test() -> None:
        async with listening(GOOD) as endpoint, transport() as through:
            assert (await exchange(through, endpoint.url, headers=given)).failure is None
            asked = endpoint.exchanges[0]
            assert (asked.method, asked.path) == ("POST", "/invoke/S/h")
            assert given.items() <= asked.headers.items()
            assert key_of(asked) == key
            # Nothing invites an answer that we would have to undo.
            assert "accept-encoding" not in asked.headers
            assert "expect" not in asked.headers
            assert "cookie" not in asked.headers
            assert asked.headers["content-type"] == CONTENT_TYPE
            assert asked.headers["accept"] == CONTENT_TYPE

    run(test())


def test_cookies_are_not_kept() -> None:
    async def script(asked: Exchange) -> None:
        await asked.head(headers={"set-cookie": "who=me"})
        await asked.send(output() + END)
        await asked.end()

    async def test() -> None:
        async with listening(script) as endpoint, transport() as through:
            for _ in range(2):
                await exchange(through, endpoint.url)
            assert "cookie" not in endpoint.exchanges[1].headers

    run(test())


def test_header_that_cannot_be_sent_fails_the_attempt_only() -> None:
    async def test() -> None:
        async with listening(GOOD) as endpoint, transport() as through:
            bad = await exchange(through, endpoint.url, headers={"x-bad": "a\r\nb: c"})
            assert bad.failure is not None
            assert endpoint.exchanges == []
            assert (await exchange(through, endpoint.url)).failure is None

    run(test())


def test_a_path_goes_out_as_it_is() -> None:
    """A mount path may hold percent-encoded characters; they are neither undone nor doubled."""

    async def test() -> None:
        async with listening(GOOD) as endpoint, transport() as through:
            await exchange(through, f"{endpoint.url}/a%2Fb/%20c")
            assert endpoint.exchanges[0].path == "/a%2Fb/%20c/invoke/S/h"

    run(test())


def test_closing_a_transport_that_was_never_used() -> None:
    async def test() -> None:
        async with transport():
            pass

    run(test())
