"""`steadfaas whoami`: which server the commands speak to, and how it is."""

from __future__ import annotations

from typing import Any

from steadfaas.cli import admin, render
from steadfaas.cli.commands import Json
from steadfaas.cli.exits import CommandError


def whoami(as_json: Json = False) -> None:
    """Show the admin API that commands speak to, its version and health, and its ingress.

    Example: steadfaas whoami
    """
    url, source = admin.address()
    version = admin.call("GET", "/version")
    facts: dict[str, Any] = {"admin_url": url, **version, "health": _health()}
    if as_json:
        render.print_json(facts)
        return
    lowest, highest = version.get("min_admin_api_version"), version.get("max_admin_api_version")
    render.print_facts(
        [
            ("admin", f"{url} (change it with {source})"),
            ("version", str(version.get("version") or "")),
            ("admin API", f"{lowest} to {highest}"),
            ("health", facts["health"]),
            ("ingress", str(version.get("ingress_endpoint") or "")),
        ]
    )


def _health() -> str:
    try:
        admin.call("GET", "/health")
    except CommandError as error:
        return f"not healthy: {error.message}"
    return "healthy"
