"""Sentences about versions."""

from __future__ import annotations

from typing import Any

from steadfaas.cli import render
from steadfaas.cli.dev.records import Record


def waiting(count: int) -> str:
    """`1 invocation waits`, `2 invocations wait`."""
    return f"{render.plural(count, 'invocation')} {'waits' if count == 1 else 'wait'}"


def standing(record: Record) -> str:
    """What an older version is there for: `2 unfinished (1 sleeping, next wake-up …)`."""
    words = [f"{record.unfinished} unfinished"]
    if record.details and record.unfinished:
        words[0] += f" ({record.details})"
    if record.active:
        words.append(f"takes the new requests of {', '.join(record.active)}")
    return "; ".join(words)


def missing(record: Record) -> str:
    """A version cannot be started again."""
    return (
        f"its snapshot is gone, and {waiting(record.unfinished)} for it. See whether newer code"
        f" goes on with them: steadfaas invocations resume --pinned-to {record.id}"
        " --deployment latest --check"
    )


def silent(port: int, seconds: float) -> str:
    """A version does not answer."""
    return (
        f"nothing answers at 127.0.0.1:{port} after {seconds:.0f} s. It has to listen at the port"
        " in the variable PORT, or {port} in its arguments"
    )


def served(services: list[dict[str, Any]]) -> str:
    """`Greeter (handlers greet, wave), Shop (handler buy)`."""
    return ", ".join(_service(service) for service in services)


def _service(service: dict[str, Any]) -> str:
    names = sorted(handler["name"] for handler in service.get("handlers") or [])
    if not names:
        return str(service["name"])
    return f"{service['name']} ({'handler' if len(names) == 1 else 'handlers'} {', '.join(names)})"
