"""`steadfaas deployments register`: a target becomes a deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from steadfaas.cli import admin, deployment_views, platforms, render
from steadfaas.cli.commands import AssumeRole, DryRun, Json, duration, pairs
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.progress import Progress

# Platforms are asked, and functions have cold starts.
REGISTRATION_SECONDS: Final = 90.0
_LOOK_AGAIN_SECONDS: Final = 3.0

Header = Annotated[
    list[str] | None,
    typer.Option(metavar="K=V", help="A header for every call to it. May be repeated."),
]

SecretHeader = Annotated[
    list[str] | None,
    typer.Option(
        metavar="K=REF",
        help="A header whose value is a secret of the engine: env:NAME or file:PATH.",
    ),
]

Protection = Annotated[
    list[str] | None,
    typer.Option(
        metavar="REF",
        help="A secret by which the platform lets requests through, env:NAME or file:PATH.",
    ),
]


def register(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="What serves the handlers: http://host:port/…, arn:…, or a name on a platform"
            " (lambda:NAME@ALIAS, vercel:TEAM/PROJECT@production, deno:…, cloudflare:…).",
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
    protection: Protection = None,
    header: Header = None,
    secret_header: SecretHeader = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="A note kept with the deployment. May be repeated."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the platform has built the version.")
    ] = False,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="With --wait: no longer than this.")
    ] = "10m",
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
    seconds = duration(timeout, "--timeout") / 1000 if wait else 0.0
    answer = _patiently(lambda: _register(registered, body), seconds)
    if as_json:
        render.print_json(answer.body)
        return
    unchanged = answer.status == 200 and not force
    typer.echo(_outcome(_found(target, answer.body), answer.body["id"], dry_run, unchanged))
    deployment_views.print_details(answer.body)


def _register(target: str, body: dict[str, object]) -> admin.Answer:
    given = address(target)
    try:
        return admin.ask("POST", "/deployments", {**given, **body}, timeout=REGISTRATION_SECONDS)
    except CommandError as error:
        if "target" not in given or error.status != 422 or admin.is_ours():
            raise
    # A stock server knows addresses only, so the target is looked up from here.
    access = platforms.access(str(body["assume_role_arn"]) if "assume_role_arn" in body else None)
    found = platforms.resolve(target, access, platforms.promise(body))
    return admin.ask(
        "POST", "/deployments", {**address(found.uri), **body}, timeout=REGISTRATION_SECONDS
    )


def address(target: str) -> dict[str, object]:
    """How the admin API takes a target."""
    if target.startswith("arn:"):
        return {"arn": target}
    if target.startswith(("http://", "https://")):
        return {"uri": target, "use_http_11": True}
    return {"target": target}


def _found(target: str, registered: dict[str, Any]) -> str:
    """The target, and what it led to where that is something else."""
    if "target" not in address(target):
        return target
    uri = registered.get("arn") or registered.get("uri")
    return f"{target} ({uri})" if uri else target


def _outcome(what: str, identifier: str, dry_run: bool, unchanged: bool) -> str:
    if unchanged:
        return f"Already registered: {what} is {identifier}"
    return f"Would register {what}" if dry_run else f"Registered {what} as {identifier}"


def _patiently(ask: Callable[[], admin.Answer], seconds: float) -> admin.Answer:
    """Ask again for so long while the answer is "not now"."""
    import time

    end = time.monotonic() + seconds
    with Progress(at_once=True) as progress:
        while True:
            try:
                return ask()
            except CommandError as error:
                # An engine that is not there is none that waits for a platform.
                later = error.exit_code is ExitCode.TRY_LATER and error.status is not None
                if not later or time.monotonic() + _LOOK_AGAIN_SECONDS > end:
                    raise
                progress.show(error.message)
            time.sleep(_LOOK_AGAIN_SECONDS)
