"""Which engine a file is about.

That is `[engine] admin`, or else where the file lets an engine listen: one file may hold both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from steadfaas.config.address import Address
from steadfaas.config.given import Given
from steadfaas.config.interpolate import Unresolved, interpolate
from steadfaas.config.load import ConfigFile
from steadfaas.config.problems import KeyPath, SettingsError
from steadfaas.config.read import read_file

_NAMED: KeyPath = ("engine", "admin")
_LISTENS: KeyPath = ("admin",)


@dataclass(frozen=True, slots=True)
class Engine:
    """The URL of an engine's admin API, and the place that says so."""

    url: str
    source: str


def engine_of(found: ConfigFile) -> Engine | None:
    """The engine that a file is about; None if it does not say."""
    if found.declared.engine.admin is not None:
        return Engine(found.declared.engine.admin, _source(found.path, _NAMED))
    listens = found.settings.admin
    if "admin" in found.settings.model_fields_set and listens.port:
        return Engine(listens.local_url, _source(found.path, _LISTENS))
    return None


def engine_of_file(
    path: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Engine | None:
    """The same for who needs nothing else of the file: whatever else is wrong there, or not set,
    does not matter. Raises SettingsError if a file that was named cannot be read."""
    table, places = read_file(path)
    given = Given(table, places, environ)
    given.add_variables()
    file = Path(places.file)
    engine = given.tree.get("engine")
    named = _text(engine.get("admin") if isinstance(engine, dict) else None, given, _NAMED)
    if named is not None:
        return Engine(named, _source(file, _NAMED))
    listens = _text(given.tree.get("admin"), given, _LISTENS)
    try:
        address = Address.parse(listens) if listens is not None else None
    except ValueError:
        return None
    return Engine(address.local_url, _source(file, _LISTENS)) if address and address.port else None


def _text(value: object, given: Given, path: KeyPath) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return interpolate(value, given.environ)
    except Unresolved as error:
        raise SettingsError(given.places.problem(path, f"{error}.")) from None


def _source(file: Path, key: KeyPath) -> str:
    return f"{'[engine] ' if key is _NAMED else ''}admin in {file}"
