"""Invocations as the command line shows them."""

from __future__ import annotations

from typing import Any

import typer

from steadfaas.cli import render
from steadfaas.cli.deployment_views import metadata

Json = dict[str, Any]


def print_list(invocations: list[Json]) -> None:
    """Invocations, one a row."""
    rows = [
        (
            one["id"],
            one["target"],
            one["status"],
            render.moment(one.get("created_at")),
            _place(one),
            str(one.get("retry_count") or "-"),
            render.moment(one.get("next_retry_at")) or "-",
            render.first_line(_failure(one.get("last_failure")), 60),
        )
        for one in invocations
    ]
    render.print_table(
        (
            *("ID", "TARGET", "STATUS", "CREATED", "DEPLOYMENT"),
            *("TRIES", "NEXT RETRY", "LAST FAILURE"),
        ),
        rows,
        empty="No such invocations.",
    )


def print_detail(invocation: Json) -> None:
    """One invocation, in full."""
    render.print_facts(_facts(invocation))
    _print_next_step(invocation)
    typer.echo()
    _print_attempts(invocation.get("attempts", []))
    _print_events(invocation.get("events", []))
    if mismatch := invocation.get("mismatch"):
        _print_mismatch(mismatch)


def _facts(invocation: Json) -> list[tuple[str, str]]:
    status = invocation["status"] + (", to be paused" if invocation.get("pausing") else "")
    return [
        ("id", invocation["id"]),
        ("target", invocation["target"]),
        ("status", status),
        ("deployment", invocation.get("deployment_id") or "none yet"),
        ("waits for version", invocation.get("waits_for_version") or ""),
        ("waits until", render.moment(invocation.get("waits_until"))),
        ("protocol", str(invocation.get("protocol_version") or "")),
        ("idempotency key", invocation.get("idempotency_key") or ""),
        ("called by", _caller(invocation)),
        ("restarted from", invocation.get("restarted_from") or ""),
        ("created", render.moment(invocation.get("created_at"))),
        ("modified", render.moment(invocation.get("modified_at"))),
        ("last failure", _failure(invocation.get("last_failure"))),
        ("next retry", render.moment(invocation.get("next_retry_at"))),
        ("starts", render.moment(invocation.get("scheduled_at"))),
        ("wakes up", render.moment(invocation.get("wakes_up_at"))),
        ("completed", render.moment(invocation.get("completed_at"))),
        ("result", _result(invocation.get("result"))),
    ]


def _place(one: Json) -> str:
    if awaited := one.get("waits_for_version"):
        return f"waits for {awaited}"
    return str(one.get("deployment_id") or "-")


def _caller(invocation: Json) -> str:
    names = (invocation.get("invoked_by_target"), invocation.get("invoked_by"))
    return " ".join(str(name) for name in names if name)


def _failure(failure: object) -> str:
    """The first line of a failure: its stable code and its message."""
    if not isinstance(failure, dict):
        return str(failure or "")
    words = [str(failure.get("restate_code") or ""), str(failure.get("message") or "")]
    return render.first_line(" ".join(word for word in words if word), 200)


def _result(result: Json | None) -> str:
    if not result:
        return ""
    if result["outcome"] == "success":
        return "success"
    return f"failure [{result.get('code')}] {result.get('message')}"


def _print_next_step(invocation: Json) -> None:
    if invocation["status"] != "paused":
        return
    identifier = invocation["id"]
    typer.echo(f"\nGo on with: steadfaas invocations resume {identifier}")
    if invocation.get("mismatch"):
        typer.echo(
            f"or with other code: steadfaas invocations resume {identifier} --deployment ID --check"
        )


def _print_attempts(attempts: list[Json]) -> None:
    rows = [
        (
            str(attempt["attempt"]),
            str(attempt.get("deployment_id") or "-"),
            render.moment(attempt.get("started_at")),
            render.moment(attempt.get("ended_at")) or "-",
            str(attempt.get("outcome") or "running"),
        )
        for attempt in attempts
    ]
    render.print_table(
        ("ATTEMPT", "DEPLOYMENT", "STARTED", "ENDED", "OUTCOME"), rows, empty="No attempts yet."
    )


def _print_events(events: list[Json]) -> None:
    if not events:
        return
    typer.echo()
    rows = [(render.moment(event.get("at")), str(event["type"]), _event(event)) for event in events]
    render.print_table(("WHEN", "EVENT", "DETAIL"), rows, empty="")


def _event(event: Json) -> str:
    match event["type"]:
        case "PinMoved":
            return f"{event.get('from')} -> {event.get('to')} by {event.get('by')}"
        case "Paused":
            failure = event.get("last_failure") or {}
            return _event_failure(failure) if failure else "by an operator"
        case _:
            return _event_failure(event)


def _event_failure(failure: Json) -> str:
    code = failure.get("restate_doc_error_code") or failure.get("error_code") or ""
    return render.first_line(f"{code} {failure.get('error_message') or ''}".strip(), 100)


def _print_mismatch(mismatch: Json) -> None:
    index = mismatch["index"]
    typer.echo(f"\nThe code took another path than the journal (RT0016), first at command {index}:")
    if skipped := mismatch.get("skipped"):
        typer.echo(f"({render.plural(skipped, 'command')} before these agree)")
    rows = [
        (
            ">" if command["index"] == index else "",
            str(command["index"]),
            str(command.get("recorded") or "-"),
            str(command.get("issued") or "-"),
        )
        for command in mismatch["commands"]
    ]
    render.print_table(("", "INDEX", "RECORDED", "ISSUED"), rows, empty="")
    render.print_facts(
        [
            ("recorded by", _author(mismatch.get("recorded_by"))),
            ("issued by", _author(mismatch.get("issued_by"))),
        ]
    )


def _author(deployment: Json | None) -> str:
    if not deployment or "id" not in deployment:
        return "a deployment that is not known"
    notes = metadata(deployment.get("metadata"))
    removed = "removed since" if deployment.get("removed") else ""
    return " ".join(word for word in (deployment["id"], notes, removed) if word)
