"""Headers whose values are secrets: what is kept is where a value stands, never the value.

A reference is `env:NAME`, a variable of the engine's process, or `file:PATH`, a file that it can
read, such as one that a secret store mounts. It is looked up for each exchange, so that a secret
can be renewed where it stands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from steadfaas.deployments.headers import Headers, additional_headers
from steadfaas.errors import AttemptFailure, BadRequest, Verdict
from steadfaas.wire.header_rules import is_engines_own, is_reference
from steadfaas.wire.jsonshape import show

_VALUE: Final = re.compile(r"[\x20-\x7e]{1,16384}")


def secret_headers(given: Mapping[str, str]) -> Headers:
    """The headers with lower-case names, by name. Raises BadRequest for what is no reference; it is
    not repeated, because somebody may have written the secret itself."""
    headers = additional_headers(given)
    for name, reference in headers:
        if is_engines_own(reference):
            raise BadRequest(
                f"The request field 'secret_headers' is invalid. Reason: '{reference}' belongs to"
                " the engine itself, and no endpoint gets it."
            )
        if not is_reference(reference):
            raise BadRequest(
                f"The request field 'secret_headers' is invalid. Reason: the value of {show(name)}"
                " must say where the secret stands, 'env:NAME' or 'file:PATH'."
            )
    return headers


def looked_up(headers: Headers, *, here: str = "where the engine runs") -> dict[str, str]:
    """The headers with their secrets. Raises AttemptFailure (denied) where one is missing; `here`
    is what its sentence calls the place that was searched."""
    return {name: _value(name, reference, here) for name, reference in headers}


def _value(name: str, reference: str, here: str) -> str:
    kind, _, place = reference.partition(":")
    try:
        value = os.environ[place] if kind == "env" else Path(place).read_text(encoding="ascii")
    except KeyError:
        raise _missing(name, f"the variable {place} is not set {here}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no plain text"
        raise _missing(name, f"the file {place} cannot be read: {why}") from None
    value = value.strip()
    if not _VALUE.fullmatch(value):
        raise _missing(name, f"what {reference} holds cannot be the value of a header")
    return value


def _missing(name: str, why: str) -> AttemptFailure:
    return AttemptFailure(
        "SF0004",
        f"the secret header '{name}' has no value: {why}",
        verdict=Verdict.DENIED,
    )
