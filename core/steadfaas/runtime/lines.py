"""The line before a key: who holds it, who is next, and changes of its state in between.

Exclusive handlers of one key run one after the other, in the order in which their time came. The
head of the line holds the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadfaas import ids
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.status import Kind, Status
from steadfaas.runtime.work import Work
from steadfaas.store import invocations, keys, state

if TYPE_CHECKING:
    from steadfaas.runtime.ledger import Ledger


def enter(ledger: Ledger, work: Work, inv: Invocation) -> None:
    """Its time has come: stand in line for the key, or start."""
    if inv.kind is Kind.OBJECT_EXCLUSIVE:
        place = ledger.numbers.next(work.tx)
        if not keys.join_line(work.tx, inv.service, inv.key or "", place, inv.seq):
            ledger.apply(work, inv, inv.queue())
            return
    ledger.apply(work, inv, inv.ready())


def leave(ledger: Ledger, work: Work, inv: Invocation) -> None:
    """It is over: give the key, or the place in its line, up."""
    key = inv.key or ""
    held = keys.head_of_line(work.tx, inv.service, key) == inv.seq
    keys.leave_line(work.tx, inv.service, key, inv.seq)
    if held:
        serve(ledger, work, inv.service, key)


def serve(ledger: Ledger, work: Work, service: str, key: str) -> None:
    """The key is free: changes of its state are made, the next invocation starts."""
    while (head := keys.head_of_line(work.tx, service, key)) is not None:
        heir = ledger.get(work, head)
        if heir is not None:
            if heir.status is Status.PENDING:
                ledger.change(work, heir, heir.ready())
            return
        state.make_change(work.tx, service, key, head)


def change_state(
    ledger: Ledger, work: Work, service: str, key: str, change: state.StateChange, *, workflow: bool
) -> None:
    """Replace the whole state of a key, as soon as no exclusive handler of it is under way."""
    if workflow:
        run = invocations.outline(work.tx, ids.workflow_invocation(service, key))
        busy = run is not None and run.status != Status.COMPLETED
    else:
        busy = keys.head_of_line(work.tx, service, key) is not None
    if busy:
        state.queue_change(work.tx, service, key, ledger.numbers.next(work.tx), change)
    else:
        state.replace(work.tx, service, key, change)
