"""`steadfaas services`: what can be called, and which deployment answers."""

from __future__ import annotations

from typing import Annotated

import typer

from steadfaas.cli import admin, render
from steadfaas.cli.exits import CommandError, fail

app = typer.Typer(help="Services that can be called.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Services that can be called."""


@app.command("list")
def list_services(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the server's answer as JSON.")
    ] = False,
) -> None:
    """List all services with their newest revision, which takes new requests."""
    try:
        answer = admin.call("GET", "/services")
    except CommandError as error:
        fail(error, as_json=as_json)
    if as_json:
        render.print_json(answer)
        return
    rows = [
        (
            service["name"],
            service["ty"],
            "yes" if service.get("public", True) else "no",
            str(service["revision"]),
            service["deployment_id"],
            ", ".join(sorted(handler["name"] for handler in service["handlers"])),
        )
        for service in sorted(answer["services"], key=lambda one: str(one["name"]))
    ]
    render.print_table(
        ("SERVICE", "TYPE", "PUBLIC", "REVISION", "DEPLOYMENT", "HANDLERS"),
        rows,
        empty="No services. Add some with 'steadfaas deployments register URL'.",
    )
