"""`steadfaas adapters`: which platforms are known here, and which versions they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from steadfaas.cli import admin, drain, platforms, render
from steadfaas.cli.commands import AssumeRole, Group, Json
from steadfaas.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from steadfaas.deployments.adapters import Adapters
    from steadfaas.spi import Version

app = Group("Platforms that serve versions of your code.")


@app.verb("list")
def list_adapters(as_json: Json = False) -> None:
    """List the installed adapters, and what each can do.

    Example: steadfaas adapters list
    """
    known = platforms.installed()
    found = [_described(known, name) for name in known.names()]
    if as_json:
        render.print_json({"adapters": found})
        return
    rows = [(str(each["name"]), ", ".join(each["can"]), str(each["problem"])) for each in found]
    render.print_table(
        ("ADAPTER", "CAN", "PROBLEM"),
        rows,
        empty="No adapters are installed. Install steadfaas again.",
    )


@app.verb()
def versions(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="What the versions are of: lambda:NAME.")
    ],
    assume_role_arn: AssumeRole = None,
    as_json: Json = False,
) -> None:
    """List the versions that a platform holds, and what the engine needs of each.

    Example: steadfaas adapters versions lambda:greeter
    """
    adapter = platforms.versioned(platforms.adapter_of(target))
    access = platforms.access(assume_role_arn)
    found = platforms.run(adapter.list_versions(target, access))
    deployed = _deployed()
    if as_json:
        render.print_json({"versions": [_as_json(each, _of(each, deployed)) for each in found]})
        return
    render.print_table(
        ("VERSION", "NAMES", "PUBLISHED", "DEPLOYMENT", "STATE", "UNFINISHED"),
        [_row(each, _of(each, deployed)) for each in found],
        empty=_none(adapter, target),
    )


def _described(known: Adapters, name: str) -> dict[str, Any]:
    from steadfaas.errors import RequestError
    from steadfaas.spi import Carries, Foresees, Publishes, Versioned

    try:
        adapter = known.get(name)
    except RequestError as error:
        return {"name": name, "can": [], "problem": error.message}
    can = {"resolve": True, "carry": isinstance(adapter, Carries)}
    can |= {"publish": isinstance(adapter, Publishes)}
    can |= dict.fromkeys(("versions", "verify", "retire"), isinstance(adapter, Versioned))
    can |= {"foresee": isinstance(adapter, Foresees)}
    return {"name": name, "can": [each for each, able in can.items() if able], "problem": ""}


def _deployed() -> dict[str, Any]:
    """What is registered, by address. Without an engine: nothing, which is said."""
    try:
        listed = admin.call("GET", "/deployments")["deployments"]
    except CommandError as error:
        if error.exit_code != ExitCode.TRY_LATER:
            raise
        typer.echo(f"Note: what is registered is not known. {error.message}", err=True)
        return {}
    return {each.get("arn") or each.get("uri"): each for each in listed}


def _of(version: Version, deployed: dict[str, Any]) -> dict[str, Any] | None:
    """The deployment of a version, wherever in it the endpoint is mounted."""
    base = version.uri.rstrip("/")
    for uri, deployment in deployed.items():
        if uri == version.uri or uri.startswith(f"{base}/"):
            found: dict[str, Any] = deployment
            return found
    return None


def _none(adapter: object, target: str) -> str:
    from steadfaas.spi import Publishes

    if not isinstance(adapter, Publishes):
        return "No versions."
    return (
        "No published versions. Publish one with"
        f" 'steadfaas deployments register {target} --publish'."
    )


def _row(version: Version, deployment: dict[str, Any] | None) -> tuple[str, ...]:
    known = deployment or {"id": drain.UNKNOWN}
    return (
        version.label,
        ", ".join(version.names),
        _published(version),
        str(known["id"]),
        drain.state(known, {}),
        drain.unfinished(known),
    )


def _as_json(version: Version, deployment: dict[str, Any] | None) -> dict[str, Any]:
    known = deployment or {}
    return {
        "version": version.label,
        "uri": version.uri,
        "created_at": version.created_at,
        "names": list(version.names),
        "facts": dict(version.facts),
        "deployment": known.get("id"),
        "drain": known.get("drain"),
    }


def _published(version: Version) -> str:
    from datetime import UTC, datetime

    if version.created_at is None:
        return ""
    return datetime.fromtimestamp(version.created_at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
