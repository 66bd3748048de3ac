"""When an invocation was last modified: with every transition, not only with its journal."""

from __future__ import annotations

import pytest

from steadfaas.store import invocations
from steadfaas.testing import Invocation, Steadfaas
from tests.runtime.yard import Yard, bring_to, described, operate

pytestmark = pytest.mark.asyncio


def _modified(kit: Steadfaas, sent: Invocation) -> int:
    return described(kit, sent).modified_at


def _grew(kit: Steadfaas, sent: Invocation) -> int:
    """When its journal did, which is what the next attempt is told."""
    reader = kit._host.running.store.reader
    inv = invocations.load(reader, described(kit, sent).seq)
    assert inv is not None
    return inv.grew_at


async def test_a_pause_a_moved_pin_and_a_resume(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard("v1").app)
    sent = await steadfaas.send("Job/ask", "x")
    await steadfaas.settle()
    v2 = await steadfaas.deploy(Yard("v2").app)
    began, grew = _modified(steadfaas, sent), _grew(steadfaas, sent)
    await steadfaas.advance("1 min")
    assert _modified(steadfaas, sent) == began, "time alone changes nothing"
    await operate(steadfaas, sent, "pause")
    paused = _modified(steadfaas, sent)
    assert paused == began + 60_000
    await steadfaas.advance("1 min")
    await operate(steadfaas, sent, "pause")
    assert _modified(steadfaas, sent) == paused, "it was paused already"
    await operate(steadfaas, sent, "resume", deployment=v2.id)
    assert sent.status == "suspended"
    assert _modified(steadfaas, sent) == began + 120_000
    assert _grew(steadfaas, sent) == grew, "its journal is as it was"


async def test_a_failed_attempt(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, "backing-off")
    first, attempts, grew = _modified(steadfaas, sent), len(sent.attempts), _grew(steadfaas, sent)
    while len(sent.attempts) == attempts:
        await steadfaas.advance("1 s")
    assert sent.status == "backing-off"
    assert _modified(steadfaas, sent) > first
    assert _grew(steadfaas, sent) == grew
    await operate(steadfaas, sent, "kill")
    assert described(steadfaas, sent).completed_at == _modified(steadfaas, sent)
