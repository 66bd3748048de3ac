"""`steadfaas deployments verify` and `retire`: a deployment's version on its platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from steadfaas.cli import admin, consent, drain, platforms, render
from steadfaas.cli.commands import Json, Yes
from steadfaas.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from steadfaas.spi import Access, EndpointReference, Leases

_Id = Annotated[str, typer.Argument(metavar="ID", help="A deployment id, dp_….")]


def verify(identifier: _Id, as_json: Json = False) -> None:
    """Ask the platform whether it still has the version, unchanged. Ends with 1 if it does not.

    Example: steadfaas deployments verify dp_10WhCjMVvnlgwL8TRBx8Pu1
    """
    deployment = admin.call("GET", admin.path("deployments", identifier))
    adapter, reference, access = platforms.on_platform(deployment)
    problems = platforms.run(adapter.verify(reference, access))
    if as_json:
        render.print_json({"id": identifier, "uri": reference.uri, "problems": problems})
        if problems:
            raise typer.Exit(ExitCode.REFUSED)
    elif problems:
        raise CommandError(
            f"{reference.uri} is not what was registered: {'; '.join(problems)}.", ExitCode.REFUSED
        )
    else:
        typer.echo(f"{identifier} is unchanged: {reference.uri}")


def retire(identifier: _Id, yes: Yes = False, as_json: Json = False) -> None:
    """Delete a drained deployment's version on its platform, and then the deployment.

    Example: steadfaas deployments retire dp_10WhCjMVvnlgwL8TRBx8Pu1
    """
    from steadfaas.cli.rollout.connect import connect
    from steadfaas.cli.rollout.retire import retire as carry_out
    from steadfaas.rollout.plan import RetireStep

    server = connect()
    found = server.deployment(identifier)
    if found is None:
        raise CommandError(
            f"There is no deployment {identifier}. See 'steadfaas deployments list'.",
            ExitCode.REFUSED,
        )
    platforms.on_platform(found.view)  # who looks after no versions can delete none
    if found.unfinished or drain.state(found.view, {}) == "active":
        still = f": {drain.one_line(found.view['drain'])}" if "drain" in found.view else ""
        raise CommandError(
            f"{identifier} is not drained{still}. Wait with 'steadfaas deployments wait"
            f" {identifier}'.",
            ExitCode.REFUSED,
        )
    consent.ask(f"Delete {found.uri} for good, and remove {identifier}?", yes=yes)
    step = RetireStep("", identifier, found.uri, {"asked for": "by hand"})
    if stays := carry_out(step, server):
        raise CommandError(f"{identifier} stays: {stays}", ExitCode.REFUSED)
    if as_json:
        render.print_json({"id": identifier, "uri": found.uri, "retired": True})
    else:
        typer.echo(f"Retired {found.uri}, and removed {identifier}")


def hold(identifier: _Id, as_json: Json = False) -> None:
    """Keep a deployment's version from being removed by its platform, for as long as it is needed.

    Example: steadfaas deployments hold dp_10WhCjMVvnlgwL8TRBx8Pu1
    """
    leases, reference, access = _leased(identifier)
    told = platforms.run(leases.hold(reference, access))
    if as_json:
        render.print_json({"id": identifier, "uri": reference.uri, "held": told})
    else:
        typer.echo(f"{identifier} is held: {told}")


def release(identifier: _Id, as_json: Json = False) -> None:
    """Give back what 'deployments hold' took: the platform may remove the version again.

    Example: steadfaas deployments release dp_10WhCjMVvnlgwL8TRBx8Pu1
    """
    leases, reference, access = _leased(identifier)
    platforms.run(leases.release(reference, access))
    if as_json:
        render.print_json({"id": identifier, "uri": reference.uri, "held": None})
    else:
        typer.echo(f"{identifier} is not held any more")


def _leased(identifier: str) -> tuple[Leases, EndpointReference, Access]:
    from steadfaas.spi import Leases

    adapter, reference, access = platforms.recorded(
        admin.call("GET", admin.path("deployments", identifier))
    )
    if not isinstance(adapter, Leases):
        raise CommandError(
            f"{adapter.name} cannot keep a version from being removed: its platform offers no way.",
            ExitCode.REFUSED,
        )
    return adapter, reference, access
