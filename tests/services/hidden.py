"""A service that only other handlers may call."""

from __future__ import annotations

import restate

hidden = restate.Service("Hidden", ingress_private=True)


@hidden.handler()
async def secret(ctx: restate.Context, name: str) -> str:
    """Nobody outside sees this."""
    return f"psst, {name}"
