"""Keeps a deployment from Vercel's retention policy, by an alias that leads to it.

Deployments that a custom alias leads to are not removed
(vercel.com/docs/deployment-retention#exceptions-to-the-retention-policy). Nobody calls the alias:
requests go to the deployment's own URL all the same.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from steadfaas_adapters.vercel.target import SUFFIX

if TYPE_CHECKING:
    from steadfaas_adapters.vercel.api import Vercel

_NAME: Final = "steadfaas-hold-"
_DIGITS: Final = 24


def alias_of(deployment_id: str) -> str:
    """The host that holds a deployment: its own, and always the same."""
    digest = hashlib.sha256(deployment_id.encode()).hexdigest()[:_DIGITS]
    return f"{_NAME}{digest}{SUFFIX}"


async def take(api: Vercel, deployment_id: str) -> str:
    """Hold it, if that is not done yet; what was done, in a sentence."""
    alias = alias_of(deployment_id)
    if alias not in await api.aliases(deployment_id):
        await api.assign_alias(deployment_id, alias)
    return (
        f"the alias {alias} leads to {deployment_id}, so Vercel's retention policy keeps it; leave"
        " the alias until it is released"
    )


async def drop(api: Vercel, deployment_id: str) -> None:
    """Hold it no longer, if it is held."""
    if alias_of(deployment_id) in await api.aliases(deployment_id):
        await api.remove_alias(alias_of(deployment_id))
