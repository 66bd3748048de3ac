"""What operators may do to invocations: cancel, kill, pause, resume, move, purge, repeat.

Each operation checks everything before it touches anything, within one transaction. So a refused
one has changed nothing, in the store or in memory, and a batch of them may share a transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from steadfaas import ids
from steadfaas.deployments.catalog import Catalog, Deployment
from steadfaas.deployments.retirement import being_retired
from steadfaas.errors import BadRequest, Conflict, NotFound, RequestError
from steadfaas.machine.invocation import Invocation
from steadfaas.machine.prefix import prefix
from steadfaas.machine.status import Kind, Status, kind_of
from steadfaas.runtime import events, lines
from steadfaas.runtime.ledger import Ledger
from steadfaas.runtime.routing import KEEP, LATEST, chosen, gone, misfit
from steadfaas.runtime.work import Work
from steadfaas.store import deployments, invocations
from steadfaas.store.state import StateChange
from steadfaas.wire.manifest import ServiceType

_T = TypeVar("_T")
# Journal and pin can be changed only while no attempt is open or about to open.
_AT_REST: Final = frozenset({Status.PAUSED, Status.SUSPENDED})
_NOT_BEGUN: Final = "has not started yet: wait until it has, or cancel it."
# So many operations of a batch share a unit of work: short enough that no request notices. Those
# that open attempts compete with requests for their deployment as well: of them only a few are let
# go at a time, and the next follow when these have ended, or after this time (seconds).
_AT_ONCE: Final = 25
_ATTEMPTS_AT_ONCE: Final = 4
_PATIENCE: Final = 0.1
_OPENS_ATTEMPTS: Final = frozenset({"cancel", "resume", "restart-as-new"})

Operation = Callable[[Work, bytes], object]


class Write(Protocol):
    """Runs a change as one unit of work, and gives its result after the commit."""

    def __call__(self, change: Callable[[Work], _T], /) -> Awaitable[_T]: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operation of a batch that was refused, and why."""

    id: bytes
    error: RequestError


@dataclass(slots=True)
class Tally:
    """What became of a batch: done at once, accepted for later, refused."""

    done: int
    accepted: int
    refusals: list[Refusal]

    def count(self, outcomes: list[bool | Refusal]) -> None:
        """Add what became of some of them."""
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                self.refusals.append(outcome)
            elif outcome:
                self.done += 1
            else:
                self.accepted += 1


