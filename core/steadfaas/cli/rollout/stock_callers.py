"""Who still calls a handler on a Restate server: from journals, in SQL."""

from __future__ import annotations

from typing import Any, Final

from steadfaas.cli import admin
from steadfaas.rollout.plan import Callers

_SECONDS: Final = 60.0
_CALLING: Final = """
    SELECT i.pinned_deployment_id AS id, count(DISTINCT i.id) AS invocations
    FROM sys_journal j JOIN sys_invocation i ON i.id = j.id
    WHERE i.status != 'completed' AND i.pinned_deployment_id IS NOT NULL
        AND j.entry_type IN ('Command: Call', 'Command: OneWayCall')
        AND starts_with(j.invoked_target, {start}) AND ends_with(j.invoked_target, {end})
    GROUP BY i.pinned_deployment_id
"""
_NOT_BEGUN: Final = """
    SELECT count(*) AS invocations FROM sys_invocation
    WHERE status != 'completed' AND pinned_deployment_id IS NULL
        AND target_service_name = {service} AND target_handler_name = {handler}
"""


def stock_callers(service: str, handler: str) -> list[Callers]:
    """Unfinished work that called this handler, or is to begin with it. Raises CommandError."""
    calling = _rows(_CALLING.format(start=_text(f"{service}/"), end=_text(f"/{handler}")))
    not_begun = _rows(_NOT_BEGUN.format(service=_text(service), handler=_text(handler)))
    found = [Callers(service, handler, row["id"], int(row["invocations"])) for row in calling]
    found += [Callers(service, handler, None, int(row["invocations"])) for row in not_begun]
    return [each for each in found if each.invocations]


def _rows(query: str) -> list[dict[str, Any]]:
    answer = admin.call("POST", "/query", {"query": query}, timeout=_SECONDS)
    return list(answer["rows"])


def _text(value: str) -> str:
    """A text of SQL."""
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
