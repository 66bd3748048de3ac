"""The kit as a tool: helpful errors, use without pytest, requests as a client makes them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import pytest
import restate

from steadfaas.errors import DiscoveryError
from steadfaas.testing import InvocationFailed, Refused, Steadfaas
from tests.kit.shop import app, checkout

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("target", ["Checkout", "", "/", "Checkout/", "/place", "//"])
async def test_a_target_that_is_none(steadfaas: Steadfaas, target: str) -> None:
    await steadfaas.deploy(checkout("v1"))
    with pytest.raises(ValueError, match="write 'Service/handler' or 'Object/key/handler'"):
        await steadfaas.send(target)


async def test_an_unknown_service_or_handler(steadfaas: Steadfaas) -> None:
    with pytest.raises(Refused, match=r"Chekout.*deployed: nothing"):
        await steadfaas.send("Chekout/place")
    await steadfaas.deploy(checkout("v1"))
    with pytest.raises(Refused, match=r"Chekout.*deployed: Checkout") as caught:
        await steadfaas.call("Chekout/place")
    assert caught.value.status == 404
    with pytest.raises(Refused, match="plaice"):
        await steadfaas.send("Checkout/plaice", {})


async def test_input_that_a_handler_does_not_take(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    with pytest.raises(Refused, match=r"400: .*Content-type"):
        await steadfaas.send("Checkout/place", b"bytes")


async def wsgi(environ: Any, start_response: Any) -> None:
    """Of two arguments, as no ASGI app is."""


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Answers nothing."""


async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
    """Answers everything with 404."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"no such page"})


async def test_deploying_what_is_no_app(steadfaas: Steadfaas) -> None:
    for thing in (restate.Service("S"), [restate.Service("S")], 42, None):
        with pytest.raises((TypeError, DiscoveryError), match=r"restate\.app\(\[\.\.\.\]\)"):
            await steadfaas.deploy(thing)  # type: ignore[arg-type]
    for wrong in (wsgi, silent, elsewhere):
        with pytest.raises(DiscoveryError, match=r"restate\.app\(\[\.\.\.\]\)"):
            await steadfaas.deploy(wrong)  # type: ignore[arg-type]


async def test_a_removed_handler_is_refused_as_in_production(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    service = restate.Service("Checkout")

    @service.handler()
    async def other(ctx: restate.Context) -> None: ...

    with pytest.raises(DiscoveryError, match="place"):
        await steadfaas.deploy(app(service))
    await steadfaas.deploy(app(service), breaking=True)


async def test_an_app_below_a_path(steadfaas: Steadfaas) -> None:
    inner: Any = checkout("v1")

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        handler = inner if scope["path"].startswith("/restate/v1/") else elsewhere
        await handler(scope, receive, send)

    with pytest.raises(DiscoveryError, match="404"):
        await steadfaas.deploy(mounted)
    v1 = await steadfaas.deploy(mounted, path="/restate/v1")
    steadfaas.fail(v1)
    assert await steadfaas.call("Checkout/place", {}) == {"by": "v1"}


async def test_a_failure_is_raised_with_its_code(steadfaas: Steadfaas) -> None:
    service = restate.Service("Picky")

    @service.handler()
    async def ask(ctx: restate.Context) -> None:
        raise restate.TerminalError("sold out", 410)

    await steadfaas.deploy(app(service))
    with pytest.raises(InvocationFailed, match="410: sold out") as caught:
        await steadfaas.call("Picky/ask")
    assert (caught.value.code, caught.value.message) == (410, "sold out")


async def test_any_request_to_the_ingress(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(checkout("v1"))
    reply = await steadfaas.request("GET", "restate/health")
    assert (reply.status, json.loads(reply.body)) == (200, {"services": ["Checkout"]})
    reply = await steadfaas.request("GET", "/Nowhere/land")
    assert reply.status == 404


async def test_handlers_may_act_but_not_wait_for_themselves(steadfaas: Steadfaas) -> None:
    service = restate.Service("Inside")

    @service.handler()
    async def answered(ctx: restate.Context) -> str:
        id, future = ctx.awakeable(type_hint=str)

        async def ask() -> None:
            await steadfaas.resolve(id, "quick")  # as an outside system would, while this runs

        await ctx.run_typed("ask", ask)
        return await future

    @service.handler()
    async def waits(ctx: restate.Context) -> str:
        try:
            await steadfaas.advance("1 day")
        except RuntimeError as error:
            return str(error)
        return "?"

    await steadfaas.deploy(app(service))
    assert await steadfaas.call("Inside/answered") == "quick"
    assert "would wait for the handler itself" in await steadfaas.call("Inside/waits")


async def test_lengths_of_time(steadfaas: Steadfaas) -> None:
    with pytest.raises(ValueError, match="'3' has no unit"):
        await steadfaas.advance("3")
    start = steadfaas.now()
    await steadfaas.advance("PT1H")
    await steadfaas.advance("1h 30m")
    assert steadfaas.now() == start + 9_000_000


async def test_the_database_is_removed() -> None:
    async with Steadfaas(seed="removed") as kit:
        await kit.deploy(checkout("v1"))
        await kit.crash()
        folder = kit._host._folder
        assert folder is not None
        assert folder.exists()
        assert folder.parent == Path(tempfile.gettempdir())
    assert not folder.exists()
    with pytest.raises(RuntimeError, match="ended with its test"):
        await kit.send("Checkout/place", {})


async def test_one_that_is_never_used_makes_nothing() -> None:
    kit = Steadfaas()
    assert kit._host._folder is None
    with pytest.raises(RuntimeError, match="nothing was deployed or sent yet"):
        kit.state("Object/key")
    kit.close()
    kit.close()


def outside(code: str) -> str:
    """What a program prints that uses the kit without pytest."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


