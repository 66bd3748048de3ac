"""The table of core/docs/settings.md as the code would write it.

`python -m tests.house.settings_table` prints it, to be pasted into the page.
"""

from __future__ import annotations

from steadfaas.config import Settings, variable_of
from steadfaas.durations import format_duration

_MIB = 1024 * 1024

HEADER = "| Key | Variable | Default | Allowed | What it does |"
RULE = "| --- | --- | --- | --- | --- |"


def settings_table() -> list[str]:
    """Header, rule and one row for each setting, in the order of the code."""
    return [HEADER, RULE, *(_row(name) for name in Settings.model_fields)]


def written_default(name: str) -> str:
    """The default of a setting as one would write it in a file."""
    value = Settings.model_fields[name].default
    allowed = _allowed(name)
    if "duration" in allowed:
        return format_duration(value)
    if "bytes" in allowed:
        return f"{value // _MIB}MiB" if value % _MIB == 0 else str(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(name: str) -> str:
    meaning = Settings.model_fields[name].description
    default = written_default(name)
    return f"| `{name}` | `{variable_of(name)}` | `{default}` | {_allowed(name)} | {meaning} |"


def _allowed(name: str) -> str:
    extra = Settings.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["allowed"])


if __name__ == "__main__":
    print("\n".join(settings_table()))
