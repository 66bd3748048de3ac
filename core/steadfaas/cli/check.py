"""`steadfaas check`: whether the code of a deployment would go on with journals of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import typer

from steadfaas.cli import admin, render
from steadfaas.cli.commands import Json
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.filters import (
    Handler,
    Key,
    PinnedTo,
    Queries,
    Selection,
    Service,
    Statuses,
    filters,
    found,
    select,
)
from steadfaas.cli.progress import Progress

# Those that have begun; what has not has no journal to compare.
_BEGUN: Final = ("ready", "running", "backing-off", "suspended", "paused")
_AT_ONCE: Final = 8
# The server runs the code, for as long as an attempt may take.
_SECONDS: Final = 120.0
_VERDICTS: Final = ("compatible", "diverges", "cannot-tell")
# Of a Restate server.
_NOT_THERE: Final = (
    "It keeps journals, but tries no other code on them. What was begun there goes on with the code"
    " that began it while that version stays: see 'steadfaas status'."
)

Finding = dict[str, Any]


def check(
    queries: Queries = None,
    deployment: Annotated[
        str, typer.Option(metavar="ID|latest", help="Whose code to check against.")
    ] = "latest",
    service: Service = None,
    handler: Handler = None,
    key: Key = None,
    status: Statuses = None,
    pinned_to: PinnedTo = None,
    sample: Annotated[
        int | None, typer.Option(min=1, max=1000, help="At most so many of each handler.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many in all.")] = 1000,
    as_json: Json = False,
) -> None:
    """Check whether a deployment's code would go on with the journals of unfinished invocations.

    The code runs there until it meets the end of each journal. Steps in the journal are not
    repeated and nothing is stored, but code outside of steps does run.

    Exit codes: 0 all compatible or nothing to check, 1 something diverges or was refused, 75 it
    cannot be told for some.

    Example: steadfaas check --service Greeter --deployment latest --sample 20
    """
    given = filters(service, handler, key, status, pinned_to)
    selection = select(queries, given, meant=_BEGUN)
    try:
        ids = list(dict.fromkeys(_ids(selection, limit=limit, sample=sample)))
        if len(ids) >= limit:
            typer.echo(f"Only {limit} are checked: raise --limit, or give --sample.", err=True)
        findings = list(_with_progress(_findings(ids, deployment), len(ids)))
    except admin.MissingRoute as error:
        if not admin.is_ours():
            error.message += f" {_NOT_THERE}"
        raise
    if as_json:
        render.print_json(findings)
    else:
        _report(findings)
    raise typer.Exit(exit_code(findings))


def exit_code(findings: list[Finding]) -> ExitCode:
    """1 if one diverges or was refused, else 75 if one cannot be told, else 0."""
    verdicts = {finding["verdict"] for finding in findings}
    if verdicts - {"compatible", "cannot-tell"}:
        return ExitCode.REFUSED
    return ExitCode.TRY_LATER if "cannot-tell" in verdicts else ExitCode.DONE


# --- asking ------------------------------------------------------------------------------------


def _ids(selection: Selection, *, limit: int, sample: int | None) -> Iterator[str]:
    yield from selection.ids[:limit]
    for condition in selection.conditions:
        for page in found(condition, limit=limit, sample=sample):
            for one in page["invocations"]:
                yield str(one["id"])


def _findings(ids: list[str], deployment: str) -> Iterator[Finding]:
    # Loaded here: most commands ask one thing at a time.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda id: _finding(id, deployment), ids)


def _finding(id: str, deployment: str) -> Finding:
    route = admin.path("invocations", id, "check")
    try:
        answer: Finding = admin.call(
            "POST", route, query={"deployment": deployment}, timeout=_SECONDS
        )
    except admin.MissingRoute:
        raise
    except CommandError as error:
        if error.exit_code != ExitCode.REFUSED:
            raise
        return {"invocation_id": id, "verdict": "refused", "reason": error.message}
    return answer


def _with_progress(findings: Iterable[Finding], number: int) -> Iterator[Finding]:
    with Progress() as progress:
        for done, finding in enumerate(findings, 1):
            yield finding
            if number > 1:
                progress.show(f"checked {done} of {number}")


# --- telling -----------------------------------------------------------------------------------


def _report(findings: list[Finding]) -> None:
    if not findings:
        typer.echo("Nothing to check: no begun invocation matches.")
        return
    render.print_table(
        ("INVOCATION", "TARGET", "VERDICT", "AT COMMAND", "RECORDED", "NEW CODE", "REASON"),
        [_row(finding) for finding in findings],
        empty="",
    )
    typer.echo()
    for line in _summaries(findings):
        typer.echo(line)
    deployments = sorted({str(one["deployment_id"]) for one in findings if "deployment_id" in one})
    if deployments:
        typer.echo(f"Code outside of `run` steps was executed on {', '.join(deployments)}.")


def _row(finding: Finding) -> tuple[str, ...]:
    index = finding.get("index")
    return (
        str(finding["invocation_id"]),
        str(finding.get("target") or "-"),
        str(finding["verdict"]),
        "-" if index is None else str(index),
        str(finding.get("recorded") or "-"),
        str(finding.get("issued") or "-"),
        render.first_line(finding.get("reason"), 120),
    )


def _summaries(findings: list[Finding]) -> Iterator[str]:
    """One line for each handler."""
    counts: dict[str, Counter[str]] = {}
    for finding in findings:
        counts.setdefault(_handler(finding.get("target")), Counter())[finding["verdict"]] += 1
    for name, verdicts in sorted(counts.items()):
        ordered = sorted(verdicts, key=lambda one: (*_VERDICTS, one).index(one))
        yield f"{name}: " + ", ".join(f"{verdicts[each]} {each}" for each in ordered)


def _handler(target: object) -> str:
    """`Service/handler` of a target, without the key, which may hold slashes of its own."""
    parts = str(target or "unknown").split("/")
    return "/".join((parts[0], parts[-1])) if len(parts) > 1 else parts[0]
