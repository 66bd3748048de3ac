"""Carrying a plan out: each step by itself, so that one that fails leaves the others done.

Every step may be repeated, and two may do it at once: what the server finds done it leaves as it
is. So a plan that was broken off anywhere is finished by making it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.rollout.gather import AT_ONCE
from steadfaas.cli.rollout.retire import retire
from steadfaas.cli.rollout.server import Managed
from steadfaas.rollout.entry_steps import notes_of
from steadfaas.rollout.judged import Trouble
from steadfaas.rollout.plan import Action, DeploymentStep, Plan, RetireStep, ServiceStep

if TYPE_CHECKING:
    from steadfaas.config import Declared, DeclaredDeployment

_S = TypeVar("_S")

_DOES_SOMETHING: Final = frozenset({Action.REGISTER, Action.PROMOTE, Action.UPDATE})


@dataclass(slots=True)
class Done:
    """What became of one step. `error` is why it failed, `stays` why an old version did not go."""

    what: str
    name: str
    subject: str
    error: CommandError | None = None
    details: str = ""
    stays: str = ""

    @property
    def trouble(self) -> Trouble | None:
        """Why it failed, as a plan says it."""
        if self.error is None:
            return None
        later = self.error.exit_code is ExitCode.TRY_LATER
        return Trouble(self.error.message, later=later, code=self.error.code)


@dataclass(slots=True)
class Outcome:
    """What became of a plan."""

    done: list[Done] = field(default_factory=list)

    @property
    def failed(self) -> list[Done]:
        """The steps that did not work."""
        return [each for each in self.done if each.error is not None]

    def exit_code(self, plan: Plan) -> ExitCode:
        """1 if a step was refused for good, else 75 if one was only late, else 0."""
        codes = {each.error.exit_code for each in self.failed if each.error is not None}
        if codes - {ExitCode.TRY_LATER}:
            return ExitCode.REFUSED
        return ExitCode.TRY_LATER if codes or plan.late else ExitCode.DONE


Tell = Callable[[Done], None]


def carry_out(
    declared: Declared,
    plan: Plan,
    server: Managed,
    *,
    retiring: bool = True,
    tell: Tell | None = None,
) -> Outcome:
    """Do what a plan says: versions first, then settings of their services, then what goes.

    `tell` hears of each step when it is done.
    """
    entries = {entry.name: entry for entry in declared.deployments}
    steps = _steps(entries, plan, server, retiring)
    return Outcome(list(_shown(steps, tell)))


def retire_all(plan: Plan, server: Managed, *, tell: Tell | None = None) -> list[Done]:
    """Retire the old versions that a plan lets go."""
    return list(_shown(_retired(plan, server), tell))


def _shown(steps: Iterator[Done], tell: Tell | None) -> Iterator[Done]:
    for done in steps:
        if tell is not None:
            tell(done)
        yield done


def _steps(
    entries: dict[str, DeclaredDeployment], plan: Plan, server: Managed, retiring: bool
) -> Iterator[Done]:
    active = [step for step in plan.deployments if step.action in _DOES_SOMETHING]
    failed: dict[str, CommandError] = {}
    deployed = _together(lambda step: _deploy(entries[step.name], step, server), active)
    for step, done in zip(active, deployed, strict=True):
        if done.error is not None:
            failed |= dict.fromkeys(step.services, done.error)
        yield done
    for settings in plan.services:
        if settings.action is Action.UPDATE:
            yield _configure(settings, server, failed.get(settings.service))
    if retiring:
        yield from _retired(plan, server)


def _retired(plan: Plan, server: Managed) -> Iterator[Done]:
    return _together(lambda step: _retire(step, server), plan.retire)


def _together(work: Callable[[_S], Done], steps: Sequence[_S]) -> Iterator[Done]:
    """Do steps, some at the same time; gives what became of each in their order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(work, steps)


def _deploy(entry: DeclaredDeployment, step: DeploymentStep, server: Managed) -> Done:
    done = Done(step.action.value, step.name, step.uri)
    return _tried(done, lambda: _deployed(entry, step, server, done))


def _deployed(entry: DeclaredDeployment, step: DeploymentStep, server: Managed, done: Done) -> None:
    if step.action is Action.REGISTER:
        done.details = server.register(entry, notes_of(entry), step.uri)
        return
    assert step.deployment_id is not None
    done.details = step.deployment_id
    if step.calls_off:
        server.call_off_retirement(step.deployment_id)
    if step.changes:
        server.update(step.deployment_id, step.changes)
    if step.action is Action.PROMOTE:
        server.promote(step.deployment_id)


def _configure(step: ServiceStep, server: Managed, failed: CommandError | None) -> Done:
    done = Done(step.action.value, step.service, "settings", details=", ".join(step.changes))
    if failed is not None:  # they belong to no other version
        done.error = CommandError("its version could not be deployed", failed.exit_code)
        return done
    return _tried(done, lambda: server.configure(step.service, step.changes))


def _retire(step: RetireStep, server: Managed) -> Done:
    done = Done(Action.RETIRE.value, step.name, step.uri, details=step.deployment_id)

    def go() -> None:
        done.stays = retire(step, server)

    return _tried(done, go)


def _tried(done: Done, change: Callable[[], object]) -> Done:
    try:
        change()
    except CommandError as error:
        done.error = error
    return done
