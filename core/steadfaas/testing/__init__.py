"""Test handlers with the whole engine inside the test: no server, no container, no waiting.

Use the fixture `steadfaas`, or `async with Steadfaas() as steadfaas` outside pytest.
"""

from steadfaas.testing.handles import Attempt, Attempts, Deployment, Invocation, InvocationFailed
from steadfaas.testing.kit import NonDeterminism, Refused, Steadfaas, Stuck

__all__ = [
    "Attempt",
    "Attempts",
    "Deployment",
    "Invocation",
    "InvocationFailed",
    "NonDeterminism",
    "Refused",
    "Steadfaas",
    "Stuck",
]
