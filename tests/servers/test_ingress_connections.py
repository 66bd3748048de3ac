"""The ingress as a neighbour on the network: odd, broken, slow and vanishing clients."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from steadfaas.servers import http1
from tests.runtime.in_process import LOOPBACK, World, eventually, run
from tests.servers.ingress_world import Services, Wire, ingress, request, wire

# Over real sockets, in real time.
pytestmark = pytest.mark.e2e

KIB = 1024


async def _alive(here: World) -> None:
    """The server still serves others, and kept nothing of what was before."""
    assert await here.call("/Basic/greet", "you") == "Hello you"
    for _ in range(200):
        if len(here.engine.waiters) == 0:
            return
        await asyncio.sleep(0.005)
    assert len(here.engine.waiters) == 0


# --- whole requests, in odd shapes -------------------------------------------------------------


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            for number in range(50):
                line.send(request("/Basic/greet", b'"%d"' % number))
                status, _, body = await line.answer()
                assert (status, body) == (200, b'"Hello %d"' % number)

    run(test())


@pytest.mark.parametrize("count", [3, 100])
def test_pipelined_requests_are_answered_in_order(tmp_path: Path, count: int) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(
                b"".join(
                    # The first is the slowest.
                    request("/Basic/sleep", b"%d" % (40 if number == 0 else 0))
                    if number % 3 == 0
                    else request("/Basic/greet", b'"%d"' % number)
                    for number in range(count)
                )
            )
            for number in range(count):
                status, _, body = await line.answer()
                assert status == 200
                if number % 3:
                    assert body == b'"Hello %d"' % number
            await _alive(here)

    run(test())


def test_a_request_byte_by_byte(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            for byte in request("/Counter/%C3%B6/key", b"", "X-A: b") + request("/Basic/nothing"):
                line.send(bytes([byte]))
                await asyncio.sleep(0)
            assert json.loads((await line.answer())[2]) == "ö"
            assert (await line.answer())[0] == 200

    run(test())


def test_a_chunked_body(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            head = (
                b"POST /Basic/echo HTTP/1.1\r\nHost: t\r\nContent-Type: text/plain\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            line.send(head + b"3\r\nabc\r\n1;ext=1\r\nd\r\n0\r\n\r\n" + request("/Basic/nothing"))
            status, _, body = await line.answer()
            assert (status, body) == (200, b"abcd")
            assert (await line.answer())[0] == 200

    run(test())


@pytest.mark.parametrize(
    ("version", "more", "stays"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: close",), False),
        ("1.0", (), False),
        ("1.0", ("Connection: keep-alive",), True),
    ],
)
def test_the_connection_stays_open_as_agreed(
    tmp_path: Path, version: str, more: tuple[str, ...], stays: bool
) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(request("/Basic/greet", b'"x"', *more, version=version))
            status, headers, _ = await line.answer()
            assert status == 200
            if stays:
                line.send(request("/Basic/nothing", b"", *more, version=version))
                assert (await line.answer())[0] == 200
            else:
                assert headers["connection"] == "close"
                assert await line.ended()

    run(test())


def test_an_expected_continue_comes_before_the_body(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            whole = request("/Basic/greet", b'"you"', "Expect: 100-continue")
            head, gap, body = whole.partition(b"\r\n\r\n")
            line.send(head + gap)
            assert (await line.answer())[0] == 100
            line.send(body)
            assert (await line.answer())[2] == b'"Hello you"'

    run(test())


def test_head_has_the_headers_of_get_and_no_body(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            for target, status in (("/restate/health", 200), ("/Basic/nothing", 405)):
                line.send(request(target, method="HEAD"))
                got, headers, _ = await line.answer(head=True)
                assert got == status
                assert int(headers["content-length"]) > 0
            line.send(request("/Basic/nothing"))
            assert (await line.answer())[0] == 200

    run(test())


def test_an_offer_to_change_protocols_is_ignored(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(
                request(
                    "/Basic/greet",
                    b'"you"',
                    "Connection: Upgrade, HTTP2-Settings",
                    "Upgrade: h2c",
                    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
                )
            )
            status, _, body = await line.answer()
            assert (status, body) == (200, b'"Hello you"')
            line.send(request("/Basic/nothing"))
            assert (await line.answer())[0] == 200

    run(test())


# --- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_body_that_is_too_large(tmp_path: Path, chunked: bool) -> None:
    async def test() -> None:
        async with ingress(tmp_path, max_body_bytes="100KiB") as (here, _):
            for size, status in ((100 * KIB, 200), (100 * KIB + 1, 413), (400 * KIB, 413)):
                async with wire(here) as line:
                    body = b"x" * size
                    if chunked:
                        line.send(
                            b"POST /Basic/echo HTTP/1.1\r\nHost: t\r\nContent-Type: text/plain\r\n"
                            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
                            % (size, body)
                        )
                    else:
                        line.send(request("/Basic/echo", body, "Content-Type: text/plain"))
                    got, headers, answer = await line.answer()
                    assert got == status
                    if status == 413:
                        assert "max_body_bytes" in json.loads(answer)["message"]
                        assert headers["connection"] == "close"
                    else:
                        assert answer == body
            await _alive(here)

    run(test())


def test_a_body_that_is_too_large_is_refused_before_it_comes(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path, max_body_bytes="100KiB") as (here, _), wire(here) as line:
            line.send(b"POST /Basic/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9999999999\r\n\r\n")
            assert (await line.answer())[0] == 413
            assert await line.ended()

    run(test())


@pytest.mark.parametrize(
    "head",
    [
        b"POST /" + b"x" * 80_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\nX-A: " + b"x" * 80_000 + b"\r\n\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\n" + b"X-A: b\r\n" * 1000 + b"\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\n" + b"x" * 80_000 + b": b\r\n\r\n",
    ],
    ids=["path", "value", "many", "name"],
)
def test_a_head_that_is_too_large(tmp_path: Path, head: bytes) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(head)
            assert (await line.answer())[0] == 431
            assert await line.ended()
            await _alive(here)

    run(test())


def test_a_large_answer_to_a_slow_reader_holds_up_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(request("/Basic/big", b"8000000"))
            line.send(request("/Basic/nothing"))
            for _ in range(10):
                assert await here.call("/Basic/greet", "you") == "Hello you"
            status, _, body = await line.answer()
            assert (status, len(body)) == (200, 8_000_002)
            assert (await line.answer())[0] == 200

    run(test())


# --- broken requests ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n\0\0\0\0",
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /Basic/nothing HTTP/9.9\r\n\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /Basic/nothing HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\nTransfer-Encoding: nonsense\r\n\r\n",
        b"POST /Basic/no\xc3thing HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"POST /Basic/no\xff\xfe HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"POST /Basic/no thing HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"POST /Basic/no\0thing HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"POST /Basic/nothing HTTP/1.1\r\nX\0A: b\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,  # a TLS greeting
    ],
)
def test_what_is_no_request_is_refused_and_cut_off(tmp_path: Path, data: bytes) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            async with wire(here) as line:
                line.send(data)
                status, headers, body = await line.answer()
                assert 400 <= status < 500, body
                answer = json.loads(body)
                assert (answer["code"], answer["source"]) == (status, "ingress")
                assert headers["connection"] == "close"
                assert await line.ended()
            assert services.runs == 0
            await _alive(here)

    run(test())


def test_a_tunnel_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services), wire(here) as line:
            line.send(b"CONNECT host:80 HTTP/1.1\r\nHost: t\r\n\r\n" + request("/Basic/nothing"))
            assert (await line.answer())[0] in (400, 405)
            assert await line.ended()
            assert services.runs == 0

    run(test())


def test_nonsense_behind_a_good_request_costs_it_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(request("/Basic/sleep", b"20") + request("/Basic/greet", b'"b"') + b"\0\0\0")
            assert (await line.answer())[2] == b"20"
            assert (await line.answer())[2] == b'"Hello b"'
            # Whether the nonsense is answered too is left open; nothing comes behind that.
            rest = await asyncio.wait_for(line.reader.read(), 2)
            assert rest.count(b"HTTP/1.1 ") <= 1
            await _alive(here)

    run(test())


def test_many_connections_that_send_nonsense(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _):

            async def annoy(number: int) -> None:
                async with wire(here) as line:
                    line.send(bytes((number * step) % 256 for step in range(200)))
                    await asyncio.sleep(0.01)

            await asyncio.gather(*(annoy(number) for number in range(100)))
            await _alive(here)

    run(test())


# --- clients that stop, half or altogether -----------------------------------------------------


def test_a_client_that_closes_its_half_gets_its_answers(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _), wire(here) as line:
            line.send(request("/Basic/sleep", b"30") + request("/Basic/greet", b'"b"'))
            line.writer.write_eof()
            assert (await line.answer())[2] == b"30"
            assert (await line.answer())[2] == b'"Hello b"'
            assert await line.ended()
            await _alive(here)

    run(test())


@pytest.mark.parametrize(
    "sent",
    [b"", b"PO", request("/Basic/greet", b'"you"')[:-2], request("/Basic/greet", b'"you"')[:30]],
)
def test_a_client_that_closes_in_the_middle_of_a_request(tmp_path: Path, sent: bytes) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            async with wire(here) as line:
                line.send(sent)
                line.writer.write_eof()
                assert await line.ended()
            assert services.runs == 0
            await _alive(here)

    run(test())


async def _waiting(here: World, services: Services, runs: int) -> None:
    """So many attempts have begun, and somebody waits for the latest."""
    await eventually(lambda: services.runs >= runs and len(here.engine.waiters) > 0)


async def _nobody_waits(here: World) -> bool:
    for _ in range(100):
        if len(here.engine.waiters) == 0:
            return True
        await asyncio.sleep(0.005)
    return False


def test_callers_that_are_cut_off_are_forgotten_and_their_requests_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            keys = [f"key{number}" for number in range(20)]
            for key in keys:
                before = services.runs
                async with wire(here) as line:
                    line.send(request("/Basic/wait", b"", f"Idempotency-Key: {key}"))
                    await _waiting(here, services, before + 1)
                    line.reset()
                assert await _nobody_waits(here)
            services.gate.set()
            for key in keys:
                reply = await here.post("/Basic/wait", headers={"idempotency-key": key})
                assert reply.json() == "waited"
            assert services.runs == 20
            await here.idle()

    run(test())


def test_callers_that_close_are_forgotten_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1, "_LOOK_EVERY", 0.05)
    monkeypatch.setattr(http1, "_HALF_CLOSED_SECONDS", 0.1)

    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            async with wire(here) as line:
                line.send(request("/Basic/wait"))
                await _waiting(here, services, 1)
            assert await _nobody_waits(here)

    run(test())


def test_a_caller_that_goes_away_before_its_request_is_stored(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            for _ in range(20):
                async with wire(here) as line:
                    line.send(request("/Basic/wait"))
                    line.reset()
            await asyncio.sleep(0.05)
            services.gate.set()
            assert await _nobody_waits(here)
            await here.idle()

    run(test())


@pytest.mark.parametrize(
    "count",
    [
        5,
        30,
    ],
)
def test_a_client_that_pipelines_and_goes_away(tmp_path: Path, count: int) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, services):
            async with wire(here) as line:
                line.send(request("/Basic/wait") * count)
                await _waiting(here, services, 1)
                line.reset()
            assert await _nobody_waits(here)
            services.gate.set()
            await here.idle()
            assert services.runs == 1  # the others had not been looked at yet

    run(test())


def test_idle_and_stalled_connections_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "_LOOK_EVERY", 0.02)
    monkeypatch.setattr(http1, "_IDLE_SECONDS", 0.1)
    monkeypatch.setattr(http1, "_STALLED_SECONDS", 0.1)

    async def test() -> None:
        async with (
            ingress(tmp_path) as (here, services),
            wire(here) as idle,
            wire(here) as stalled,
            wire(here) as busy,
        ):
            stalled.send(request("/Basic/greet", b'"you"')[:-3])
            busy.send(request("/Basic/wait"))
            assert await idle.ended()
            assert (await stalled.answer())[0] == 408
            assert await stalled.ended()
            await asyncio.sleep(0.2)
            services.gate.set()  # who waits for an answer is neither idle nor stalled
            assert (await busy.answer())[2] == b'"waited"'

    run(test())


def test_hundreds_of_connections(tmp_path: Path) -> None:
    async def test() -> None:
        async with ingress(tmp_path) as (here, _):
            lines = []
            for _ in range(300):
                reader, writer = await asyncio.open_connection(LOOPBACK, here.ingress_port)
                lines.append(Wire(reader, writer))
            for number, line in enumerate(lines):
                line.send(request("/Basic/greet", b'"%d"' % number))
            for number, line in enumerate(lines):
                assert (await line.answer())[2] == b'"Hello %d"' % number
            for line in lines:
                line.writer.close()
            await _alive(here)
            await here.idle()

    run(test())
