"""What an adapter is: the interface between the engine and one FaaS platform.

An adapter turns what people write (a *target*) into an *endpoint reference*: the address of exactly
one version of a piece of code, with the evidence that it always will be that version. It decides
nothing about durability, retries or routing.

Adapters are found by entry point: the group is `steadfaas.adapters`, the entry's name is the
adapter's name, its value leads to an object that fulfils `Adapter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Evidence(Enum):
    """How it is known that an address always leads to the same version of the code."""

    GRAMMAR = "grammar"  # the platform's address grammar has no mutable form like this one
    CONTROL_PLANE = "control-plane"  # the platform's own API said so
    ASSERTED = "asserted"  # whoever registers it promises; nobody else can know
    MUTABLE = "mutable"  # it may change under our feet: for development only


@dataclass(frozen=True, slots=True)
class EndpointReference:
    """The resolved address of one version. Equal addresses are equal texts: `uri` is normalised."""

    adapter: str
    uri: str
    evidence: Evidence


class Adapter(Protocol):
    """One platform. Cheap to import and to make: clients load on first use."""

    @property
    def name(self) -> str:
        """The same as the name of its entry point."""
        ...

    def parse(self, target: str) -> EndpointReference:
        """The reference that a target's text stands for, without asking anybody.

        Raises `steadfaas.errors.BadRequest`, whose sentence says what a good target looks like.
        """
        ...
