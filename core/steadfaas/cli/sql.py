"""`steadfaas sql`: questions that no other command answers."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from steadfaas.cli import admin, render
from steadfaas.cli.commands import Json

_SECONDS: Final = 300.0


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT.")],
    as_json: Json = False,
) -> None:
    """Ask in SQL: sys_invocation, sys_journal, sys_deployment, sys_service, state and others.

    Example: steadfaas sql "SELECT status, count(*) AS n FROM sys_invocation GROUP BY status"
    """
    answer = admin.call("POST", "/query", {"query": query}, timeout=_SECONDS)
    if as_json:
        render.print_json(answer)
        return
    rows = answer["rows"]
    # Columns that are null are left out of a row, so each row may bring new ones.
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    render.print_table(columns, cells, empty="No rows.")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False)
