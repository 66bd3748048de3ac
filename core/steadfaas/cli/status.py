"""`steadfaas status`: services, their current and older versions, and what holds those up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import typer

from steadfaas.cli import drain, platforms, render
from steadfaas.cli.commands import Json
from steadfaas.cli.deployment_views import endpoint
from steadfaas.cli.rollout.options import Config, known_address

if TYPE_CHECKING:
    from steadfaas.rollout.standing import Older, Standing
    from steadfaas.rollout.world import Known

# More of them help nobody on one screen.
_DRAINED_SHOWN: Final = 10


def status(config: Config = None, as_json: Json = False) -> None:
    """Show on one screen what is current, what is still draining and why, and what is at risk.

    Example: steadfaas status
    """
    from steadfaas.cli.rollout.connect import connect
    from steadfaas.rollout.standing import standing

    known_address(config)
    server = connect()
    found = standing(server.world(), blockers=server.blockers, platform_keeps=platforms.keeps)
    if as_json:
        render.print_json(_as_json(found))
        return
    _print_services(found)
    _print_older("DRAINING", found.draining)
    _print_older("DRAINED", found.drained[-_DRAINED_SHOWN:], len(found.drained))
    _print_at_risk(found.at_risk)


def _print_services(found: Standing) -> None:
    rows = [
        (
            each.service,
            each.type,
            str(each.revision),
            f"{each.deployment.id} {endpoint(each.deployment.view)}",
            str(each.deployment.unfinished),
            _older(each.older),
        )
        for each in found.services
    ]
    render.print_table(
        ("SERVICE", "TYPE", "REVISION", "CURRENT VERSION", "UNFINISHED", "OLDER VERSIONS"),
        rows,
        empty="No services. Deploy some with 'steadfaas apply'.",
    )


def _older(older: Iterable[Known]) -> str:
    found = list(older)
    draining = sum(1 for each in found if each.unfinished)
    parts = [f"{draining} draining"] if draining else []
    if len(found) > draining:
        parts.append(f"{len(found) - draining} drained")
    return ", ".join(parts) or "-"


def _print_older(title: str, older: tuple[Older, ...], number: int | None = None) -> None:
    if not older:
        return
    typer.echo()
    draining = title == "DRAINING"
    header = (title, "ENDPOINT", "SERVICES (REVISION)", "STATE")
    more = ("UNFINISHED", "NEXT WAKE-UP", "DRAINED NOT BEFORE", "WAITS FOR") if draining else ()
    rows = [_row(each) if draining else _row(each)[:4] for each in older]
    render.print_table((*header, *more), rows, empty="")
    if number is not None and number > len(older):
        typer.echo(f"and {number - len(older)} more; see 'steadfaas deployments list'")


def _row(older: Older) -> tuple[str, ...]:
    known = older.deployment
    services = ", ".join(f"{name} ({revision})" for name, revision in known.revisions.items())
    return (
        *(known.id, endpoint(known.view), services, older.state, str(known.unfinished)),
        *(drain.when(known.view, "next_wake_up"), drain.when(known.view, "earliest_drained_at")),
        " ".join(_waits(older)),
    )


def _waits(older: Older) -> Iterator[str]:
    yield from older.blockers
    more = older.deployment.unfinished - len(older.blockers)
    if more > 0:
        yield f"and {more} more"


def _print_at_risk(at_risk: tuple[Known, ...]) -> None:
    if not at_risk:
        return
    typer.echo()
    rows = [
        (known.id, endpoint(known.view), render.moment(_risk(known)["at"]), _risk(known)["why"])
        for known in at_risk
    ]
    render.print_table(("AT RISK", "ENDPOINT", "MAY GO FROM", "WHY"), rows, empty="")
    typer.echo("Keep them with 'steadfaas deployments hold ID'.")


def _risk(known: Known) -> dict[str, Any]:
    from steadfaas.rollout.standing import risk

    return risk(known) or {}


def _as_json(found: Standing) -> dict[str, Any]:
    return {
        "services": [
            {
                "name": each.service,
                "type": each.type,
                "revision": each.revision,
                "deployment_id": each.deployment.id,
                "uri": each.deployment.uri,
                "unfinished": each.deployment.unfinished,
                "older": [older.id for older in each.older],
            }
            for each in found.services
        ],
        "draining": [_older_json(each) for each in found.draining],
        "drained": [_older_json(each) for each in found.drained],
        "at_risk": [
            {"deployment_id": known.id, "uri": known.uri, **_risk(known)} for known in found.at_risk
        ],
    }


def _older_json(older: Older) -> dict[str, Any]:
    known = older.deployment
    return {
        "deployment_id": known.id,
        "uri": known.uri,
        "state": older.state,
        "services": known.revisions,
        "unfinished": known.unfinished,
        "blockers": list(older.blockers),
        **({"drain": known.view["drain"]} if "drain" in known.view else {}),
    }
