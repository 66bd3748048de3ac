"""`steadfaas apply`: makes a server what a file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steadfaas.cli import render
from steadfaas.cli.commands import Json
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.plan import no_plan, read
from steadfaas.cli.rollout.options import Config, Sets, declared

if TYPE_CHECKING:
    from steadfaas.cli.rollout.carry_out import Done, Outcome
    from steadfaas.cli.rollout.server import Managed
    from steadfaas.config import Declared
    from steadfaas.rollout.plan import Plan


def apply(
    context: typer.Context,
    config: Config = None,
    sets: Sets = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Apply this saved plan, and refuse if the world has moved."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Do what 'plan' shows for a file. May be repeated: what is done already is left alone.

    If anything is refused, nothing is touched. What is only late (a build, a limit) holds up
    nothing else; run it again then.

    Exit codes: 0 done or nothing to do, 1 refused, 75 try again later.

    Example: steadfaas apply --config steadfaas.toml
    """
    from steadfaas.cli.rollout.connect import connect

    saved = None
    if plan is None:
        wanted = declared(config, sets)
    else:
        _refuse_beside(context, sets)
        saved = read(plan)
        wanted = _wanted(saved, plan)
    code = carried_out(wanted, connect(), saved=saved, as_json=as_json)
    raise typer.Exit(code)


def carried_out(
    wanted: Declared,
    server: Managed,
    *,
    saved: dict[str, Any] | None = None,
    as_json: bool = False,
    retiring: bool = True,
) -> ExitCode:
    """Plan, carry it out, and tell; the exit code. Raises CommandError."""
    from steadfaas.cli.rollout.carry_out import carry_out
    from steadfaas.cli.rollout.gather import make_plan
    from steadfaas.rollout import document, words

    made = make_plan(wanted, server, retiring=retiring)
    if saved is not None:
        made = _as_promised(made, saved)
    if made.refused:
        if as_json:
            render.print_json({**document.to_json(made, server.server), "done": []})
        else:
            for line in words.lines(made):
                typer.echo(line)
            typer.echo("Error: something is refused, so nothing was done.", err=True)
        return ExitCode.REFUSED
    outcome = carry_out(wanted, made, server, retiring=retiring, tell=None if as_json else _tell)
    if as_json:
        done = [_as_json(each) for each in outcome.done]
        render.print_json({**document.to_json(made, server.server), "done": done})
    else:
        _conclude(made, outcome)
    return outcome.exit_code(made)


def _refuse_beside(context: typer.Context, sets: list[str] | None) -> None:
    # A variable may name the file of other commands.
    source = context.get_parameter_source("config")
    chosen = source is not None and source.name == "COMMANDLINE"
    if sets or chosen:
        named = "--set" if sets else "--config"
        raise typer.BadParameter(f"a saved plan holds what it was made of; leave {named} out")


def _wanted(saved: dict[str, Any], path: Path) -> Declared:
    from steadfaas.cli import admin
    from steadfaas.config import Declared

    admin.fall_back_on(saved["plan"]["server"]["url"], f"the saved plan {path}")
    try:
        return Declared.from_json(saved["declared"])
    except ValueError as error:
        raise no_plan(path, "what is declared in it was changed") from error


def _as_promised(made: Plan, saved: dict[str, Any]) -> Plan:
    """The plan, if it still is the saved one; of what may go, only what it said. Raises
    CommandError."""
    from dataclasses import replace

    from steadfaas.rollout import document

    differs = document.moved(saved["promised"], document.promised(made))
    if differs:
        listed = "".join(f"\n  {each}" for each in differs)
        raise CommandError(
            f"The world has moved since the plan was made, so nothing was done:{listed}\nMake a new"
            " one with 'steadfaas plan --out FILE'.",
            ExitCode.REFUSED,
        )
    kept = saved["promised"]["retire"]
    return replace(made, retire=tuple(each for each in made.retire if each.deployment_id in kept))


# --- telling -----------------------------------------------------------------------------------

_PAST = {"register": "registered", "promote": "promoted", "update": "updated", "retire": "retired"}


def _tell(done: Done) -> None:
    if done.error is not None:
        typer.echo(f"failed      {done.what} {done.name}: {done.error.message}", err=True)
    elif done.stays:
        typer.echo(f"stays       {done.name}  {done.subject}: {done.stays}")
    else:
        details = f" ({done.details})" if done.details else ""
        typer.echo(f"{_PAST[done.what].ljust(10)}  {done.name}  {done.subject}{details}")


def _conclude(made: Plan, outcome: Outcome) -> None:
    troubles = [(step.name, step.trouble) for step in made.deployments]
    troubles += [(step.service, step.trouble) for step in made.services]
    for name, trouble in troubles:
        if trouble is not None:
            typer.echo(f"not yet     {name}: {trouble.message}", err=True)
    failed, late = len(outcome.failed), made.counts().get("later", 0)
    if failed or late:
        missing, steps = failed + late, len(list(made.actions()))
        typer.echo(
            f"Error: {missing} of {steps} steps {'is' if missing == 1 else 'are'} missing; the"
            " others are done. Run it again to go on.",
            err=True,
        )
    elif not outcome.done:
        typer.echo(f"Unchanged: {render.plural(len(made.deployments), 'deployment')}.")
    else:
        typer.echo("Done.")


def _as_json(done: Done) -> dict[str, Any]:
    from steadfaas.rollout import document

    return {
        "action": done.what,
        "name": done.name,
        "subject": done.subject,
        "details": done.details,
        "stays": done.stays or None,
        "error": document.trouble(done.trouble),
    }
