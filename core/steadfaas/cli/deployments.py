"""`steadfaas deployments`: register, list, describe and remove versions of your code."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from steadfaas.cli import admin, render
from steadfaas.cli.exits import CommandError, fail

app = typer.Typer(help="Versions of your code that the engine knows.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="A deployment id, dp_….")]


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"'{text}' is not of the form name=value", param_hint=option)
        pairs[name.strip()] = value
    return pairs


@app.command()
def register(
    url: Annotated[str, typer.Argument(help="Where the handlers are served: http://host:port/…")],
    force: Annotated[
        bool, typer.Option("--force", help="Discover again and overwrite the same endpoint.")
    ] = False,
    breaking: Annotated[
        bool,
        typer.Option("--breaking", help="Accept removed handlers and changed service types."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would happen and store nothing.")
    ] = False,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="A header for every call to it. May be repeated."),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="A note kept with the deployment. May be repeated."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Register a version. New requests for its services go to it from now on.

    Example: steadfaas deployments register http://127.0.0.1:9080
    """
    body: dict[str, object] = {
        "arn" if url.startswith("arn:") else "uri": url,
        "additional_headers": _pairs(header, "--header") or None,
        "metadata": _pairs(metadata, "--metadata"),
        "breaking": breaking,
        "force": force,
        "dry_run": dry_run,
    }
    if "uri" in body:
        body["use_http_11"] = True
    answer = _call("POST", "/deployments", body, as_json=as_json)
    if as_json:
        render.print_json(answer)
        return
    verb = "Would register" if dry_run else "Registered"
    typer.echo(f"{verb} {url}" + ("" if dry_run else f" as {answer['id']}"))
    _print_services(answer.get("services", []))


@app.command("list")
def list_deployments(as_json: _Json = False) -> None:
    """List all deployments, and which services send new requests to them."""
    answer = _call("GET", "/deployments", as_json=as_json)
    if as_json:
        render.print_json(answer)
        return
    newest = _newest_owner(_call("GET", "/services")["services"])
    rows = [
        (
            deployment["id"],
            _endpoint(deployment),
            render.moment(deployment.get("created_at")),
            ", ".join(_revision(service) for service in deployment["services"]),
            ", ".join(newest.get(deployment["id"], [])) or "-",
        )
        for deployment in answer["deployments"]
    ]
    render.print_table(
        ("ID", "ENDPOINT", "CREATED", "SERVICES", "NEW REQUESTS"),
        rows,
        empty="No deployments. Add one with 'steadfaas deployments register URL'.",
    )


@app.command()
def describe(identifier: _Id, as_json: _Json = False) -> None:
    """Show one deployment and the services as it serves them."""
    answer = _call("GET", f"/deployments/{quote(identifier, safe='')}", as_json=as_json)
    if as_json:
        render.print_json(answer)
        return
    versions = f"{answer.get('min_protocol_version')} to {answer.get('max_protocol_version')}"
    headers = answer.get("additional_headers") or {}
    notes = answer.get("metadata") or {}
    render.print_facts(
        [
            ("id", answer["id"]),
            ("endpoint", _endpoint(answer)),
            ("created", render.moment(answer.get("created_at"))),
            ("protocol", versions),
            ("sdk", answer.get("sdk_version") or ""),
            # Values of headers may be secrets.
            ("headers", ", ".join(headers)),
            ("metadata", ", ".join(f"{name}={value}" for name, value in notes.items())),
        ]
    )
    typer.echo()
    _print_services(answer.get("services", []))


@app.command()
def remove(
    identifier: _Id,
    force: Annotated[
        bool,
        typer.Option("--force", help="Remove it although unfinished work may still need it."),
    ] = False,
    as_json: _Json = False,
) -> None:
    """Remove a deployment that nothing needs any more."""
    query = "?force=true" if force else ""
    _call("DELETE", f"/deployments/{quote(identifier, safe='')}{query}", as_json=as_json)
    if as_json:
        render.print_json({"id": identifier, "removed": True})
    else:
        typer.echo(f"Removed {identifier}")


def _call(
    method: str, path: str, body: dict[str, object] | None = None, *, as_json: bool = False
) -> Any:
    try:
        return admin.call(method, path, body)
    except CommandError as error:
        fail(error, as_json=as_json)


def _endpoint(deployment: dict[str, Any]) -> str:
    return str(deployment.get("uri") or deployment.get("arn") or "")


def _revision(service: dict[str, Any]) -> str:
    return f"{service['name']} (revision {service['revision']})"


def _newest_owner(services: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Deployment id → the services whose newest revision it serves."""
    owners: dict[str, list[str]] = {}
    for service in services:
        owners.setdefault(service["deployment_id"], []).append(service["name"])
    return owners


def _print_services(services: list[dict[str, Any]]) -> None:
    rows = [
        (
            service["name"],
            service["ty"],
            str(service["revision"]),
            ", ".join(sorted(handler["name"] for handler in service.get("handlers", []))),
        )
        for service in sorted(services, key=lambda one: str(one["name"]))
    ]
    render.print_table(("SERVICE", "TYPE", "REVISION", "HANDLERS"), rows, empty="No services.")
