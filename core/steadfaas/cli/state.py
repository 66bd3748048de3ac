"""`steadfaas state`: read and repair what objects and workflows keep."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from steadfaas.cli import admin, consent, render, state_values
from steadfaas.cli.commands import Group, Json, Yes, duration, pairs
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.state_values import State

app = Group("State of virtual objects and workflows.")

_Service = Annotated[str, typer.Argument(metavar="SERVICE", help="A virtual object or workflow.")]
_Key = Annotated[str, typer.Argument(metavar="KEY", help="Whose state.")]
_Force = Annotated[
    bool, typer.Option("--force", help="Also if somebody else has changed it meanwhile.")
]
_Wait = Annotated[
    str, typer.Option("--wait", metavar="DURATION", help="How long to wait until it took effect.")
]
_WAIT: Final = "5s"
_PAUSE_SECONDS: Final = 0.1


@app.verb()
def get(
    service: _Service,
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="Without it, the keys that have state.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the state of a key: values as text, or in base64 if they are none.

    Example: steadfaas state get Counter alice
    """
    if key is None:
        _list_keys(service, as_json=as_json)
        return
    answer = _read(service, key)
    if as_json:
        render.print_json(answer)
        return
    values = state_values.from_api(answer["state"])
    rows = [(name, *state_values.shown(value)) for name, value in sorted(values.items())]
    render.print_table(("NAME", "VALUE", "AS"), rows, empty=f"{service}/{key} has no state.")


@app.verb()
def edit(
    service: _Service,
    key: _Key,
    force: _Force = False,
    wait: _Wait = _WAIT,
    as_json: Json = False,
) -> None:
    """Change the state of a key in $EDITOR, as one JSON object.

    A value that is no JSON stands there as {"$text": "…"} or {"$base64": "…"}.

    Example: steadfaas state edit Counter alice
    """
    from steadfaas.cli.editor import edit_object

    answer = _read(service, key)
    before = state_values.from_api(answer["state"])
    edited = edit_object(state_values.to_edit(before))
    try:
        after = state_values.from_edit(edited, before)
    except ValueError as error:
        raise CommandError(f"{error}. Nothing was done.", ExitCode.REFUSED) from error
    _replace(answer, after, force=force, wait=wait, as_json=as_json)


@app.verb()
def patch(
    service: _Service,
    key: _Key,
    set_json: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=JSON", help="Set a value. May be repeated."),
    ] = None,
    set_text: Annotated[
        list[str] | None,
        typer.Option("--set-text", metavar="NAME=TEXT", help="Set a value that is not JSON."),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Remove a value. May be repeated.")
    ] = None,
    yes: Yes = False,
    force: _Force = False,
    wait: _Wait = _WAIT,
    as_json: Json = False,
) -> None:
    """Set or remove single values of a key; the others stay as they are.

    Example: steadfaas state patch Counter alice --set value=42 --unset draft
    """
    changes = {
        **{name: _json(name, text) for name, text in pairs(set_json, "--set").items()},
        **{name: text.encode() for name, text in pairs(set_text, "--set-text").items()},
    }
    if not changes and not unset:
        raise typer.BadParameter("nothing to change: give --set, --set-text or --unset")
    answer = _read(service, key)
    after = {**state_values.from_api(answer["state"]), **changes}
    for name in unset or ():
        after.pop(name, None)
    consent.ask(f"Change the state of {service}/{key}?", yes=yes)
    _replace(answer, after, force=force, wait=wait, as_json=as_json)


@app.verb()
def clear(
    service: _Service,
    key: _Key,
    yes: Yes = False,
    force: _Force = False,
    wait: _Wait = _WAIT,
    as_json: Json = False,
) -> None:
    """Remove all state of a key.

    Example: steadfaas state clear Counter alice --yes
    """
    answer = _read(service, key)
    number = len(answer["state"])
    if number:
        consent.ask(f"Remove {render.plural(number, 'value')} of {service}/{key}?", yes=yes)
    _replace(answer, {}, force=force, wait=wait, as_json=as_json)


def _json(name: str, text: str) -> bytes:
    import json

    try:
        return state_values.compact(json.loads(text))
    except ValueError as error:
        raise typer.BadParameter(
            f"'{text}' is not JSON; write a text as '{name}=\"…\"', or take --set-text",
            param_hint="--set",
        ) from error


def _route(service: str) -> str:
    return admin.path("services", service, "state")


def _read(service: str, key: str) -> Any:
    with admin.next_steps({404: "See 'steadfaas services list'."}):
        return admin.call("GET", _route(service), query={"key": key})


def _list_keys(service: str, *, as_json: bool) -> None:
    with admin.next_steps({404: "See 'steadfaas services list'."}):
        answer = admin.call("GET", _route(service))
    if as_json:
        render.print_json(answer)
        return
    rows = [(one["key"], str(one["entries"])) for one in answer["keys"]]
    render.print_table(("KEY", "VALUES"), rows, empty=f"No key of {service} has state.")
    if answer.get("truncated"):
        typer.echo("There are more keys; name one to see its state.", err=True)


def _replace(answer: Any, after: State, *, force: bool, wait: str, as_json: bool) -> None:
    """Send the new state and tell whether it took effect, which the server's answer does not."""
    name = f"{answer['service']}/{answer['key']}"
    latest = answer
    if state_values.from_api(answer["state"]) == after:
        sentence = f"{name} stays as it is"
    else:
        milliseconds = duration(wait, "--wait")
        body = {
            "object_key": answer["key"],
            "new_state": state_values.to_api(after),
            "version": None if force else answer["version"],
        }
        admin.call("POST", _route(answer["service"]), body)
        latest = _until_applied(answer, after, milliseconds / 1000)
        sentence = f"Changed {name}: {render.plural(len(after), 'value')}"
    if as_json:
        render.print_json(latest)
    else:
        typer.echo(sentence)


def _until_applied(answer: Any, after: State, seconds: float) -> Any:
    """The state once it is what was asked for.

    Raises CommandError: REFUSED if somebody else changed it first, TRY_LATER if it is not applied
    yet, because exclusive handlers of the key come first.
    """
    import time

    deadline = time.monotonic() + seconds
    while True:
        latest = _read(answer["service"], answer["key"])
        if state_values.from_api(latest["state"]) == after:
            return latest
        changed = latest["version"] != answer["version"]
        if changed or time.monotonic() + _PAUSE_SECONDS > deadline:
            raise _not_applied(f"{answer['service']}/{answer['key']}", changed=changed)
        time.sleep(_PAUSE_SECONDS)


def _not_applied(name: str, *, changed: bool) -> CommandError:
    if changed:
        return CommandError(
            f"Somebody else changed {name} meanwhile, so your change was dropped. "
            "Look with 'steadfaas state get' and do it again, or insist with --force.",
            ExitCode.REFUSED,
        )
    return CommandError(
        f"The change of {name} was accepted, but waits for handlers that use this key. If one of "
        "them changes the state, yours is dropped; look with 'steadfaas state get'.",
        ExitCode.TRY_LATER,
    )