async def test_without_pytest() -> None:
    printed = await asyncio.to_thread(
        outside,
        """
        import asyncio
        from datetime import timedelta
        import restate
        from steadfaas.testing import Steadfaas

        greeter = restate.Service("Greeter")

        @greeter.handler()
        async def greet(ctx: restate.Context, name: str) -> str:
            await ctx.sleep(timedelta(days=365))
            return f"Hello {name}"

        async def main() -> None:
            async with Steadfaas() as steadfaas:
                await steadfaas.deploy(restate.app([greeter]))
                print(await steadfaas.call("Greeter/greet", "Ada"))
                await steadfaas.send("Greeter/greet", "Bob")  # left behind

        asyncio.run(main())

        kit = Steadfaas()
        try:
            kit.send("Greeter/greet").send(None)
        except RuntimeError as error:
            print(error)
        asyncio.run(kit.deploy(restate.app([greeter])))
        try:
            asyncio.run(kit.call("Greeter/greet", "Ada"))
        except RuntimeError as error:
            print(error)
        kit.close()
    """,
    )
    lines = printed.splitlines()
    assert lines[0] == "Hello Ada"
    assert "needs a running asyncio event loop" in lines[1]
    assert "belongs to another event loop" in lines[2]


async def test_a_url_is_called_over_http(steadfaas: Steadfaas) -> None:
    """With the same faults, by address: two ports of one host are two deployments."""
    async with served(checkout("v1")) as first, served(checkout("v2")) as second:
        v1 = await steadfaas.deploy(first)
        order = await steadfaas.send("Checkout/place", {})
        await steadfaas.advance("1 day")
        v2 = await steadfaas.deploy(second)
        assert v1 != v2
        steadfaas.fail(v1, attempts=3)
        steadfaas.cut(v2, after=1)
        with pytest.raises(ValueError, match="is not called in this process"):
            steadfaas.replace(v1, checkout("v3"))
        await steadfaas.send("Checkout/place", {})
        assert await order.result() == {"by": "v1"}
        assert order.attempts.outcomes.count("RT0023") == 1
        assert await steadfaas.sent[1].result() == {"by": "v2"}
        assert steadfaas.sent[1].attempts.outcomes[0] == "RT0010"
        slept = steadfaas.sent[1].attempts[3].started_at - steadfaas.sent[1].attempts[2].started_at
        assert slept == 2 * 86_400_000, "the endpoint's clock is not the test's"


@contextlib.asynccontextmanager
async def served(app: Any) -> Any:
    """The address of an app on a loopback port."""
    import uvicorn
    from uvicorn.server import ServerState

    config: Any = uvicorn.Config(app, interface="asgi3", lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}),
        "127.0.0.1",
        0,
    )
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
