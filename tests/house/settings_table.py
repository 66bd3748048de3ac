"""The tables of core/docs/settings.md as the code would write them.

`python -m tests.house.settings_table` prints them, to be pasted into the page.
"""

from __future__ import annotations

from pydantic import BaseModel

from steadfaas.config import (
    DeclaredDeployment,
    DeclaredEngine,
    DeclaredRetry,
    DeclaredService,
    Settings,
    variable_of,
)
from steadfaas.config.schema import written_default
from steadfaas.config.values import allowed_in

HEADER = "| Key | Variable | Default | Allowed | What it does |"
RULE = "| --- | --- | --- | --- | --- |"
DECLARED_HEADER = "| Key | Needed | Allowed | What it does |"
DECLARED_RULE = "| --- | --- | --- | --- |"
# The tables of the file, with what their keys are called in full.
TABLES: list[tuple[str, type[BaseModel]]] = [
    ("engine.", DeclaredEngine),
    ("deployments.", DeclaredDeployment),
    ("services.NAME.", DeclaredService),
    ("services.NAME.retry.", DeclaredRetry),
]


def settings_table() -> list[str]:
    """Header, rule and one row for each setting, in the order of the code."""
    return [HEADER, RULE, *(_row(name) for name in Settings.model_fields)]


def declared_table() -> list[str]:
    """Header, rule and one row for each key of the tables, in the order of the code."""
    rows = [
        f"| `{prefix}{name}` | {'yes' if field.is_required() else 'no'} "
        f"| {_code(allowed_in(field))} | {field.description} |"
        for prefix, model in TABLES
        for name, field in model.model_fields.items()
    ]
    return [DECLARED_HEADER, DECLARED_RULE, *rows]


def default_of(name: str) -> str:
    """The default of a setting as one would write it in a file."""
    return written_default(Settings.model_fields[name])


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    return (
        f"| `{name}` | `{variable_of(name)}` | `{default_of(name)}` | {allowed_in(field)} "
        f"| {field.description} |"
    )


def _code(allowed: str) -> str:
    """What is written in braces is code."""
    return allowed.replace("{ ", "`{ ").replace(" }", " }`")


if __name__ == "__main__":
    print("\n".join([*settings_table(), "", *declared_table()]))
