"""Loads everything that is set and declared, and checks it whole before anything uses it.

A flag or `--set` beats the variable, which beats the file, which beats the default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from steadfaas.config.declared import Declared
from steadfaas.config.explain import explained
from steadfaas.config.given import Given
from steadfaas.config.interpolate import Unresolved, interpolate
from steadfaas.config.places import Places
from steadfaas.config.problems import KeyPath, Problem, SettingsError
from steadfaas.config.read import DEFAULT_CONFIG_FILE, read_file
from steadfaas.config.settings import Settings
from steadfaas.config.shape import unknown

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class ConfigFile:
    """A file that was checked: the settings of the engine, and what is declared."""

    path: Path
    settings: Settings
    declared: Declared
    places: Places = field(repr=False, compare=False)


def load_file(
    path: Path | None = None,
    *,
    sets: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> ConfigFile:
    """What a file, variables, `--set` and flags say together. A flag of None counts as not given.

    Without `path`, `steadfaas.toml` in the working directory is read if there is one. Raises
    SettingsError, with all that is wrong.
    """
    try:
        return _load(path, sets, flags or {}, environ)
    except RecursionError:
        # Dotted keys nest as deep as one likes without troubling the parser.
        sentence = f"What {path or DEFAULT_CONFIG_FILE} and --set say is nested too deeply."
        raise SettingsError(Problem("", None, "", sentence)) from None


def load_settings(
    flags: Mapping[str, object] | None = None, *, config_file: Path | None = None
) -> Settings:
    """The settings of the engine. What the file declares is checked too. Raises SettingsError."""
    return load_file(config_file, flags=flags).settings


def _load(
    path: Path | None,
    sets: Sequence[str],
    flags: Mapping[str, object],
    environ: Mapping[str, str],
) -> ConfigFile:
    table, places = read_file(path)
    given = Given(table, places, environ)
    given.add_variables()
    for words in sets:
        given.add_set(words)
    filled, unfilled = _filled(given, environ)
    for name, value in flags.items():
        if value is not None:
            given.add_flag(name, value)
            filled[name] = value
    settings, in_settings = _checked(Settings, filled, given)
    declared, in_tables = _checked(Declared, filled, given)
    known = {problem.key for problem in unfilled}
    found = [problem for problem in (*in_settings, *in_tables) if problem.key not in known]
    problems = [*given.problems, *_strangers(given), *unfilled, *found, *_twice(places)]
    if settings is None or declared is None or problems:
        raise SettingsError(*sorted(problems, key=_in_reading_order(places)))
    return ConfigFile(Path(places.file), settings, declared, places)


def _filled(given: Given, environ: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    """The tree with its `${NAME}` replaced, and what could not be."""
    problems = []

    def fill(value: Any, path: KeyPath) -> Any:
        match value:
            case dict():
                return {key: fill(inner, (*path, key)) for key, inner in value.items()}
            case list():
                return [fill(inner, (*path, number)) for number, inner in enumerate(value)]
            case str():
                try:
                    return interpolate(value, environ)
                except Unresolved as error:
                    problems.append(given.places.problem(path, f"{error}."))
        return value

    return fill(given.tree, ()), problems


def _checked(
    model: type[_Model], filled: Mapping[str, Any], given: Given
) -> tuple[_Model | None, list[Problem]]:
    """The part of the tree that a model knows, and what is wrong with it."""
    values = {name: filled[name] for name in model.model_fields if name in filled}
    if not values:
        return model.model_construct(), []  # the defaults need no check
    checked = model.__new__(model)
    try:
        # Not by its own constructor: settings would read variables again, of this process.
        BaseModel.__init__(checked, **values)
    except ValidationError as error:
        return None, list(explained(error, given.tree, given.places))
    return checked, []


def _strangers(given: Given) -> Iterator[Problem]:
    known = {*Settings.model_fields, *Declared.model_fields}
    for name in given.tree:
        if name not in known:
            yield given.places.problem((name,), unknown((name,)))


def _twice(places: Places) -> Iterator[Problem]:
    """Deployments with the name of one before them."""
    for number, name in enumerate(places.names):
        first = places.names.index(name)
        if name is not None and first != number:
            source, line = places.origin(("deployments", first, "name"))
            where = f"in line {line}" if line is not None else f"from {source}"
            yield places.problem(
                ("deployments", number, "name"),
                f"the name '{name}' is taken by deployments[{first + 1}] {where}.",
            )


def _in_reading_order(places: Places) -> Callable[[Problem], tuple[bool, int]]:
    return lambda problem: (problem.source != places.file, problem.line or 0)
