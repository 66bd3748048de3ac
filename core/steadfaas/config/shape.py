"""Which keys may stand where: the models of the file, by place."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from steadfaas.config.declared import (
    Declared,
    DeclaredDeployment,
    DeclaredEngine,
    DeclaredRetry,
    DeclaredService,
    Secret,
)
from steadfaas.config.problems import KeyPath
from steadfaas.config.settings import Settings
from steadfaas.config.values import allowed_in

TABLES: Final = frozenset(Declared.model_fields)


def model_at(path: KeyPath) -> type[BaseModel] | None:
    """The model of the table at a place; None where there is a value, a list, or free names."""
    match path:
        case ("engine",):
            return DeclaredEngine
        case ("deployments", _):
            return DeclaredDeployment
        case ("deployments", _, "headers" | "protection", _):
            return Secret
        case ("services", _):
            return DeclaredService
        case ("services", _, "retry"):
            return DeclaredRetry
    return None


def has_free_names(path: KeyPath) -> bool:
    """Whether the file gives the names of what stands in the table at a place."""
    match path:
        case ("deployments",) | ("services",) | ("deployments", _, "headers" | "metadata"):
            return True
    return False


def field_at(path: KeyPath) -> FieldInfo | None:
    """The field of a key; None for one that has a free name, and for one that does not exist."""
    if len(path) == 1:
        fields = Settings.model_fields | Declared.model_fields
        return fields.get(str(path[0]))
    model = model_at(path[:-1])
    return model.model_fields.get(str(path[-1])) if model is not None else None


def expected_at(path: KeyPath) -> str:
    """What may stand at a place, in words."""
    field = field_at(path)
    if field is not None:
        return allowed_in(field)
    around = field_at(path[:-1])
    return allowed_in(around, "each") if around is not None else ""


def unknown(path: KeyPath) -> str:
    """That there is no such key, and which one was probably meant."""
    names: Collection[str] = [*Settings.model_fields, *TABLES]
    model = model_at(path[:-1])
    if len(path) > 1:
        names = list(model.model_fields) if model is not None else []
    word = str(path[-1]).replace("-", "_").lower()
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"there is no such key. Did you mean '{near[0]}'?"
    if len(path) > 1 and len(names) <= 5:
        return f"there is no such key, only {', '.join(names)}."
    return "there is no such key. See core/docs/settings.md for the names."


def takes_text(path: KeyPath) -> bool:
    """Whether a key takes text, so that what looks like a number is text there.

    Flat settings take text for everything, because variables are nothing else.
    """
    match path:
        case (_,):
            return path[0] not in TABLES
        case ("deployments", _, "headers" | "metadata", _):
            return True
    field = field_at(path)
    return field is not None and field.annotation in (str, str | None)
