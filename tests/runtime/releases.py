"""Versions of a few handlers that tell which version they are, and who ran in which order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import restate
from restate.serde import BytesSerde

from steadfaas.store import invocations
from steadfaas.testing import Deployment, Invocation, Steadfaas
from tests.runtime.in_kit import Watched

V1, V2, V3 = "git:1111111", "git:2222222", "git:3333333"
VERSION = "x-steadfaas-version"
NEVER = (
    "[SF0006] no deployment that carries git:2222222 was registered within 10m; send it again after"
    " it was, or without x-steadfaas-version"
)


class Release:
    """One version. `extra` adds the handler `Shop/extra`; `sells=False` takes `Shop/buy` away;
    `keyed` makes the shop an object; `private` hides it; `raw` lets `Shop/buy` take any bytes;
    `output` is the content type that it gives."""

    def __init__(
        self,
        word: str,
        *,
        ran: list[Any] | None = None,
        extra: bool = False,
        sells: bool = True,
        keyed: bool = False,
        private: bool = False,
        raw: bool = False,
        output: str | None = None,
    ) -> None:
        self.word = word
        self.ran = [] if ran is None else ran  # (version, what)
        kind = restate.VirtualObject if keyed else restate.Service
        shop = cast(restate.Service, kind("Shop", ingress_private=private))
        cart = restate.VirtualObject("Cart")
        flow = restate.Workflow("Flow")
        options: dict[str, Any] = {"accept": "*/*", "input_serde": BytesSerde()} if raw else {}
        if output is not None:
            options["content_type"] = output

        if sells:

            @shop.handler("buy", **options)
            async def buy(ctx: Any, item: Any) -> str:
                self.ran.append((word, item))
                return word

        @shop.handler()
        async def nap(ctx: Any) -> str:
            await ctx.sleep(timedelta(hours=1))
            return word

        @shop.handler()
        async def order(ctx: restate.Context, item: str) -> str:
            """Calls on, as handlers do: without any version."""
            return await ctx.object_call(add, key="c", arg=item)

        if extra:

            @shop.handler("extra")
            async def more(ctx: Any) -> str:
                return f"extra {word}"

        @cart.handler()
        async def add(ctx: restate.ObjectContext, item: str) -> str:
            await ctx.sleep(timedelta(seconds=10))
            self.ran.append((word, item))
            return word

        @flow.main()
        async def run(ctx: restate.WorkflowContext) -> str:
            self.ran.append((word, "run"))
            return word

        self.app = Watched(shop, cart, flow)


class Other:
    """A deployment of another service."""

    def __init__(self) -> None:
        other = restate.Service("Other")

        @other.handler()
        async def work(ctx: restate.Context) -> str:
            return "other"

        self.app = Watched(other)


async def deploy(
    kit: Steadfaas, release: Release | Other, version: str | None = None, **more: Any
) -> Deployment:
    """Register a version that carries an external id, and what all have in common."""
    key, _, value = (version or "").partition(":")
    metadata = {key: value, "team": "web"} if version else {}
    return await kit.deploy(release.app, metadata=metadata, **more)


def described(kit: Steadfaas, one: Invocation) -> invocations.Description:
    """What is stored of an invocation."""
    found = invocations.describe(kit._host.running.store.reader, one.id)
    assert found is not None
    return found
