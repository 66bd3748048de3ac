"""`steadfaas gc`: retires the old versions that a file's policy lets go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from steadfaas.cli import render
from steadfaas.cli.commands import DryRun, Json
from steadfaas.cli.exits import ExitCode
from steadfaas.cli.rollout.options import Config, Sets, declared

if TYPE_CHECKING:
    from steadfaas.cli.rollout.carry_out import Done
    from steadfaas.rollout.judged import Trouble
    from steadfaas.rollout.plan import Plan


def gc(
    config: Config = None,
    sets: Sets = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell of each old version that stays why it does.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Retire old versions: those that are drained, older than min_age, beyond keep, and no target.

    Nothing new is sent there any more; then the platform removes the version, and the record goes
    last. What is broken off is finished by running it again. Who did it and on what evidence stays
    in the audit table ('steadfaas audit').

    Exit codes: 0 done or nothing to do, 1 refused, 75 try again later.

    Example: steadfaas gc --explain --dry-run
    """
    from steadfaas.cli.rollout.carry_out import retire_all
    from steadfaas.cli.rollout.connect import connect
    from steadfaas.cli.rollout.gather import make_plan

    wanted = declared(config, sets)
    server = connect()
    made = make_plan(wanted, server)
    outcome = [] if dry_run else retire_all(made, server, tell=None if as_json else _tell)
    if as_json:
        render.print_json(_as_json(made, outcome, dry_run))
    else:
        _report(made, outcome, explain=explain, dry_run=dry_run)
    raise typer.Exit(_exit_code(made, outcome))


def _exit_code(made: Plan, outcome: list[Done]) -> ExitCode:
    codes = {each.error.exit_code for each in outcome if each.error is not None}
    unknown = _unknown(made).values()
    if codes - {ExitCode.TRY_LATER} or any(not each.later for each in unknown):
        return ExitCode.REFUSED
    return ExitCode.TRY_LATER if codes or unknown else ExitCode.DONE


def _unknown(made: Plan) -> dict[str, Trouble]:
    """The entries whose target leads nobody knows where, and why. That a new version is refused
    does not matter to old ones."""
    return {
        step.name: step.trouble
        for step in made.deployments
        if step.trouble is not None and not step.uri
    }


def _tell(done: Done) -> None:
    if done.error is not None:
        typer.echo(f"failed   {done.name}  {done.details}: {done.error.message}", err=True)
    elif done.stays:
        typer.echo(f"stays    {done.name}  {done.details}  {done.subject}: {done.stays}")
    else:
        typer.echo(f"retired  {done.name}  {done.details}  {done.subject}")


def _report(made: Plan, outcome: list[Done], *, explain: bool, dry_run: bool) -> None:
    if dry_run:
        for step in made.retire:
            typer.echo(f"would retire  {step.name}  {step.deployment_id}  {step.uri}")
            if explain:
                typer.echo(f"              {_because(step.evidence)}")
    if explain:
        for each in made.stays:
            typer.echo(f"stays    {each.name}  {each.deployment_id}  {each.uri}: {each.why}")
    for name, trouble in _unknown(made).items():
        typer.echo(f"Error: {name}: {trouble.message}", err=True)
    gone = sum(1 for each in outcome if each.error is None and not each.stays)
    number = len(made.retire) if dry_run else gone
    stay = len(made.stays) + len(made.retire) - number
    more = "" if explain or not stay else " (--explain tells why)"
    retired = "Would retire" if dry_run else "Retired"
    typer.echo(f"{retired} {render.plural(number, 'version')}; {stay} stay{more}.")


def _because(evidence: dict[str, Any]) -> str:
    parts = [f"drained, {evidence['age']} old"]
    if evidence["min_age"] is not None:
        parts.append(f"min_age {evidence['min_age']}")
    if evidence["keep"] is not None:
        parts.append(f"keep {evidence['keep']}: {', '.join(evidence['kept']) or 'none'}")
    return "; ".join(parts)


def _as_json(made: Plan, outcome: list[Done], dry_run: bool) -> dict[str, Any]:
    from steadfaas.rollout import document

    by_id = {each.details: each for each in outcome}
    whole = document.old_versions(made)
    for step in whole["retire"]:
        done = by_id.get(step["deployment_id"])
        step["retired"] = done is not None and done.error is None and not done.stays
        step["stays"] = (done and done.stays) or None
        step["error"] = document.trouble(done.trouble if done else None)
    errors = {name: document.trouble(trouble) for name, trouble in _unknown(made).items()}
    return {**whole, "dry_run": dry_run, "errors": errors}
