"""Settings of services: those that a file declares beside those that a revision has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from steadfaas.durations import format_duration, parse_duration
from steadfaas.rollout.world import Json

if TYPE_CHECKING:
    from steadfaas.config import DeclaredRetry, DeclaredService

TIMES: Final = (
    *("idempotency_retention", "workflow_completion_retention", "journal_retention"),
    *("inactivity_timeout", "abort_timeout"),
)
# The server takes no other word for "never stop", and nobody gets to this number.
UNLIMITED: Final = 2**31 - 1
# The engine cuts times, and factors, to a hundred years (in ms), and retries no sooner than this
# many ms: what is declared beyond would differ for ever from what it then shows.
LONGEST: Final = 36_525 * 86_400_000
SHORTEST_INTERVAL: Final = 10

_INTERVALS: Final = ("initial_interval", "max_interval")


def changes(declared: DeclaredService, view: Json) -> tuple[Json, Json]:
    """The body of the PATCH that makes a revision, seen in its view, what is declared, and what it
    has there now; both are empty if nothing is to be changed."""
    wanted: Json = {}
    if declared.public is not None:
        wanted["public"] = declared.public
    for name in TIMES:
        millis = getattr(declared, name)
        if millis is not None:
            wanted[name] = format_duration(min(millis, LONGEST))
    after = {name: value for name, value in wanted.items() if not _same(value, view.get(name))}
    before = {name: view.get(name) for name in after}
    if declared.retry is not None:
        policy = view.get("retry_policy") or {}
        retry = _retry(declared.retry)
        other = {
            name: value for name, value in retry.items() if not _same_retry(name, value, policy)
        }
        if other:
            after["retry_policy"] = other
            before["retry_policy"] = {name: policy.get(name) for name in other}
    return after, before


def _retry(declared: DeclaredRetry) -> Json:
    found: Json = {}
    for name in _INTERVALS:
        millis = getattr(declared, name)
        if millis is not None:
            found[name] = format_duration(min(max(millis, SHORTEST_INTERVAL), LONGEST))
    if declared.exponentiation_factor is not None:
        found["exponentiation_factor"] = min(declared.exponentiation_factor, float(LONGEST))
    if declared.max_attempts is not None:
        attempts = declared.max_attempts
        found["max_attempts"] = UNLIMITED if attempts == "unlimited" else min(attempts, UNLIMITED)
    if declared.on_max_attempts is not None:
        found["on_max_attempts"] = declared.on_max_attempts.capitalize()
    return found


def _same(wanted: Any, shown: Any) -> bool:
    if isinstance(wanted, str) and isinstance(shown, str):
        return wanted == shown or parse_duration(wanted) == parse_duration(shown)
    return bool(wanted == shown)


def _same_retry(name: str, wanted: Any, policy: Json) -> bool:
    shown = policy.get(name)
    if name == "max_attempts":
        # No number at all means no end.
        return bool(min(shown if shown is not None else UNLIMITED, UNLIMITED) == wanted)
    if name == "on_max_attempts":
        return bool(str(shown).capitalize() == wanted)
    return _same(wanted, shown)
