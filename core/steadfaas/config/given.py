"""All that is given, in one tree: the file, then variables, then `--set`, each over the last.

A deployment is addressed by its name. Variables name only what the file has: their letters have
lost the difference between `-`, `.` and `_`, and between small and capital.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from pydantic_settings import EnvSettingsSource
from pydantic_settings.sources.utils import parse_env_vars

from steadfaas.config.interpolate import Unresolved, interpolate
from steadfaas.config.places import Places, at
from steadfaas.config.problems import KeyPath, Problem
from steadfaas.config.settings import VARIABLE_PREFIX, Settings, variable_of
from steadfaas.config.shape import TABLES, has_free_names, model_at, takes_text

# The variables that reach into tables.
NESTED: Final = re.compile(rf"{VARIABLE_PREFIX}({'|'.join(sorted(TABLES))})__.", re.IGNORECASE)


class Given:
    """The tree as it is written, before `${NAME}` is replaced, and what was wrong on the way."""

    def __init__(self, table: dict[str, Any], places: Places, environ: Mapping[str, str]) -> None:
        self.tree = deepcopy(table)
        self.places = places
        self.problems: list[Problem] = []
        self.environ = environ
        deployments = self.tree.get("deployments")
        for deployment in deployments if isinstance(deployments, list) else []:
            places.names.append(self._name_of(deployment))

    def add_variables(self) -> None:
        """Put the variables of flat settings and those of tables over the file."""
        for name, value in _flat(self.environ).items():
            self._put((name,), value, variable_of(name))
        nested = [(name, self.environ[name]) for name in self.environ if NESTED.match(name)]
        for variable, text in sorted(nested):
            if text:
                self._add_nested(variable, text)

    def add_set(self, words: str) -> None:
        """Put one `--set key=value` over what there is."""
        written, equals, text = words.partition("=")
        key = _key(written) if equals else None
        if key is None:
            example = "services.Checkout.public=false"
            self._refuse("--set", written.strip(), f"expected key=value, as in {example}.")
            return
        path = self._placed(key, "--set")
        if path is not None:
            self._put(path, _read(text, path), "--set")

    def add_flag(self, name: str, value: object) -> None:
        """Put the flag of a flat setting over what there is."""
        self._put((name,), value, f"--{name.replace('_', '-')}")

    def _add_nested(self, variable: str, text: str) -> None:
        found = list(self._readings(variable[len(VARIABLE_PREFIX) :].upper(), ()))
        if len(found) == 1:
            self._put(found[0], _read(text, found[0]), variable)
        elif found:
            keys = " and ".join(self.places.spelled(path) for path in found)
            self._refuse(variable, "", f"it can mean {keys}. Use --set, which takes exact names.")
        else:
            self._refuse(
                variable,
                "",
                "it names no key of a table that the file has. "
                "Write it there, or use --set, which can add one.",
            )

    def _readings(self, rest: str, path: KeyPath) -> Iterator[KeyPath]:
        """The keys that the rest of a variable's name can mean, below a place."""
        for part, word in self._parts(path):
            spelled = re.sub(r"[^A-Za-z0-9]", "_", word).upper()
            if rest == spelled:
                yield (*path, part)
            elif rest.startswith(f"{spelled}__"):
                yield from self._readings(rest[len(spelled) + 2 :], (*path, part))

    def _parts(self, path: KeyPath) -> list[tuple[str | int, str]]:
        """What may follow a place, as part of a path and as a word."""
        if path == ("deployments",):
            return [(number, name or "") for number, name in enumerate(self.places.names)]
        model = model_at(path)
        if model is not None:
            return [(name, name) for name in model.model_fields]
        there = at(self.tree, path) if has_free_names(path) else TABLES if not path else ()
        return [(name, name) for name in there] if isinstance(there, dict | frozenset) else []

    def _placed(self, key: list[str], source: str) -> KeyPath | None:
        """The place of a key that names a deployment by its name; one that is new is added."""
        if key[0] != "deployments":
            return tuple(key)
        if len(key) < 3:
            self._refuse(source, ".".join(key), "name a key of one: deployments.NAME.KEY=value.")
            return None
        places, deployments = self.places, self.tree.setdefault("deployments", [])
        if not isinstance(deployments, list):
            return tuple(key)  # cannot be put there, which is told
        known = (end for end in range(len(key) - 1, 2, -1) if ".".join(key[1:end]) in places.names)
        end = next(known, 2)  # a name with dots needs no quotes if the file has it
        name = ".".join(key[1:end])
        if name not in places.names:
            deployments.append({"name": name})
            places.names.append(name)
            places.moved(("deployments", len(deployments) - 1), source)
        return ("deployments", places.names.index(name), *key[end:])

    def _put(self, path: KeyPath, value: object, source: str) -> None:
        table: Any = self.tree
        for number, part in enumerate(path[:-1], start=1):
            if isinstance(table, dict):
                table = table.setdefault(part, {})
            elif isinstance(table, list) and isinstance(part, int):
                table = table[part]
            if not isinstance(table, dict | list):
                around = self.places.spelled(path[:number])
                self._refuse(source, self.places.spelled(path), f"{around} is no table.")
                return
        if not isinstance(table, dict):
            self._refuse(source, self.places.spelled(path), "a list has no such key.")
            return
        table[path[-1]] = value
        self.places.moved(path, source)
        match path:
            case ("deployments", int(number), "name"):
                self.places.names[number] = self._name_of(table)

    def _refuse(self, source: str, key: str, message: str) -> None:
        self.problems.append(Problem(source, None, key, message))

    def _name_of(self, deployment: object) -> str | None:
        name = deployment.get("name") if isinstance(deployment, dict) else None
        if not isinstance(name, str):
            return None
        try:
            return interpolate(name, self.environ)
        except Unresolved:
            return name


def _flat(environ: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    source.env_vars = parse_env_vars(environ, ignore_empty=True)
    return source()


def _key(written: str) -> list[str] | None:
    """The parts of a key in TOML's words; None for what is no key."""
    try:
        table: Any = tomllib.loads(f"{written.strip()} = 0")
    except ValueError:
        return None
    parts = []
    while isinstance(table, dict):
        if len(table) != 1:
            return None
        [(part, table)] = table.items()
        parts.append(part)
    return parts


def _read(text: str, path: KeyPath) -> object:
    """The value of a text: TOML if it is that. Where text stands, only a quoted one is."""
    try:
        table = tomllib.loads(f"value = {text}")
    except ValueError:
        return text
    value = table["value"] if len(table) == 1 else text
    return text if takes_text(path) and not isinstance(value, str | dict) else value
