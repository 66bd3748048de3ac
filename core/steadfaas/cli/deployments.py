"""`steadfaas deployments`: register, inspect, change and remove versions of your code."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import typer

from steadfaas.cli import admin, consent, deployment_views, platforms, render
from steadfaas.cli.commands import AssumeRole, DryRun, Group, Json, Yes, pairs
from steadfaas.cli.deployment_versions import retire, verify
from steadfaas.cli.deployment_wait import wait
from steadfaas.cli.exits import CommandError

app = Group("Versions of your code that the engine knows.")
app.verb("wait")(wait)
app.verb("verify")(verify)
app.verb("retire")(retire)

_Id = Annotated[str, typer.Argument(metavar="ID", help="A deployment id, dp_….")]
_Header = Annotated[
    list[str] | None,
    typer.Option(metavar="K=V", help="A header for every call to it. May be repeated."),
]

_SecretHeader = Annotated[
    list[str] | None,
    typer.Option(
        metavar="K=REF",
        help="A header whose value is a secret of the engine: env:NAME or file:PATH.",
    ),
]

# Platforms are asked, and functions have cold starts.
_REGISTRATION_SECONDS = 90.0
_WHICH = "See 'steadfaas deployments list'."
_NO_DRAIN_STATES = "This server removes deployments by --force only, and tells not who needs them."


@app.verb()
def register(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="What serves the handlers: http://host:port/…, arn:…, lambda:NAME[@ALIAS].",
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Discover again and overwrite the same endpoint.")
    ] = False,
    breaking: Annotated[
        bool,
        typer.Option("--breaking", help="Accept removed handlers and changed service types."),
    ] = False,
    dry_run: DryRun = False,
    publish: Annotated[
        bool,
        typer.Option("--publish", help="Publish the function's code as it is now, first."),
    ] = False,
    description: Annotated[
        str, typer.Option(metavar="TEXT", help="With --publish: what the version is, a commit say.")
    ] = "",
    assume_role_arn: AssumeRole = None,
    dev: Annotated[
        bool,
        typer.Option("--dev", help="Take a target whose code may change ('up --dev')."),
    ] = False,
    assert_immutable: Annotated[
        bool,
        typer.Option(
            "--assert-immutable",
            help="Vouch that the address never leads to other code, where nobody can be asked.",
        ),
    ] = False,
    protection: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REF",
            help="A secret by which the platform lets requests through, env:NAME or file:PATH.",
        ),
    ] = None,
    header: _Header = None,
    secret_header: _SecretHeader = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="A note kept with the deployment. May be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Register a version. New requests for its services go to it from now on.

    Example: steadfaas deployments register http://127.0.0.1:9080
    """
    if publish:
        if dry_run:
            raise typer.BadParameter("--publish makes a version; it cannot be tried with --dry-run")
        access = platforms.access(assume_role_arn)
        registered = platforms.publish(target, access, description).uri
    elif description:
        raise typer.BadParameter("--description is about what --publish makes")
    else:
        registered = target
    body: dict[str, object] = {
        **({} if assume_role_arn is None else {"assume_role_arn": assume_role_arn}),
        **({"dev": True} if dev else {}),
        **({"assert_immutable": True} if assert_immutable else {}),
        **({"secret_headers": pairs(secret_header, "--secret-header")} if secret_header else {}),
        **({"protection": protection} if protection else {}),
        "additional_headers": pairs(header, "--header") or None,
        "metadata": pairs(metadata, "--metadata"),
        "breaking": breaking,
        "force": force,
        "dry_run": dry_run,
    }
    answer = _register(registered, body)
    if as_json:
        render.print_json(answer.body)
        return
    unchanged = answer.status == 200 and not force
    typer.echo(_outcome(_found(target, answer.body), answer.body["id"], dry_run, unchanged))
    deployment_views.print_details(answer.body)


@app.verb("list")
def list_deployments(as_json: Json = False) -> None:
    """List all deployments, what they wait for, and which services send new requests to them.

    Example: steadfaas deployments list
    """
    answer = admin.call("GET", "/deployments")
    if as_json:
        render.print_json(answer)
    else:
        deployment_views.print_list(answer["deployments"])


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
    header: _Header = None,
    secret_header: _SecretHeader = None,
    clear_headers: Annotated[
        bool, typer.Option("--clear-headers", help="Send no additional headers any more.")
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

    Headers that you give replace all that are there.

    Example: steadfaas deployments update dp_10WhCjMVvnlgwL8TRBx8Pu1 --url http://10.0.0.7:9080
    """
    if header and clear_headers:
        raise typer.BadParameter("give --header or --clear-headers, not both")
    body: dict[str, object] = {"overwrite": overwrite}
    if url is not None:
        body |= _address(url)
    if header or clear_headers:
        body["additional_headers"] = pairs(header, "--header")
    if secret_header:
        body["secret_headers"] = pairs(secret_header, "--secret-header")
    if assume_role_arn is not None:
        body["assume_role_arn"] = assume_role_arn
    if len(body) == 1 and not overwrite:
        raise typer.BadParameter("nothing to change: give --url, --header or --overwrite")
    change = _Change("PATCH", admin.path("deployments", identifier), body, "change", "Changed")
    question = f"Change {identifier}, for the work that is pinned to it too?"
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


def _register(target: str, body: dict[str, object]) -> admin.Answer:
    address = _address(target)
    try:
        return admin.ask("POST", "/deployments", {**address, **body}, timeout=_REGISTRATION_SECONDS)
    except CommandError as error:
        if "target" not in address or error.status != 422 or admin.is_ours():
            raise
    # A stock server knows addresses only, so the target is looked up from here.
    access = platforms.access(str(body["assume_role_arn"]) if "assume_role_arn" in body else None)
    found = platforms.resolve(target, access, platforms.promise(body))
    return admin.ask(
        "POST", "/deployments", {**_address(found.uri), **body}, timeout=_REGISTRATION_SECONDS
    )


def _address(target: str) -> dict[str, object]:
    if target.startswith("arn:"):
        return {"arn": target}
    if target.startswith(("http://", "https://")):
        return {"uri": target, "use_http_11": True}
    return {"target": target}


def _found(target: str, registered: dict[str, Any]) -> str:
    """The target, and what it led to where that is something else."""
    uri = registered.get("arn")
    return f"{target} ({uri})" if uri and uri != target else target


def _outcome(what: str, identifier: str, dry_run: bool, unchanged: bool) -> str:
    if unchanged:
        return f"Already registered: {what} is {identifier}"
    return f"Would register {what}" if dry_run else f"Registered {what} as {identifier}"


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
            return admin.call(self.method, self.path, body, timeout=_REGISTRATION_SECONDS)


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
