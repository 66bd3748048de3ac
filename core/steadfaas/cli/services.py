"""`steadfaas services`: what can be called, which deployment answers, and what is under way."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from steadfaas.cli import admin, render, service_config
from steadfaas.cli.commands import Group, Json
from steadfaas.cli.deployment_views import endpoint

app = Group("Services that can be called.")
app.add_typer(service_config.app, name="config")

_Name = Annotated[str, typer.Argument(metavar="SERVICE", help="A service's name.")]
_WHICH = "See 'steadfaas services list'."


@app.verb("list")
def list_services(as_json: Json = False) -> None:
    """List all services with their newest revision, which takes new requests.

    Example: steadfaas services list
    """
    answer = admin.call("GET", "/services")
    if as_json:
        render.print_json(answer)
        return
    rows = [
        (
            service["name"],
            service["ty"],
            _yes(service.get("public", True)),
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


@app.verb()
def describe(name: _Name, as_json: Json = False) -> None:
    """Show one service: its handlers, and the deployment that takes new requests.

    Example: steadfaas services describe Greeter
    """
    with admin.next_steps({404: _WHICH}):
        service = admin.call("GET", admin.path("services", name))
    if as_json:
        render.print_json(service)
        return
    deployment = admin.call("GET", admin.path("deployments", service["deployment_id"]))
    render.print_facts(
        [
            ("name", service["name"]),
            ("type", service["ty"]),
            ("public", _yes(service.get("public", True))),
            ("revision", str(service["revision"])),
            ("deployment", f"{deployment['id']} at {endpoint(deployment)}"),
            ("about", render.first_line(service.get("documentation"))),
        ]
    )
    typer.echo()
    _print_handlers(service["handlers"])


@app.verb()
def status(
    name: Annotated[
        str | None, typer.Argument(metavar="SERVICE", help="Without it, all services.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is unfinished, by handler, and who waits in line at which key.

    Example: steadfaas services status Greeter
    """
    names = [name] if name is not None else _names()
    with admin.next_steps({404: _WHICH}):
        answers = [admin.call("GET", admin.path("services", one, "status")) for one in names]
    if as_json:
        render.print_json(answers if name is None else answers[0])
        return
    _print_counts(answers)
    _print_lines(answers)


def _names() -> list[str]:
    return sorted(service["name"] for service in admin.call("GET", "/services")["services"])


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _print_handlers(handlers: list[dict[str, Any]]) -> None:
    rows = [
        (
            handler["name"],
            str(handler.get("ty") or "-"),
            _yes(handler.get("public", True)),
            str(handler.get("input_description") or ""),
            str(handler.get("output_description") or ""),
        )
        for handler in sorted(handlers, key=lambda one: str(one["name"]))
    ]
    render.print_table(("HANDLER", "TYPE", "PUBLIC", "INPUT", "OUTPUT"), rows, empty="No handlers.")


def _print_counts(services: list[dict[str, Any]]) -> None:
    rows = [
        (
            f"{service['service']}/{handler['name']}",
            ", ".join(f"{count} {status}" for status, count in handler["counts"].items()) or "-",
            _invocation(handler.get("oldest")),
        )
        for service in services
        for handler in service["handlers"]
    ]
    render.print_table(
        ("HANDLER", "UNFINISHED", "OLDEST"),
        rows,
        empty="No services. Add some with 'steadfaas deployments register URL'.",
    )


def _print_lines(services: list[dict[str, Any]]) -> None:
    rows = [
        (
            f"{service['service']}/{key['key']}",
            str(key["pending"]),
            _invocation(key.get("holder")),
        )
        for service in services
        for key in service["keys"]
    ]
    if rows:
        typer.echo()
        render.print_table(("KEY", "IN LINE", "HELD BY"), rows, empty="")


def _invocation(found: dict[str, Any] | None) -> str:
    if not found:
        return "-"
    since = render.moment(found.get("created_at"))
    words = [found["invocation_id"], found.get("handler"), found.get("status"), f"since {since}"]
    return " ".join(str(word) for word in words if word)
