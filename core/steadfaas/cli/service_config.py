"""`steadfaas services config`: settings of a service that hold until its next registration."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import typer

from steadfaas.cli import admin, render
from steadfaas.cli.commands import Group, Json, duration
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.rollout.settings import TIMES, UNLIMITED

app = Group("Settings of a service, until its next registration.")

SETTINGS: Final = ("public", *TIMES)
RETRY: Final = (
    *("initial_interval", "exponentiation_factor", "max_attempts"),
    *("max_interval", "on_max_attempts"),
)
_Name = Annotated[str, typer.Argument(metavar="SERVICE", help="A service's name.")]
_Time = Annotated[str | None, typer.Option(metavar="DURATION")]


@app.verb()
def view(name: _Name, as_json: Json = False) -> None:
    """Show the settings of a service.

    Example: steadfaas services config view Greeter
    """
    answer = _read(name)
    if as_json:
        render.print_json(answer)
    else:
        _print(answer)


@app.verb("set")
def set_config(
    name: _Name,
    public: Annotated[
        bool | None, typer.Option("--public/--private", help="Whether the ingress lets it be used.")
    ] = None,
    idempotency_retention: _Time = None,
    workflow_completion_retention: _Time = None,
    journal_retention: _Time = None,
    inactivity_timeout: _Time = None,
    abort_timeout: _Time = None,
    retry_initial_interval: _Time = None,
    retry_max_interval: _Time = None,
    retry_exponentiation_factor: Annotated[
        float | None, typer.Option(min=1, metavar="NUMBER")
    ] = None,
    retry_max_attempts: Annotated[
        str | None, typer.Option(metavar="N|unlimited", help="The first attempt counts too.")
    ] = None,
    retry_on_max_attempts: Annotated[
        Literal["pause", "kill"] | None, typer.Option(help="What follows the last attempt.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change settings of a service; what you leave out stays as it is.

    Example: steadfaas services config set Greeter --private --retry-max-attempts unlimited
    """
    times: dict[str, str | None] = {
        "idempotency_retention": idempotency_retention,
        "workflow_completion_retention": workflow_completion_retention,
        "journal_retention": journal_retention,
        "inactivity_timeout": inactivity_timeout,
        "abort_timeout": abort_timeout,
    }
    intervals: dict[str, str | None] = {
        "initial_interval": retry_initial_interval,
        "max_interval": retry_max_interval,
    }
    retry: dict[str, Any] = {
        **_checked(intervals, "--retry-"),
        "exponentiation_factor": retry_exponentiation_factor,
        "max_attempts": _attempts(retry_max_attempts),
        "on_max_attempts": retry_on_max_attempts and retry_on_max_attempts.capitalize(),
    }
    changes = _given({"public": public, **_checked(times, "--"), "retry_policy": _given(retry)})
    if not changes:
        raise typer.BadParameter("nothing to change: give at least one setting")
    _patch(name, changes, as_json=as_json)


@app.verb()
def edit(name: _Name, as_json: Json = False) -> None:
    """Change the settings of a service in $EDITOR, as JSON.

    Example: steadfaas services config edit Greeter
    """
    from steadfaas.cli.editor import edit_object

    before = settings_of(_read(name))
    changes = difference(before, edit_object(before))
    if changes:
        _patch(name, changes, as_json=as_json)
    else:
        typer.echo(f"{name} stays as it is", err=as_json)


def settings_of(service: dict[str, Any]) -> dict[str, Any]:
    """What of a service can be changed, with its present values."""
    settings: dict[str, Any] = {name: service[name] for name in SETTINGS if name in service}
    policy = service.get("retry_policy") or {}
    retry = {name: _spoken(name, policy[name]) for name in RETRY if name in policy}
    if retry:
        settings["retry_policy"] = retry
    return settings


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The change that makes `after` out of `before`.

    Raises CommandError for a setting that there is not, and for one that was removed.
    """
    for names, where in (
        (before.keys() - after.keys(), "missing"),
        (after.keys() - before.keys(), "unknown"),
    ):
        if names:
            raise CommandError(
                f"The setting {', '.join(sorted(names))} is {where}. Change values only, and leave "
                "all names as they are. Nothing was done.",
                ExitCode.REFUSED,
            )
    changes = {}
    for name, value in after.items():
        if value == before[name]:
            continue
        nested = isinstance(value, dict) and isinstance(before[name], dict)
        changes[name] = difference(before[name], value) if nested else _meant(name, value)
    return changes


def _meant(name: str, value: Any) -> Any:
    return UNLIMITED if name == "max_attempts" and value in (None, "unlimited") else value


def _spoken(name: str, value: Any) -> Any:
    if name == "max_attempts" and (value is None or value >= UNLIMITED):
        return "unlimited"
    return value


def _checked(times: dict[str, str | None], prefix: str) -> dict[str, str]:
    """The durations that were given. Raises BadParameter before the server is asked."""
    given = {name: text for name, text in times.items() if text is not None}
    for name, text in given.items():
        duration(text, prefix + name.replace("_", "-"))
    return given


def _attempts(text: str | None) -> int | None:
    if text is None or text == "unlimited":
        return None if text is None else UNLIMITED
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(
            f"'{text}' is neither a number from 1 up nor 'unlimited'",
            param_hint="--retry-max-attempts",
        )
    return int(text)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, {})}


def _read(name: str) -> dict[str, Any]:
    with admin.next_steps({404: "See 'steadfaas services list'."}):
        answer: dict[str, Any] = admin.call("GET", admin.path("services", name))
    return answer


def _patch(name: str, changes: dict[str, Any], *, as_json: bool) -> None:
    with admin.next_steps({404: "See 'steadfaas services list'."}):
        answer = admin.call("PATCH", admin.path("services", name), changes)
    if as_json:
        render.print_json(answer)
        return
    typer.echo(f"Changed {name}; the next registration brings back what its code says.")
    _print(answer)


def _print(service: dict[str, Any]) -> None:
    settings = settings_of(service)
    retry = settings.pop("retry_policy", {})
    render.print_facts(
        [
            ("service", service["name"]),
            *((name.replace("_", " "), _said(value)) for name, value in settings.items()),
            *((f"retry {name.replace('_', ' ')}", _said(value)) for name, value in retry.items()),
        ]
    )


def _said(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
