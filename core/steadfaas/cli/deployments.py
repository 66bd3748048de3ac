"""`steadfaas deployments`: register, inspect, change and remove versions of your code."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import typer

from steadfaas.cli import admin, consent, deployment_views, render
from steadfaas.cli.commands import AssumeRole, DryRun, Group, Json, Yes, pairs
from steadfaas.cli.deployment_versions import hold, release, retire, verify
from steadfaas.cli.deployment_wait import wait
from steadfaas.cli.register import (
    REGISTRATION_SECONDS,
    Header,
    Protection,
    SecretHeader,
    address,
    register,
)

app = Group("Versions of your code that the engine knows.")
app.verb("register")(register)
app.verb("wait")(wait)
app.verb("verify")(verify)
app.verb("retire")(retire)
app.verb("hold")(hold)
app.verb("release")(release)

_Id = Annotated[str, typer.Argument(metavar="ID", help="A deployment id, dp_….")]
_WHICH = "See 'steadfaas deployments list'."
_NO_DRAIN_STATES = "This server removes deployments by --force only, and tells not who needs them."


@app.verb("list")
def list_deployments(
    at_risk: Annotated[
        bool,
        typer.Option(
            "--at-risk", help="Only those that their platform may remove while they are needed."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """List all deployments, what they wait for, and which services send new requests to them.

    Example: steadfaas deployments list
    """
    answer = admin.call("GET", "/deployments")
    if at_risk:
        answer["deployments"] = list(filter(deployment_views.at_risk, answer["deployments"]))
    if as_json:
        render.print_json(answer)
    else:
        empty = "No deployments at risk." if at_risk else deployment_views.NONE
        deployment_views.print_list(answer["deployments"], empty)


@app.verb()
def describe(identifier: _Id, as_json: Json = False) -> None:
    """Show one deployment: its services, what it still waits for, and who changed it.

    Example: steadfaas deployments describe dp_10WhCjMVvnlgwL8TRBx8Pu1
    """
    with admin.next_steps({404: _WHICH}):
        answer = admin.call("GET", admin.path("deployments", identifier))
    if as_json:
        render.print_json(answer)
    else:
        deployment_views.print_detail(answer)


@app.verb()
def update(
    identifier: _Id,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL|ARN", help="The address that serves it from now on."),
    ] = None,
    assume_role_arn: AssumeRole = None,
    header: Header = None,
    secret_header: SecretHeader = None,
    clear_headers: Annotated[
        bool, typer.Option("--clear-headers", help="Send no additional headers any more.")
    ] = False,
    protection: Protection = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="A note, in place of all that are there. Repeatable."),
    ] = None,
    clear_metadata: Annotated[
        bool, typer.Option("--clear-metadata", help="Keep no notes any more.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Discover again, and replace services and settings."),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Change where a deployment is reached. What is pinned to it goes there at its next attempt.

    Headers that you give replace all that are there, and so do notes.

    Example: steadfaas deployments update dp_10WhCjMVvnlgwL8TRBx8Pu1 --url http://10.0.0.7:9080
    """
    if header and clear_headers:
        raise typer.BadParameter("give --header or --clear-headers, not both")
    if metadata and clear_metadata:
        raise typer.BadParameter("give --metadata or --clear-metadata, not both")
    body: dict[str, object] = {"overwrite": overwrite}
    if url is not None:
        body |= address(url)
    if header or clear_headers:
        body["additional_headers"] = pairs(header, "--header")
    if secret_header:
        body["secret_headers"] = pairs(secret_header, "--secret-header")
    if protection:
        body["protection"] = protection
    if metadata or clear_metadata:
        body["metadata"] = pairs(metadata, "--metadata")
    if assume_role_arn is not None:
        body["assume_role_arn"] = assume_role_arn
    if len(body) == 1 and not overwrite:
        raise typer.BadParameter(
            "nothing to change: give --url, --header, --metadata or --overwrite"
        )
    change = _Change("PATCH", admin.path("deployments", identifier), body, "change", "Changed")
    question = f"Change {identifier}, for the work that is pinned to it too?"
    if body.keys() == {"overwrite", "metadata"} and not overwrite:
        question = f"Change the notes of {identifier}?"
    _carry_out(change, question, dry_run=dry_run, yes=yes, as_json=as_json)


@app.verb()
def promote(
    identifier: _Id, dry_run: DryRun = False, yes: Yes = False, as_json: Json = False
) -> None:
    """Send new requests to an older deployment again. What has begun stays where it is.

    Example: steadfaas deployments promote dp_10WhCjMVvnlgwL8TRBx8Pu1 --dry-run
    """
    route = admin.path("deployments", identifier, "promote")
    change = _Change("POST", route, {}, "promote", "Promoted")
    question = f"Send the new requests of its services to {identifier}?"
    _carry_out(change, question, dry_run=dry_run, yes=yes, as_json=as_json)


@app.verb()
def remove(
    identifier: _Id,
    force: Annotated[
        bool,
        typer.Option("--force", help="Remove it although unfinished work may still need it."),
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove a deployment that nothing needs any more.

    Example: steadfaas deployments remove dp_10WhCjMVvnlgwL8TRBx8Pu1
    """
    unless = "even if unfinished work needs it" if force else "unless something still needs it"
    consent.ask(f"Remove {identifier}, {unless}?", yes=yes)
    waiting = f"Wait with 'steadfaas deployments wait {identifier}', or insist with --force."
    with admin.next_steps({404: _WHICH, 409: waiting, 501: _NO_DRAIN_STATES}):
        admin.call("DELETE", admin.path("deployments", identifier), query={"force": force})
    if as_json:
        render.print_json({"id": identifier, "removed": True})
    else:
        typer.echo(f"Removed {identifier}")


class _Change(NamedTuple):
    """A request that changes a deployment, and what it does in two words: `change`, `Changed`."""

    method: str
    path: str
    body: dict[str, object]
    verb: str
    done: str

    def send(self, *, dry_run: bool) -> Any:
        """The deployment as it is then, or would be."""
        with admin.next_steps({404: _WHICH}):
            body = {**self.body, "dry_run": dry_run}
            return admin.call(self.method, self.path, body, timeout=REGISTRATION_SECONDS)


def _carry_out(change: _Change, question: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Do it, or show what it would do; who has not agreed yet sees that first and is asked."""
    if not (dry_run or as_json or consent.given(yes)):
        _show(f"Would {change.verb}", change.send(dry_run=True))
    if not dry_run:
        consent.ask(question, yes=yes)
    answer = change.send(dry_run=dry_run)
    if as_json:
        render.print_json(answer)
    else:
        _show(f"Would {change.verb}" if dry_run else change.done, answer)


def _show(words: str, deployment: Any) -> None:
    typer.echo(f"{words} {deployment['id']}")
    deployment_views.print_details(deployment)
