"""Test handlers with the whole engine inside the test: no server, no container, no waiting.

Use the fixture `steadfaas`, or `async with Steadfaas() as steadfaas` outside pytest.

Names are loaded on first use: pytest imports the plugin beside this file in every run of an
environment that has steadfaas, and such a run must not pay for an engine that it does not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from steadfaas.deployments.drain import Drain, DrainState
    from steadfaas.runtime.check import Findings
    from steadfaas.testing.asgi import AsgiApp
    from steadfaas.testing.engine import EngineDidNotStart, Sent, SteadfaasEngine
    from steadfaas.testing.failures import InvocationFailed, NonDeterminism, Refused, Stuck
    from steadfaas.testing.handles import Attempt, Attempts, Deployment, Invocation
    from steadfaas.testing.kit import Steadfaas
    from steadfaas.testing.local_lambda import LocalLambda
    from steadfaas.testing.stories import JournalEntry
    from steadfaas.testing.vercel import FakeVercel

__all__ = [
    "AsgiApp",
    "Attempt",
    "Attempts",
    "Deployment",
    "Drain",
    "DrainState",
    "EngineDidNotStart",
    "FakeVercel",
    "Findings",
    "Invocation",
    "InvocationFailed",
    "JournalEntry",
    "LocalLambda",
    "NonDeterminism",
    "Refused",
    "Sent",
    "Steadfaas",
    "SteadfaasEngine",
    "Stuck",
]

_HOMES: Final = {
    "deployments.drain": ("Drain", "DrainState"),
    "runtime.check": ("Findings",),
    "testing.asgi": ("AsgiApp",),
    "testing.engine": ("EngineDidNotStart", "Sent", "SteadfaasEngine"),
    "testing.failures": ("InvocationFailed", "NonDeterminism", "Refused", "Stuck"),
    "testing.handles": ("Attempt", "Attempts", "Deployment", "Invocation"),
    "testing.kit": ("Steadfaas",),
    "testing.local_lambda": ("LocalLambda",),
    "testing.stories": ("JournalEntry",),
    "testing.vercel": ("FakeVercel",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"steadfaas.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
