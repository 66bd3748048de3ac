"""Forgets what need not be kept any more, in small steps between other work."""

from __future__ import annotations

from typing import Final

from steadfaas.machine.status import Kind
from steadfaas.runtime.work import Work
from steadfaas.store import invocations, keys, schedule

# How many records one transaction removes: small enough that no request notices.
STEP: Final = 100


def sweep(work: Work) -> None:
    """Forget up to STEP records and STEP journals."""
    expired = schedule.expired(work.tx, work.now, STEP)
    for record in expired:
        invocations.forget(work.tx, record.seq)
        if record.kind == Kind.WORKFLOW_RUN:
            keys.clear_workflow(work.tx, record.service, record.key or "")
    journals = schedule.expired_journals(work.tx, work.now, STEP)
    for seq in journals:
        invocations.forget_journal(work.tx, seq)
        schedule.forget_journal(work.tx, seq)
