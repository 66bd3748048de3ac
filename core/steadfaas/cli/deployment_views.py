"""Deployments as the command line shows them."""

from __future__ import annotations

from typing import Any, Final

import typer

from steadfaas.cli import admin, drain, render

Json = dict[str, Any]

NONE: Final = "No deployments. Add one with 'steadfaas deployments register TARGET'."
_MUTABLE: Final = "mutable"


def print_list(deployments: list[Json], empty: str) -> None:
    """Deployments, one a row; the sentence `empty` if there are none."""
    # Only a server without drain states has to be asked who takes new requests.
    known = all("drain" in deployment for deployment in deployments)
    owners = {} if known else newest_owners(admin.call("GET", "/services")["services"])
    rows = [
        (
            deployment["id"],
            endpoint(deployment),
            drain.state(deployment, owners) + _marks(deployment),
            drain.unfinished(deployment),
            drain.when(deployment, "next_wake_up"),
            drain.when(deployment, "earliest_drained_at"),
            ", ".join(_revision(service) for service in deployment["services"]),
        )
        for deployment in deployments
    ]
    render.print_table(
        (
            *("ID", "ENDPOINT", "STATE", "UNFINISHED"),
            *("NEXT WAKE-UP", "DRAINED NOT BEFORE", "SERVICES (REVISION)"),
        ),
        rows,
        empty=empty,
    )


def print_detail(deployment: Json) -> None:
    """One deployment, in full."""
    versions = (
        f"{deployment.get('min_protocol_version')} to {deployment.get('max_protocol_version')}"
    )
    render.print_facts(
        [
            ("id", deployment["id"]),
            ("endpoint", endpoint(deployment)),
            ("created", render.moment(deployment.get("created_at"))),
            ("protocol", versions),
            ("sdk", deployment.get("sdk_version") or ""),
            # Values of headers may be secrets.
            ("headers", ", ".join(deployment.get("additional_headers") or {})),
            ("secret headers", metadata(deployment.get("secret_headers"))),
            ("metadata", metadata(deployment.get("metadata"))),
            ("role", deployment.get("assume_role_arn") or ""),
            ("immutable by", _evidence(deployment)),
            *((f"· {name}", str(value)) for name, value in _platform_facts(deployment)),
            ("may be removed", _expiry(deployment)),
            ("being retired", _retirement(deployment)),
            *(drain.facts(deployment["drain"]) if "drain" in deployment else ()),
        ]
    )
    drain.print_blockers(deployment)
    _print_changes(deployment.get("changes") or [])
    typer.echo()
    print_details(deployment)


def print_details(deployment: Json) -> None:
    """Its services and what the server has to say about it."""
    for note in deployment.get("info") or []:
        typer.echo(f"Note: {note['message']}")
    _print_services(deployment.get("services", []))


def endpoint(deployment: Json) -> str:
    """Its address; one whose code may change is marked."""
    address = str(deployment.get("uri") or deployment.get("arn") or "")
    return f"{address} (mutable)" if deployment.get("evidence") == _MUTABLE else address


def at_risk(deployment: Json) -> bool:
    """Whether its platform may remove it while something pinned needs it."""
    return bool((deployment.get("expires") or {}).get("at_risk"))


def _marks(deployment: Json) -> str:
    at_its_platform = " (at risk)" if at_risk(deployment) else ""
    return at_its_platform + (" (being retired)" if deployment.get("retiring") else "")


def _retirement(deployment: Json) -> str:
    retiring = deployment.get("retiring")
    if not retiring:
        return ""
    gone = "; its platform has the version no more" if "artifact_removed_at" in retiring else ""
    return f"since {render.moment(retiring['since'])}, by {retiring['by']}{gone}"


def _expiry(deployment: Json) -> str:
    expires = deployment.get("expires")
    if not expires:
        return ""
    risk = "AT RISK: something pinned may need it longer; " if expires["at_risk"] else ""
    return f"{risk}from {render.moment(expires['at'])} on ({expires['why']})"


def _evidence(deployment: Json) -> str:
    evidence = str(deployment.get("evidence") or "")
    return f"{evidence}: its code may change at any time" if evidence == _MUTABLE else evidence


def _platform_facts(deployment: Json) -> list[tuple[str, object]]:
    return sorted((deployment.get("facts") or {}).items())


def metadata(notes: Json | None) -> str:
    """`commit=3f2c, team=blue`."""
    return ", ".join(f"{name}={value}" for name, value in (notes or {}).items())


def newest_owners(services: list[Json]) -> dict[str, list[str]]:
    """Deployment id → the services whose newest revision it serves."""
    owners: dict[str, list[str]] = {}
    for service in services:
        owners.setdefault(service["deployment_id"], []).append(service["name"])
    return owners


def _revision(service: Json) -> str:
    return f"{service['name']} ({service['revision']})"


def _print_changes(changes: list[Json]) -> None:
    if not changes:
        return
    typer.echo()
    rows = [
        (
            render.moment(change["at"]),
            str(change.get("by") or ""),
            str(change["what"]),
            str(change.get("detail") or ""),
        )
        for change in changes
    ]
    render.print_table(("CHANGED", "BY", "WHAT", "DETAIL"), rows, empty="")


def _print_services(services: list[Json]) -> None:
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
