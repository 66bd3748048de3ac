"""Invocations for a version that their caller named, such as `git:3f2c91e`.

If a deployment carries it in its metadata, the invocation is pinned there before it starts. If none
does yet, it waits in the store as a scheduled one: until such a deployment lands, or until its time
is over, and then it fails without having begun. The newest deployment that carries it counts.

Each of these functions runs inside a unit of work. The catalogue shows a registration after its
commit, and only then looks for those that wait; one that is accepted looks at the catalogue within
its own unit. So whichever comes second sees the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from steadfaas.deployments.catalog import Deployment, ServiceRevision, preferred
from steadfaas.durations import format_duration
from steadfaas.errors import AttemptFailure, RequestError
from steadfaas.machine.invocation import END_OF_TIME, Invocation
from steadfaas.machine.status import Status
from steadfaas.runtime import lines
from steadfaas.runtime.routing import misfit, version_for
from steadfaas.runtime.work import Request, Wanted, Work
from steadfaas.store import deployments, invocations
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode

if TYPE_CHECKING:
    from steadfaas.runtime.ledger import Ledger

_PRIVATE: Final = "does not offer it to the ingress: it is private there"


# --- sentences ---------------------------------------------------------------------------------


def never_landed(version: str, waited: int) -> AttemptFailure:
    """Nobody brought the version within `waited` ms."""
    told = waited if waited < 1000 else round(waited / 1000) * 1000  # timers are not that exact
    when = f" within {format_duration(told)}" if waited > 0 else " yet"
    return AttemptFailure(
        "SF0006",
        f"no deployment that carries {version} was registered{when}; send it again after it was,"
        " or without x-steadfaas-version",
        http_code=504,
    )


def not_taken(version: str, deployment_id: str, why: str, *, status: int = 400) -> AttemptFailure:
    """The version is there, and cannot take the request; `why` is said of its deployment."""
    return AttemptFailure(
        "SF0007",
        f"the deployment '{deployment_id}', which carries {version}, {why}; send it to a version"
        " that takes it, or without x-steadfaas-version",
        http_code=status,
    )


def not_served(version: str, revision: ServiceRevision, handler: str) -> AttemptFailure:
    """The version is there, without the handler."""
    why = f"does not serve '{revision.name}/{handler}'"
    return not_taken(version, revision.deployment_id, why, status=404)


def refusal(failure: AttemptFailure) -> RequestError:
    """The same, for a request that was not accepted."""
    return RequestError(str(failure), status=failure.http_code, code=failure.code)


# --- acceptance --------------------------------------------------------------------------------


def check(ledger: Ledger, work: Work, request: Request, wanted: Wanted) -> None:
    """Raises RequestError for a request that may not wait, and would have to."""
    if wanted.until <= work.now and _carrier(ledger, work, request, wanted.version) is None:
        raise refusal(never_landed(wanted.version, 0))


def accept(ledger: Ledger, work: Work, inv: Invocation, wanted: Wanted) -> None:
    """Take a new invocation, which may have a time to start in `due_at`: pin it, or let it wait."""
    inv.wants, inv.wants_until = wanted.version, min(wanted.until, END_OF_TIME)
    if inv.due_at is None:
        inv.due_at = inv.wants_until  # and that says that no time to start was asked for
    elif inv.due_at == inv.wants_until:
        inv.wants_until -= 1
    ledger.arm(work, inv.due_at, inv.seq, 0)
    invocations.insert(work.tx, inv)
    invocations.want(work.tx, inv)
    seek(ledger, work, inv)


# --- waiting -----------------------------------------------------------------------------------


def land(ledger: Ledger, work: Work, deployment: Deployment, after: int, most: int) -> int | None:
    """A deployment came or changed: pin what waits for it, in the order of acceptance.

    Looks at `most` of those above the number `after`; returns above which to go on, None at the
    end.
    """
    waiting: list[tuple[int, str]] = []
    for version in deployment.versions:
        waiting += invocations.wanting(work.tx, version, after, most)
    page = sorted(waiting)[:most]
    for seq, service in page:
        inv = ledger.get(work, seq) if service in deployment.services else None
        if inv is not None:
            seek(ledger, work, inv)
    return page[-1][0] if len(page) == most else None


def look(ledger: Ledger, work: Work, inv: Invocation) -> None:
    """A time of one that waits has come: when it might have started, or the end of its waiting."""
    assert inv.wants is not None
    assert inv.wants_until is not None
    if seek(ledger, work, inv):
        return
    if inv.wants_until <= work.now:
        failure = never_landed(inv.wants, inv.wants_until - inv.created_at)
        ledger.change(work, inv, inv.miss(failure, work.now))
    else:
        inv.due_at = inv.wants_until
        ledger.arm(work, inv.due_at, inv.seq, 0)
        ledger.save(work, inv)


def seek(ledger: Ledger, work: Work, inv: Invocation) -> bool:
    """If the version is there: pin one that waits, and start it if it may. False: it is not."""
    assert inv.wants is not None
    revision = _carrier(ledger, work, inv, inv.wants)
    deployment = None if revision is None else ledger.catalog.deployment(revision.deployment_id)
    if revision is None or deployment is None:
        return False
    failure = _fault(inv, deployment, revision)
    begins = failure is not None or inv.due_at == inv.wants_until or (inv.due_at or 0) <= work.now
    if begins:
        ledger.disarm(work, inv)
    if failure is not None:
        ledger.change(work, inv, inv.miss(failure, work.now))
        return True
    version = version_for(inv, deployment)
    assert version is not None, "a fault otherwise"
    inv.land(deployment.id, version)
    ledger.retain(inv, revision.handlers[inv.handler].options)
    invocations.landed(work.tx, inv)
    if begins:
        lines.enter(ledger, work, inv)
    ledger.save(work, inv)
    return True


def waits(inv: Invocation) -> bool:
    """Whether it waits for a version."""
    return inv.status is Status.SCHEDULED and inv.wants is not None


def _carrier(
    ledger: Ledger, work: Work, wanted: Request | Invocation, version: str
) -> ServiceRevision | None:
    """The newest revision with this version; one that has the handler, if any does."""
    carriers = (
        revision
        for revision in ledger.catalog.carriers(wanted.service, version)
        # The catalogue learns of a removal after its commit; this transaction knows of it before.
        if deployments.retiring(work.tx, revision.deployment_id) is False
    )
    return preferred(carriers, wanted.handler)


def _fault(
    inv: Invocation, deployment: Deployment, revision: ServiceRevision
) -> AttemptFailure | None:
    """Why the version cannot take it: what the ingress would have said, had it been there."""
    assert inv.wants is not None
    handler = revision.handlers.get(inv.handler)
    if handler is None:
        return not_served(inv.wants, revision, inv.handler)
    why = misfit(inv, deployment)
    if why is None and not handler.public:
        why = _PRIVATE
    if why is None:
        request = decode(m.InputCommand, inv.journal[0][1])
        headers = {header.key: header.value for header in reversed(request.headers)}
        body = b"" if request.value is None else request.value.content
        fault = handler.check_input(headers.get("content-type"), bool(body))
        why = None if fault is None else f"does not take it: {fault}"
    return None if why is None else not_taken(inv.wants, deployment.id, why)
