"""What a suspension waits for: whether it may, whether it has come, what wakes it.

A suspended handler names completions and signals; the first of them to come wakes it. Signal 1 is
the cancel, which may come again and again; all others come once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from steadfaas.errors import ProtocolViolation
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode
from steadfaas.wire.messages import MessageType as T

if TYPE_CHECKING:
    from steadfaas.machine.invocation import Invocation

CANCEL_SIGNAL: Final = 1


def check(inv: Invocation, awaits: m.Suspension) -> None:
    """Raises ProtocolViolation if nothing could ever end this wait."""
    completions = awaits.waiting_completions
    if not (completions or awaits.waiting_signals or awaits.waiting_named_signals):
        raise ProtocolViolation("the suspension waits for nothing")
    for completion in completions:
        if completion not in inv.pending and completion not in inv.notified:
            raise ProtocolViolation(
                f"the suspension waits for completion id {completion}, which was never issued"
            )
    if awaits.waiting_named_signals or _other_signals(awaits):
        return
    if completions and all(
        inv.pending.get(completion, (0, 0))[0] == T.RUN_COMPLETION for completion in completions
    ):
        raise ProtocolViolation(
            "the suspension waits only for run steps whose results were not proposed"
        )


def has_come(inv: Invocation, awaits: m.Suspension) -> bool:
    """Whether something that is waited for came since the attempt was sent its journal.

    What the journal showed it does not count: a handler that waits for that again would wait for it
    for ever. A cancel that was shown is spent, and the next one is waited for.
    """
    shown, never = inv.opened_with, -1
    return (
        any(inv.notified.get(id, never) >= shown for id in awaits.waiting_completions)
        or any(inv.signals.get(index, never) >= shown for index in awaits.waiting_signals)
        or any(inv.signals.get(name, never) >= shown for name in awaits.waiting_named_signals)
    )


def may_come(inv: Invocation, awaits: m.Suspension) -> bool:
    """Whether something that is waited for has not come yet, other than a cancel."""
    signals = _other_signals(awaits)
    if not (awaits.waiting_completions or signals or awaits.waiting_named_signals):
        return True  # it waits to be cancelled, and says so
    return (
        any(id not in inv.notified for id in awaits.waiting_completions)
        or any(index not in inv.signals for index in signals)
        or any(name not in inv.signals for name in awaits.waiting_named_signals)
    )


def wakes_up(inv: Invocation, awaits: m.Suspension) -> tuple[int | None, bool]:
    """When time wakes it (ms since the epoch; None: it does not), and whether only time does."""
    to_come = [inv.pending[id] for id in awaits.waiting_completions if id in inv.pending]
    sleeps = [wakes_at for by, wakes_at in to_come if by == T.SLEEP_COMPLETION]
    if not sleeps:
        return None, False
    others = len(sleeps) < len(to_come) or awaits.waiting_named_signals or _other_signals(awaits)
    return min(sleeps), not others


def is_for(payload: bytes | None, completion: int | None, signal: int | str | None) -> bool:
    """Whether a wait (the payload of a Suspension) ends with this completion or signal."""
    awaits = decode(m.Suspension, payload or b"")
    if completion is not None:
        return completion in awaits.waiting_completions
    if isinstance(signal, str):
        return signal in awaits.waiting_named_signals
    return signal in awaits.waiting_signals


def _other_signals(awaits: m.Suspension) -> list[int]:
    return [index for index in awaits.waiting_signals if index != CANCEL_SIGNAL]
