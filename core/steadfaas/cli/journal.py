"""A journal as the command line shows it: one line for each entry."""

from __future__ import annotations

import json
from typing import Any

from steadfaas.cli import render

_SHOWN = 60


def print_journal(entries: list[dict[str, Any]]) -> None:
    """All entries, in order."""
    rows = [
        (
            str(entry["index"]),
            str(entry["type"]),
            str(entry.get("name") or ""),
            render.moment(entry.get("appended_at")),
            detail(entry.get("entry_json")),
        )
        for entry in entries
    ]
    render.print_table(
        ("INDEX", "TYPE", "NAME", "STORED", "DETAIL"),
        rows,
        empty="The journal is gone: it was purged, or is not kept after completion.",
    )


def detail(entry: object) -> str:
    """What an entry holds, short: values as text, times as dates."""
    if isinstance(entry, str):
        try:
            entry = json.loads(entry)
        except ValueError:
            return ""
    while isinstance(entry, dict) and len(entry) == 1 and _is_wrapper(next(iter(entry))):
        entry = next(iter(entry.values()))
    return render.first_line(" ".join(_words(entry)), _SHOWN) if isinstance(entry, dict) else ""


def _is_wrapper(name: str) -> bool:
    """`{"Command": {"Run": {…}}}`: names of kinds begin with a capital letter."""
    return name[:1].isupper() and name not in ("Success", "Failure")


def _words(fields: dict[str, Any]) -> list[str]:
    words = []
    for name, value in fields.items():
        match name, value:
            case ("name" | "headers" | "invocation_id_completion_id", _) | (_, None | ""):
                continue
            case "completion_id" | "result_completion_id", int():
                words.append(f"#{value}")
            case "invocation_id", str():
                words.append(value)
            case "wake_up_time" | "invoke_time", int():
                words += [_date(value)] if value else []
            case "request", dict():
                words.append(_callee(value))
            case "result", dict() | str():
                words.append(_result(value))
            case "id", dict():
                words += [f"{kind} {number}" for kind, number in value.items()]
            case (("payload" | "value" | "parameter"), list()):
                words.append(_text(value))
            case _, str() | int():
                words.append(f"{name}={value}")
    return words


def _result(result: dict[str, Any] | str) -> str:
    if isinstance(result, str):
        return result
    if "Failure" in result:
        failure = result["Failure"]
        return f"failed [{failure.get('code')}] {failure.get('message')}"
    value = result.get("Success")
    return _text(value) if isinstance(value, list) else ""


def _callee(request: dict[str, Any]) -> str:
    target: dict[str, dict[str, Any]] = request.get("invocation_target") or {}
    names = next(iter(target.values()), {})
    path = [str(names[part]) for part in ("name", "key", "handler") if names.get(part) is not None]
    words = ["/".join(path), request.get("invocation_id"), _text(request.get("parameter") or [])]
    return " ".join(word for word in words if word)


def _text(octets: list[int]) -> str:
    raw = bytes(octets)
    text = raw.decode(errors="replace")
    return text if text.isprintable() else f"{len(raw)} bytes"


def _date(millis: int) -> str:
    from datetime import UTC, datetime

    return render.moment(datetime.fromtimestamp(millis / 1000, UTC).isoformat())