class Operators:
    """The operations. Those on one invocation raise NotFound or Conflict, and StoreError.

    Where a method returns a bool, True means done, and False that it takes effect later.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        catalog: Catalog,
        write: Write,
        check_room: Callable[[], None],
        until_over: Callable[[list[int], float], Awaitable[None]],
    ) -> None:
        """`until_over(seqs, seconds)` waits for the open attempts of these invocations."""
        self._ledger = ledger
        self._catalog = catalog
        self._write = write
        self._check_room = check_room
        self._until_over = until_over

    # --- one invocation ------------------------------------------------------------------------

    async def cancel(self, id: bytes) -> bool:
        """Ask an invocation to stop. True: it had not started and is gone."""
        return await self._write(lambda work: self._cancel(work, id))

    async def kill(self, id: bytes) -> None:
        """End an invocation and those it waits for."""
        await self._write(lambda work: self._kill(work, id))

    async def pause(self, id: bytes) -> bool:
        """Stop trying until it is resumed. False: soon, when an open attempt has ended."""
        return await self._write(lambda work: self._pause(work, id))

    async def resume(self, id: bytes, *, deployment: str = KEEP, actor: str = "") -> None:
        """Try a paused, retrying or suspended invocation now.

        `deployment` is where: `keep`, `latest` or an id. Moving it is possible only while it is
        paused or suspended; the target must serve its handler and speak its protocol version, else
        BadRequest, and must not be on its way out, else Conflict. Who moved it (`actor`) is
        recorded.
        """
        await self._write(lambda work: self._resume(work, id, deployment, actor))

    async def check_resume(self, id: bytes, *, deployment: str = KEEP) -> None:
        """Raise what `resume` would raise now, and do nothing else."""
        await self._write(lambda work: self._resumable(work, id, deployment))

    async def purge(self, id: bytes) -> None:
        """Forget a completed invocation, its result included."""
        await self._write(lambda work: self._purge(work, id))

    async def purge_journal(self, id: bytes) -> None:
        """Forget the journal of a completed invocation; its result stays."""
        await self._write(lambda work: self._purge_journal(work, id))

    async def restart_as_new(self, id: bytes, *, last: int = 0, deployment: str = "") -> bytes:
        """Run a completed invocation again, as a new one; returns its id.

        It begins with the journal up to entry `last`: 0 is the input alone. Then it goes to the
        newest deployment; with more, `deployment` says where (`latest` if it is empty). Raises
        RequestError: 410 without a journal, 422 for a workflow, BadRequest for an entry nobody can
        begin from or a deployment that does not fit, Conflict for one that is being retired;
        Overloaded.
        """
        self._check_room()
        return await self._write(lambda work: self._restart(work, id, last, deployment))

    async def change_state(self, service: str, key: str, change: StateChange) -> None:
        """Replace the whole state of a key, behind the exclusive handlers that use or await it.

        Raises NotFound for an unknown service, BadRequest for one without state.
        """
        revision = self._catalog.latest(service)
        if revision is None:
            raise NotFound(f"The requested service '{service}' does not exist")
        if revision.type is ServiceType.SERVICE:
            raise BadRequest("Cannot modify state for service type Service")
        workflow = revision.type is ServiceType.WORKFLOW
        await self._write(
            lambda work: lines.change_state(
                self._ledger, work, service, key, change, workflow=workflow
            )
        )

    # --- many invocations ----------------------------------------------------------------------

    async def batch(
        self, operation: str, chosen: Iterable[bytes], *, deployment: str = "", actor: str = ""
    ) -> Tally:
        """Do one operation to each of these, in their order; requests go on in between.

        `operation` is `cancel`, `kill`, `pause`, `resume`, `purge`, `purge-journal` or
        `restart-as-new`. Where to resume, `deployment` says; what is restarted goes to the latest
        one, and BadRequest is raised before anything happens if another is asked for.
        """
        if operation == "restart-as-new":
            _check_restart_of_input(deployment, "request field")
        operate = self._operation(operation, deployment, actor)
        tally = Tally(0, 0, [])
        todo = list(chosen)
        size = _ATTEMPTS_AT_ONCE if operation in _OPENS_ATTEMPTS else _AT_ONCE
        for start in range(0, len(todo), size):
            group = todo[start : start + size]
            outcomes, opened = await self._write(partial(_each, operate=operate, group=group))
            tally.count(outcomes)
            await self._until_over(opened, _PATIENCE)
        return tally

    def _operation(self, operation: str, deployment: str, actor: str) -> Operation:
        table: dict[str, Operation] = {
            "cancel": self._cancel,
            "kill": self._kill,
            "pause": self._pause,
            "resume": lambda work, id: self._resume(work, id, deployment or KEEP, actor),
            "purge": self._purge,
            "purge-journal": self._purge_journal,
            "restart-as-new": lambda work, id: self._restart(work, id, 0, deployment),
        }
        return table[operation]

    # --- within a unit of work -----------------------------------------------------------------

    def _cancel(self, work: Work, id: bytes) -> bool:
        inv = self._unfinished(work, id, "was already completed.")
        self._ledger.cancel(work, inv)
        return inv.status is Status.COMPLETED

    def _kill(self, work: Work, id: bytes) -> None:
        self._ledger.kill(work, self._unfinished(work, id, "was already completed."))

    def _pause(self, work: Work, id: bytes) -> bool:
        inv = self._unfinished(work, id, "is not running, cannot be paused.")
        if inv.status in (Status.SCHEDULED, Status.PENDING):
            raise Conflict(_sentence(id, "is not running, cannot be paused."))
        # One that is retried is paused at once, too, but Restate's API says of it: soon.
        retried = inv.status is Status.BACKING_OFF
        self._ledger.pause(work, inv)
        return inv.status is Status.PAUSED and not retried

    def _resume(self, work: Work, id: bytes, choice: str, actor: str) -> None:
        inv, target = self._resumable(work, id, choice)
        if target is not None and target.id != inv.deployment:
            came_from = inv.deployment
            assert came_from is not None, "only what is pinned can be moved"
            work.touch(inv)
            inv.move_pin(target.id)
            events.pin_moved(work, inv, came_from, actor)
        self._ledger.resume(work, inv)

    def _resumable(
        self, work: Work, id: bytes, choice: str
    ) -> tuple[Invocation, Deployment | None]:
        """The invocation, and where it would be moved. Raises if it cannot be resumed there."""
        inv = self._unfinished(work, id, "is completed, cannot be resumed.")
        if inv.status in (Status.SCHEDULED, Status.PENDING):
            raise RequestError(_sentence(id, _NOT_BEGUN), status=425)
        if choice == KEEP:
            return inv, None
        if inv.deployment is None and choice == LATEST and inv.status in _AT_REST:
            return inv, None  # that is where it goes by itself
        if inv.deployment is None or inv.status not in _AT_REST:
            raise Conflict(
                _sentence(
                    inv.id,
                    "is still running or the deployment id is not pinned yet, deployment id cannot"
                    " be changed. Pause it first, and resume it once it is paused.",
                )
            )
        return inv, self._target(work, inv, choice)

    def _target(self, work: Work, inv: Invocation, choice: str) -> Deployment:
        """The deployment that can go on with an invocation. Raises BadRequest if it cannot,
        Conflict if it is being retired."""
        target = chosen(self._catalog, inv, choice)
        # The catalogue learns of a removal or a retirement after its commit; this transaction knows
        # of it before.
        retiring = deployments.retiring(work.tx, target.id)
        if retiring is None:
            raise gone(target.id)
        if retiring:
            raise being_retired(target.id)
        why = misfit(inv, target)
        if why is not None:
            raise BadRequest(f"the deployment '{target.id}' {why}")
        return target

    def _purge(self, work: Work, id: bytes) -> None:
        self._ledger.forget(work, self._completed(work, id, "is not yet completed."))

    def _purge_journal(self, work: Work, id: bytes) -> None:
        invocations.forget_journal(work.tx, self._completed(work, id, "is not yet completed.").seq)

    def _restart(self, work: Work, id: bytes, last: int, choice: str) -> bytes:
        self._check_room()
        inv = self._completed(work, id, "is still running.", not_begun=425)
        if inv.kind is Kind.WORKFLOW_RUN:
            raise RequestError(
                _sentence(id, "is a workflow, which runs once; it cannot be restarted."), status=422
            )
        if not inv.journal:
            raise RequestError(
                _sentence(id, "cannot be restarted: its journal is not kept any more."), status=410
            )
        entries = prefix(inv.journal, last)
        if last:
            target = self._target(work, inv, choice or LATEST)
            return self._ledger.repeat(work, inv, entries, target.id)
        _check_restart_of_input(choice, "query parameter")
        revision, handler = self._catalog.handler(inv.service, inv.handler)
        if kind_of(revision.type, handler.kind) is not inv.kind:
            raise Conflict(
                _sentence(
                    id, f"cannot be restarted: '{_handler(inv)}' is another kind of handler now"
                )
            )
        return self._ledger.repeat(work, inv, entries, None)

    def _unfinished(self, work: Work, id: bytes, refusal: str) -> Invocation:
        inv = self._get(work, id)
        if inv.status is Status.COMPLETED:
            raise Conflict(_sentence(id, refusal))
        return inv

    def _completed(
        self, work: Work, id: bytes, refusal: str, *, not_begun: int = 409
    ) -> Invocation:
        inv = self._get(work, id)
        if inv.status in (Status.SCHEDULED, Status.PENDING):
            raise RequestError(
                _sentence(id, _NOT_BEGUN if not_begun == 425 else refusal), status=not_begun
            )
        if inv.status is not Status.COMPLETED:
            raise Conflict(_sentence(id, refusal))
        return inv

    def _get(self, work: Work, id: bytes) -> Invocation:
        found = invocations.outline(work.tx, id)
        inv = None if found is None else self._ledger.peek(work, found.seq)
        if inv is None:
            raise invocations.unknown(id)
        return inv


def _each(
    work: Work, *, operate: Operation, group: list[bytes]
) -> tuple[list[bool | Refusal], list[int]]:
    """What became of each, and which of them have an attempt under way now."""
    outcomes: list[bool | Refusal] = []
    for id in group:
        try:
            outcomes.append(operate(work, id) is not False)
        except RequestError as refused:
            outcomes.append(Refusal(id, refused))
    return outcomes, [inv.seq for inv, _ in work.opened]


def _check_restart_of_input(choice: str, place: str) -> None:
    """Raise BadRequest unless it goes to the latest deployment, as what has no journal does."""
    if choice not in ("", LATEST):
        raise BadRequest(
            f"the {place} 'deployment' is invalid: without 'from', only the input is kept, and the"
            " new invocation goes to the latest deployment"
        )


def _sentence(id: bytes, what: str) -> str:
    return f"The invocation '{ids.format_invocation(id)}' {what}"


def _handler(inv: Invocation) -> str:
    return f"{inv.service}/{inv.handler}"
