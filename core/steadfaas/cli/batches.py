"""Carrying out one operation on many invocations, and telling what became of them.

A single invocation, and everything that only the route of a single one offers, goes one by one; the
rest goes to the server as a batch, page by page. Both give answers of the same shape:
`{"operation", "matched", "done", "accepted", "refused", "refusals"}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import typer

from steadfaas.cli import admin, consent, invocation_views, render
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.cli.filters import Selection, found
from steadfaas.cli.progress import Progress

_PAGE: Final = 1000
# The server lets only a few attempts begin at a time, so pages of these take longer.
_PAGE_OF_ATTEMPTS: Final = 100
_OPENS_ATTEMPTS: Final = frozenset({"cancel", "resume", "restart-as-new"})
_SECONDS_FOR_A_PAGE: Final = 300.0
_AT_ONCE: Final = 8
_ROWS_SHOWN: Final = 5
_REFUSALS_SHOWN: Final = 10
# Counting further than this helps nobody to decide.
_COUNTED: Final = 100_000

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """What to do to which invocations. `options` are those of the route of a single one; `bulk`
    says whether a batch can carry them too."""

    operation: str
    selection: Selection
    options: Mapping[str, str | int | bool | None] = field(default_factory=dict)
    bulk: bool = True
    asks: bool = True

    @property
    def single(self) -> bool:
        """Whether it is about one named invocation."""
        return len(self.selection.ids) == 1


def carry_out(order: Order, *, yes: bool, as_json: bool) -> None:
    """Show what matches, ask, do it, and tell what became of it.

    Ends with 1 if nothing matched or something was refused.
    """
    _agree(order, yes=yes, as_json=as_json)
    answers: list[Json] = []
    try:
        with Progress() as progress:
            for answer in _answers(order):
                answers.append(answer)
                progress.show(_summary(order.operation, answers))
    except CommandError as error:
        if answers:
            error.message = f"{_summary(order.operation, answers)}; then: {error.message}"
        raise
    _report(order, answers, as_json=as_json)
    if _total(answers, "refused"):
        raise typer.Exit(ExitCode.REFUSED)
    if not _total(answers, "matched"):
        raise _nothing(order.operation)


# --- asking ------------------------------------------------------------------------------------


def _agree(order: Order, *, yes: bool, as_json: bool) -> None:
    if consent.given(yes) or (order.single and not order.asks):
        return
    if ids := order.selection.ids:
        consent.ask(_question(order, ids[0] if order.single else f"these {len(ids)}"), yes=yes)
        return
    matched, more = _count(order)
    if not matched:
        raise _nothing(order.operation)
    if not as_json:
        _show_first(order.selection, matched)
    number = f"{matched} or more invocations" if more else render.plural(matched, "invocation")
    consent.ask(_question(order, number), yes=yes)


def _question(order: Order, which: str) -> str:
    target = order.options.get("deployment")
    where = "" if target in (None, "keep") else f" on {target}"
    return f"{order.operation.replace('-', ' ').capitalize()} {which}{where}?"


def _count(order: Order) -> tuple[int, bool]:
    """How many match, and whether there may be more than that."""
    matched = 0
    for condition in order.selection.conditions:
        body: Json = {"operation": order.operation, "filter": condition, "dry_run": True}
        for answer in _pages(body, 10_000):
            matched += answer["matched"]
            if matched >= _COUNTED:
                return matched, True
    return matched, False


def _show_first(selection: Selection, matched: int) -> None:
    rows: list[Json] = []
    for condition in selection.conditions:
        for page in found(condition, limit=_ROWS_SHOWN - len(rows)):
            rows += page["invocations"]
    invocation_views.print_list(rows)
    if matched > len(rows):
        typer.echo(f"… and {matched - len(rows)} more")


# --- doing -------------------------------------------------------------------------------------


def _answers(order: Order) -> Iterator[Json]:
    ids = order.selection.ids
    if order.single:
        yield _tell(order, ids[0])
    elif order.bulk:
        yield from _batches(order)
    else:
        yield from _one_by_one(order, ids or _found_ids(order.selection))


def _batches(order: Order) -> Iterator[Json]:
    size = _PAGE_OF_ATTEMPTS if order.operation in _OPENS_ATTEMPTS else _PAGE
    body: Json = {"operation": order.operation, "deployment": order.options.get("deployment")}
    ids = list(order.selection.ids)
    for start in range(0, len(ids), size):
        some = ids[start : start + size]
        yield _page({**body, "ids": some, "limit": size})
    for condition in order.selection.conditions:
        yield from _pages({**body, "filter": condition}, size)


def _pages(body: Json, size: int) -> Iterator[Json]:
    after = None
    while True:
        answer = _page({**body, "limit": size, "after": after})
        yield answer
        after = answer.get("next")
        if after is None:
            return


def _page(body: Json) -> Json:
    answer: Json = admin.call("POST", "/invocations/batch", body, timeout=_SECONDS_FOR_A_PAGE)
    return answer


def _found_ids(selection: Selection) -> list[str]:
    return [
        one["id"]
        for condition in selection.conditions
        for page in found(condition, limit=_COUNTED)
        for one in page["invocations"]
    ]


def _one_by_one(order: Order, ids: Iterable[str]) -> Iterator[Json]:
    # Loaded here: most commands ask one thing at a time.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda id: _try(order, id), ids)


def _try(order: Order, id: str) -> Json:
    try:
        return _tell(order, id)
    except admin.MissingRoute:
        raise
    except CommandError as error:
        if error.exit_code != ExitCode.REFUSED:
            raise
        refusals = [{"id": id, "message": error.message}]
        return _outcome(order.operation, refused=1, refusals=refusals)


def _tell(order: Order, id: str) -> Json:
    route = admin.path("invocations", id, order.operation)
    answer = admin.ask("PATCH", route, query=order.options)
    done = int(answer.status != 202)
    return {**_outcome(order.operation, done=done, accepted=1 - done), **(answer.body or {})}


def _outcome(operation: str, **counts: Any) -> Json:
    none: Json = {"done": 0, "accepted": 0, "refused": 0, "refusals": []}
    return {"operation": operation, "matched": 1, **none, **counts}


# --- telling -----------------------------------------------------------------------------------


def _report(order: Order, answers: list[Json], *, as_json: bool) -> None:
    if as_json:
        render.print_json(answers)
        return
    typer.echo(_summary(order.operation, answers))
    for answer in answers:
        if new := answer.get("new_invocation_id"):
            typer.echo(f"new invocation: {new}")
    refusals = [refusal for answer in answers for refusal in answer["refusals"]]
    for refusal in refusals[:_REFUSALS_SHOWN]:
        typer.echo(f"  {refusal['id']}: {refusal['message']}", err=True)
    more = _total(answers, "refused") - len(refusals[:_REFUSALS_SHOWN])
    if more > 0:
        typer.echo(f"  and {more} more", err=True)


def _summary(operation: str, answers: list[Json]) -> str:
    words = [f"{_total(answers, 'done')} done"]
    if accepted := _total(answers, "accepted"):
        words.append(f"{accepted} accepted (takes effect later)")
    if refused := _total(answers, "refused"):
        words.append(f"{refused} refused")
    return f"{operation}: {', '.join(words)}"


def _total(answers: list[Json], name: str) -> int:
    return sum(int(answer[name]) for answer in answers)


def _nothing(operation: str) -> CommandError:
    return CommandError(
        f"Nothing to {operation.replace('-', ' ')}: no invocation matches. "
        "Look with 'steadfaas invocations list --all'.",
        ExitCode.REFUSED,
    )
