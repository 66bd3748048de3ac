"""JSON objects of the admin API."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def given(**fields: Any) -> Json:
    """The fields that have a value: what has none is left out of an answer, and never null."""
    return {name: value for name, value in fields.items() if value is not None}
