"""An engine with a few services behind its ingress, and a client that sends bytes as given."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import restate
from restate.serde import BytesSerde

from tests.runtime.in_process import LOOPBACK, World, code, world


class Services:
    """What is served: a plain service, an object, a workflow, a private service."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.runs = 0
        self.plain = plain = restate.Service("Basic")
        self.object = thing = restate.VirtualObject("Counter")
        self.flow = flow = restate.Workflow("Flow")
        self.hidden = hidden = restate.Service("Hidden", ingress_private=True)
        raw: Any = {"input_serde": BytesSerde(), "output_serde": BytesSerde()}

        @plain.handler()
        async def greet(ctx: restate.Context, name: str) -> str:
            self.runs += 1
            return f"Hello {name}"

        @plain.handler("echo", accept="*/*", content_type="image/png", **raw)
        async def echo(ctx: restate.Context, body: bytes) -> bytes:
            return body

        @plain.handler()
        async def nothing(ctx: restate.Context) -> None:
            self.runs += 1

        @plain.handler()
        async def headers(ctx: restate.Context) -> dict[str, str]:
            return dict(ctx.request().headers)

        @plain.handler()
        async def fail(ctx: restate.Context, code: int) -> None:
            raise restate.TerminalError("as you wish: ö\r\nx: y", status_code=code)

        @plain.handler()
        async def wait(ctx: restate.Context) -> str:
            self.runs += 1
            await self.gate.wait()
            return "waited"

        @plain.handler()
        async def big(ctx: restate.Context, size: int) -> str:
            return "x" * size

        @plain.handler()
        async def sleep(ctx: restate.Context, milliseconds: int) -> int:
            await ctx.sleep(timedelta(milliseconds=milliseconds))
            return milliseconds

        @thing.handler()
        async def add(ctx: restate.ObjectContext, value: int) -> int:
            total = (await ctx.get("total", type_hint=int) or 0) + value
            ctx.set("total", total)
            return total

        @thing.handler(kind="shared")
        async def key(ctx: restate.ObjectSharedContext) -> str:
            return ctx.key()

        @flow.main()
        async def run(ctx: restate.WorkflowContext, who: str) -> str:
            return await ctx.promise("p", type_hint=str)

        @flow.handler()
        async def keep(ctx: restate.WorkflowSharedContext, word: str) -> None:
            await ctx.promise("p", type_hint=str).resolve(word)

        @hidden.handler()
        async def secret(ctx: restate.Context) -> str:
            return "psst"

        self.all = (plain, thing, flow, hidden)


@contextlib.asynccontextmanager
async def ingress(tmp_path: Path, **fields: Any) -> AsyncIterator[tuple[World, Services]]:
    """A running engine with the services registered."""
    services = Services()
    async with code(*services.all) as endpoint, world(tmp_path, endpoint, **fields) as here:
        yield here, services


class Wire:
    """One TCP connection to the ingress."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.writer.write(data)

    def reset(self) -> None:
        """Go away without a word: the next packet is answered with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers with lower-case names, body."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = text.rstrip("\r\n").split("\r\n")
        version, status, *_ = line.split(" ")
        assert version == "HTTP/1.1"
        headers = {}
        for field in fields:
            name, colon, value = field.partition(": ")
            assert colon, f"not a header: {field!r}"
            assert name.lower() not in headers, f"{name} comes twice"
            headers[name.lower()] = value
        length = 0 if head or int(status) < 200 else int(headers.get("content-length", "0"))
        return int(status), headers, await self.reader.readexactly(length)

    async def ended(self) -> bool:
        """Whether the other side closes without another byte."""
        try:
            return await asyncio.wait_for(self.reader.read(1), 2) == b""
        except ConnectionResetError:
            return True


@contextlib.asynccontextmanager
async def wire(here: World) -> AsyncIterator[Wire]:
    """A new connection, closed at the end."""
    reader, writer = await asyncio.open_connection(LOOPBACK, here.ingress_port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def request(
    target: str | bytes, body: bytes = b"", *more: str, method: str = "POST", version: str = "1.1"
) -> bytes:
    """The bytes of a request; JSON, if there is a body and no other header line says what it is."""
    target = target.encode() if isinstance(target, str) else target
    lines = [b"%s %s HTTP/%s" % (method.encode(), target, version.encode()), b"Host: test"]
    if body and not any(line.lower().startswith("content-type") for line in more):
        lines.append(b"Content-Type: application/json")
    if body or method == "POST":
        lines.append(b"Content-Length: %d" % len(body))
    lines += [line.encode() for line in more]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
