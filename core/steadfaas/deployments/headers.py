"""The headers that a registration adds to every exchange with its endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from steadfaas.errors import BadRequest
from steadfaas.spi import ANYBODY, Access
from steadfaas.wire.header_rules import reason_against_header

# With lower-case names, by name.
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Connection:
    """How an endpoint is reached, beside its address: headers sent along, headers whose values are
    secrets (see `secrets`), and access to its platform."""

    headers: Headers = ()
    secret_headers: Headers = ()
    access: Access = ANYBODY


UNADORNED: Final = Connection()


def additional_headers(given: Mapping[str, str]) -> Headers:
    """The headers with lower-case names, by name. Raises BadRequest; it never repeats a value,
    which may be a secret."""
    headers: dict[str, str] = {}
    for written, value in given.items():
        name = written.lower()
        reason = reason_against_header(written, value)
        if reason is None and name in headers:
            reason = f"the header '{name}' is given twice"
        if reason is not None:
            raise BadRequest(
                f"The request field 'additional_headers' is invalid. Reason: {reason}."
            )
        headers[name] = value.strip()
    return tuple(sorted(headers.items()))
