"""The whole file as JSON Schema, by which editors complete and check it while it is written."""

from __future__ import annotations

from typing import Any, Final

from pydantic.fields import FieldInfo

from steadfaas.config.declared import Declared
from steadfaas.config.settings import Settings
from steadfaas.config.values import allowed_in
from steadfaas.durations import format_duration

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_MIB: Final = 1024 * 1024


# The names of Python, and what `${NAME}` in a text would not meet before it is replaced.
_LEFT_OUT: Final = frozenset({"title", "allowed", "each", "pattern", "minLength", "maxLength"})


def file_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of flat settings and tables."""
    flat = _plain(Settings.model_json_schema())
    tables = _plain(Declared.model_json_schema())
    for name, field in Settings.model_fields.items():
        flat["properties"][name]["default"] = _default(field)
    return {
        "$schema": _DIALECT,
        "title": "steadfaas.toml",
        "description": "Settings of the engine, and what is deployed.",
        "type": "object",
        "properties": {**flat["properties"], **tables["properties"]},
        "additionalProperties": False,
        "$defs": tables["$defs"],
    }


def written_default(field: FieldInfo) -> str:
    """The default of a setting as one would write it in a file, without quotes."""
    value, allowed = field.default, allowed_in(field)
    if "duration" in allowed:
        return format_duration(value)
    if "bytes" in allowed:
        return f"{value // _MIB}MiB" if value % _MIB == 0 else str(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _default(field: FieldInfo) -> bool | int | float | str:
    value = field.default
    if isinstance(value, bool | int | float) and "duration" not in allowed_in(field):
        return value
    return written_default(field)


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    """A schema without null, which TOML does not have, and with what is allowed in words."""
    plain: dict[str, Any] = {}
    for key, value in node.items():
        match key, value:
            case (("properties" | "$defs"), dict()):
                plain[key] = {name: _plain(inner) for name, inner in value.items()}
            case "anyOf", list():
                kinds = [_plain(kind) for kind in value if kind != {"type": "null"}]
                plain |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
            case "default", None | {} | []:
                pass
            case _, dict():
                plain[key] = _plain(value)
            case _ if key not in _LEFT_OUT:
                plain[key] = value
    if node.get("allowed") and plain.get("description"):
        plain["description"] += f" Allowed: {node['allowed']}."
    return plain
