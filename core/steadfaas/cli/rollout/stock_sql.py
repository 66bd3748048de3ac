"""What a Restate server tells in SQL only: what still needs a deployment, and who calls a handler.

An invocation is pinned there with the first step that it stores. Until then an attempt that runs
needs its deployment as well; whatever else is not pinned begins on the newest version.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

from steadfaas.cli import admin
from steadfaas.cli.exits import CommandError, ExitCode
from steadfaas.rollout.plan import Callers

_QUERY_SECONDS: Final = 60.0
_PATIENCE_SECONDS: Final = 10.0
_BLOCKERS: Final = 5

_NEEDED: Final = "coalesce(pinned_deployment_id, last_attempt_deployment_id)"
_NEEDING: Final = """
    status != 'completed' AND (pinned_deployment_id IS NOT NULL OR status = 'running')
"""
_COUNTS: Final = f"""
    SELECT {_NEEDED} AS id, status, count(*) AS invocations FROM sys_invocation
    WHERE {_NEEDING} GROUP BY {_NEEDED}, status
"""
_FIRST: Final = f"""
    SELECT id FROM sys_invocation WHERE {_NEEDING} AND {_NEEDED} = {{deployment}}
    ORDER BY created_at, id LIMIT {_BLOCKERS}
"""
# The columns for targets of calls are empty there, so that they are found in the entry itself. A
# quote in a key is escaped in it: what is looked for can stand in no key.
_CALLING: Final = """
    SELECT i.pinned_deployment_id AS id, count(DISTINCT i.id) AS invocations
    FROM sys_journal j JOIN sys_invocation i ON i.id = j.id
    WHERE i.status != 'completed' AND i.pinned_deployment_id IS NOT NULL
        AND j.entry_type IN ('Command: Call', 'Command: OneWayCall')
        AND strpos(j.entry_lite_json, {service}) > 0 AND strpos(j.entry_lite_json, {handler}) > 0
    GROUP BY i.pinned_deployment_id
"""
_NOT_BEGUN: Final = """
    SELECT count(*) AS invocations FROM sys_invocation
    WHERE status != 'completed' AND pinned_deployment_id IS NULL
        AND target_service_name = {service} AND target_handler_name = {handler}
"""


def needs() -> dict[str, dict[str, int]]:
    """How many unfinished invocations need each deployment, by status. Raises CommandError."""
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in _rows(_COUNTS):
        if row.get("id"):
            found[row["id"]][row["status"]] = int(row["invocations"])
    return found


def blockers(deployment: str) -> list[str]:
    """The oldest of the invocations that need a deployment. Raises CommandError."""
    return [str(row["id"]) for row in _rows(_FIRST.format(deployment=_text(deployment)))]


def callers(service: str, handler: str) -> list[Callers]:
    """Unfinished work that called this handler, or is to begin with it. Raises CommandError."""
    target, name = f':{{"name":"{service}",', f'"handler":"{handler}",'
    calling = _rows(_CALLING.format(service=_text(target), handler=_text(name)))
    not_begun = _rows(_NOT_BEGUN.format(service=_text(service), handler=_text(handler)))
    found = [Callers(service, handler, row["id"], int(row["invocations"])) for row in calling]
    found += [Callers(service, handler, None, int(row["invocations"])) for row in not_begun]
    return [each for each in found if each.invocations]


def _rows(query: str) -> list[dict[str, Any]]:
    patient = Retrying(
        retry=retry_if_exception(_may_pass),
        wait=wait_exponential(0.1, max=1.0),
        stop=stop_after_delay(_PATIENCE_SECONDS),
        reraise=True,
    )
    try:
        return list(patient(_ask, query))
    except CommandError as error:
        if not _may_pass(error):
            raise
        raise CommandError(
            f"The server cannot tell what is unfinished there: {error.message.rstrip('.')}."
            " A part of it may have no leader now.",
            ExitCode.TRY_LATER,
            status=error.status,
        ) from error


def _ask(query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin.call(
        "POST", "/query", {"query": query}, timeout=_QUERY_SECONDS
    )["rows"]
    return found


def _may_pass(error: BaseException) -> bool:
    # The queries are right: it starts, or a partition changes its leader.
    return isinstance(error, CommandError) and (error.status or 0) >= 500


def _text(value: str) -> str:
    """A text of SQL."""
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
