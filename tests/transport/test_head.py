"""The head of an answer: every row of the protocol's table, and what is no HTTP at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas.wire.messages import MessageType as T
from tests.runtime.endpoint import END, Exchange, answers, listening, output, run
from tests.transport.exchanging import ABORT, CONTENT_TYPE, Outcome, exchange, transport

# Over real sockets, in real time.
pytestmark = pytest.mark.e2e


def answered(
    status: int = 200,
    *,
    content_type: str | None = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> Outcome:
    """An exchange whose answer has this head."""

    async def script(asked: Exchange) -> None:
        await asked.head(status, content_type=content_type, headers=headers)
        if body:
            await asked.send(body)
        await asked.end()

    async def test() -> Outcome:
        async with listening(script) as endpoint, transport() as through:
            result = await exchange(through, endpoint.url)
            assert len(endpoint.exchanges) == 1
            return result

    return run(test())


def raw_answer(data: bytes, *, close: bool = True, abort: float = ABORT) -> Outcome:
    """An exchange that is answered with these bytes."""

    async def script(asked: Exchange) -> None:
        await asked.raw(data)
        if close:
            await asked.close()

    async def test() -> Outcome:
        async with listening(script) as endpoint, transport() as through:
            return await exchange(through, endpoint.url, abort=abort)

    return run(test())


def failure_of(outcome: Outcome) -> AttemptFailure:
    assert outcome.failure is not None
    return outcome.failure


# --- statuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "verdict", "http_code"),
    [
        (415, "RT0015", Verdict.DENIED, 415),
        (413, "RT0019", Verdict.TOO_LARGE, 413),
        (429, "RT0023", Verdict.THROTTLED, 429),
        (503, "RT0023", Verdict.THROTTLED, 503),
        (502, "RT0010", Verdict.RETRY, 502),
        (504, "RT0010", Verdict.RETRY, 504),
        (404, "RT0012", Verdict.BUG, 500),
        (410, "RT0012", Verdict.BUG, 500),
        (401, "RT0012", Verdict.DENIED, 500),
        (403, "RT0012", Verdict.DENIED, 500),
        (400, "RT0012", Verdict.BUG, 500),
        (431, "RT0012", Verdict.BUG, 500),
        (500, "RT0012", Verdict.BUG, 500),
        (501, "RT0012", Verdict.BUG, 500),
        (599, "RT0012", Verdict.BUG, 500),
        (999, "RT0012", Verdict.BUG, 500),
        (201, "RT0012", Verdict.BUG, 500),
        (204, "RT0012", Verdict.BUG, 500),
        (304, "RT0012", Verdict.BUG, 500),
    ],
)
def test_status(status: int, code: str, verdict: Verdict, http_code: int) -> None:
    failure = failure_of(answered(status))
    assert (failure.code, failure.verdict, failure.http_code) == (code, verdict, http_code)
    assert str(status) in failure.message or status == 415
    assert failure.retry_after is None


def test_good_answer() -> None:
    result = answered(body=output() + END)
    assert result.failure is None
    assert [frame.type for frame in result.frames] == [T.OUTPUT, T.END]


def test_failure_quotes_the_answer_briefly() -> None:
    failure = failure_of(answered(500, content_type="text/plain", body=b"no database " * 1000))
    assert "no database" in failure.message
    assert len(failure.message) < 1000


def test_failure_quotes_bytes_that_are_no_text() -> None:
    assert failure_of(answered(500, body=b"\xff\xfe\x00")).code == "RT0012"


def test_status_counts_even_if_its_body_never_comes() -> None:
    async def script(asked: Exchange) -> None:
        await asked.head(503, headers={"retry-after": "7"})

    async def test() -> Outcome:
        async with listening(script) as endpoint, transport() as through:
            return await exchange(through, endpoint.url)

    result = run(test())
    assert result.code == "RT0023"
    assert failure_of(result).retry_after == 7000


def test_status_counts_even_if_its_body_is_cut() -> None:
    async def script(asked: Exchange) -> None:
        await asked.head(413)
        await asked.reset()

    async def test() -> Outcome:
        async with listening(script) as endpoint, transport() as through:
            return await exchange(through, endpoint.url)

    assert run(test()).code == "RT0019"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    failure = failure_of(answered(status, headers={"location": "/elsewhere"}))
    assert (failure.code, failure.verdict) == ("RT0012", Verdict.BUG)


# --- Retry-After -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("3", 3000),
        ("0.25", 250),
        (" 2 ", 2000),
        ("1.0009", 1000),
        ("86400", 86_400_000),
        # These say nothing that could be kept to: the service's policy decides.
        ("0", None),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e400", None),
        ("9" * 400, None),
        ("99999999999", None),
        ("12 34", None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        ("Fri, 01 Jan 99999 00:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", None),
        ("Mon, 01 Jan 2001 00:00:00 -0000", None),
        ("\xfc\xff", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(status: int, text: str, milliseconds: int | None) -> None:
    failure = failure_of(answered(status, headers={"retry-after": text}))
    assert failure.code == "RT0023"
    assert failure.retry_after == milliseconds


def test_retry_after_as_a_date() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    given = failure_of(answered(429, headers={"retry-after": then})).retry_after
    assert given is not None
    assert 50_000 < given <= 60_000


def test_retry_after_means_nothing_beside_other_statuses() -> None:
    assert failure_of(answered(500, headers={"retry-after": "3"})).retry_after is None
    assert failure_of(answered(502, headers={"retry-after": "3"})).retry_after is None


# --- content type ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "application/vnd.restate.invocation.v5",
        "application/vnd.restate.invocation.v7",
        f"{CONTENT_TYPE}; charset=utf-8",
        CONTENT_TYPE.upper(),
        "\xff\xfe",
    ],
)
def test_wrong_content_type(content_type: str | None) -> None:
    result = answered(content_type=content_type, body=output() + END)
    failure = failure_of(result)
    assert (failure.code, failure.verdict) == ("RT0012", Verdict.BUG)
    assert "content type" in failure.message
    assert result.frames == []


def test_compressed_answer_is_refused() -> None:
    result = answered(headers={"content-encoding": "gzip"}, body=b"\x1f\x8b\x08" + bytes(20))
    assert result.code == "RT0012"
    assert "gzip" in failure_of(result).message
    assert result.frames == []


def test_content_encoding_identity_is_none() -> None:
    result = answered(headers={"content-encoding": "identity"}, body=output() + END)
    assert result.failure is None
    assert len(result.frames) == 2


# --- odd HTTP ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\xa5garbage",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-" + b"a" * 20_000 + b": b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n",
        b"",
        b"\r\n" * 1000,
        b"HTTP/1.1 20",
    ],
    ids=[
        "tls", "ssh", "no-status", "status-text", "version", "no-colon", "two-lengths",
        "negative-length", "long-name", "long-value", "many-headers", "long-reason", "nothing",
        "blank-lines", "half-a-head",
    ],
)  # fmt: skip
def test_no_http(data: bytes) -> None:
    result = raw_answer(data)
    # A head that the parser lets pass is no good answer either: it has no content type.
    assert result.code in ("RT0010", "RT0012")
    assert result.frames == []
    assert result.seconds < 2


def test_http_1_0_ends_with_its_connection() -> None:
    head = f"HTTP/1.0 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\n\r\n".encode()
    result = raw_answer(head + output() + END)
    assert result.failure is None
    assert [frame.type for frame in result.frames] == [T.OUTPUT, T.END]


def test_continue_before_the_answer() -> None:
    head = (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        f"HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\n\r\n"
    ).encode()
    result = raw_answer(head + output() + END)
    assert result.failure is None
    assert len(result.frames) == 2


def test_switching_protocols_is_refused() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    result = raw_answer(head, close=False)
    assert result.code == "RT0012"
    assert "101" in failure_of(result).message


def test_two_content_types_are_not_one() -> None:
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-type: {CONTENT_TYPE}\r\n\r\n"
    ).encode()
    assert raw_answer(head + output() + END).code in ("RT0010", "RT0012")


# --- no head -----------------------------------------------------------------------------------


def test_connection_refused() -> None:
    async def test() -> tuple[Outcome, Outcome]:
        async with listening(answers(END)) as endpoint, transport() as through:
            good = await exchange(through, endpoint.url)
            await endpoint.stop()
            return good, await exchange(through, endpoint.url)

    good, refused = run(test())
    assert good.failure is None
    failure = failure_of(refused)
    assert (failure.code, failure.verdict) == ("RT0010", Verdict.RETRY)
    assert failure.__cause__ is not None


def test_unknown_host() -> None:
    async def test() -> Outcome:
        async with transport() as through:
            return await exchange(through, "http://no-such-host.invalid:80", abort=5)

    assert run(test()).code == "RT0010"


def test_reset_before_the_head() -> None:
    async def test() -> Outcome:
        async with listening(Exchange.reset) as endpoint, transport() as through:
            return await exchange(through, endpoint.url)

    result = run(test())
    assert (result.code, failure_of(result).verdict) == ("RT0010", Verdict.RETRY)


def test_closed_before_the_head() -> None:
    async def test() -> Outcome:
        async with listening(Exchange.close) as endpoint, transport() as through:
            return await exchange(through, endpoint.url)

    assert run(test()).code == "RT0010"


async def _silent(_: Exchange) -> None:
    return


def test_silence_before_the_head() -> None:
    async def test() -> Outcome:
        async with listening(_silent) as endpoint, transport() as through:
            return await exchange(through, endpoint.url)

    result = run(test())
    failure = failure_of(result)
    assert (failure.code, failure.verdict) == ("RT0001", Verdict.RETRY)
    assert "abort timeout" in failure.message
    assert 0.9 * ABORT <= result.seconds < ABORT + 1


def test_a_head_that_drips_is_silence_too() -> None:
    """The time to the head counts as a whole: drops of it are no sign of life."""

    async def script(asked: Exchange) -> None:
        with contextlib.suppress(OSError):
            await asked.raw(b"HTTP/1.1 200 OK\r\n")
            for _ in range(100):
                await asked.raw(b"x: y\r\n")
                await asyncio.sleep(ABORT / 10)

    async def test() -> Outcome:
        async with listening(script) as endpoint, transport() as through:
            return await exchange(through, endpoint.url)

    result = run(test())
    assert result.code == "RT0001"
    assert result.seconds < ABORT + 1


def test_interim_answers_without_end() -> None:
    """A flood of them must neither be collected nor keep us busy until the abort timeout."""

    async def script(asked: Exchange) -> None:
        with contextlib.suppress(OSError):
            for _ in range(2000):
                await asked.raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    async def test() -> Outcome:
        async with listening(script) as endpoint, transport() as through:
            return await exchange(through, endpoint.url, abort=20)

    result = run(test())
    assert result.code == "RT0010"
    assert "interim" in failure_of(result).message
    assert result.seconds < 2


def test_half_a_head_is_silence_too() -> None:
    result = raw_answer(b"HTTP/1.1 200 OK\r\ncontent-ty", close=False)
    assert result.code == "RT0001"


def test_nobody_takes_the_connection() -> None:
    """A connect that takes too long is a network error: the endpoint never had the request."""

    async def test() -> Outcome:
        with socket.socket() as deaf, contextlib.ExitStack() as callers:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            address = deaf.getsockname()
            for _ in range(4):  # fill the kernel's queue: further connects get no answer
                caller = callers.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(address)
            await asyncio.sleep(0.05)
            async with transport(connect_timeout=0.2) as through:
                return await exchange(through, f"http://127.0.0.1:{address[1]}", abort=5)

    result = run(test())
    assert result.code == "RT0010"
    assert result.seconds < 2
