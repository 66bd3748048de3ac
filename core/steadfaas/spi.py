"""What an adapter is: the interface between the engine and one FaaS platform.

An adapter turns what people write (a *target*) into an *endpoint reference*: the address of exactly
one version of a piece of code, with the evidence that it always will be that version. Where the
address is none that HTTP reaches, it also carries requests there. It decides nothing about
durability, retries between attempts, or routing.

Adapters are found by entry point: the group is `steadfaas.adapters`, the entry's name is the
adapter's name, its value leads to an object that fulfils `Adapter`. What a platform offers beyond
that, the object shows by fulfilling the other protocols here: `Carries`, `Publishes`, `Versioned`.

Methods of the control plane raise `steadfaas.errors.BadRequest` for a target that is none, with a
sentence that says what a good one looks like, and `steadfaas.errors.DiscoveryError` for what the
platform refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable


class Evidence(Enum):
    """How it is known that an address always leads to the same version of the code."""

    GRAMMAR = "grammar"  # the platform's address grammar has no mutable form like this one
    CONTROL_PLANE = "control-plane"  # the platform's own API said so
    ASSERTED = "asserted"  # whoever registers it promises; nobody else can know
    MUTABLE = "mutable"  # it may change under our feet: for development only


@dataclass(frozen=True, slots=True)
class EndpointReference:
    """The resolved address of one version. Equal addresses are equal texts: `uri` is normalised.

    `facts` are what the platform said about the version when it was resolved, by names of the
    adapter's choice: kept with the deployment, shown, and compared by `Versioned.verify`.
    """

    adapter: str
    uri: str
    evidence: Evidence
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the platform. `assume_role_arn`: an identity to take on first (AWS)."""

    assume_role_arn: str | None = None


ANYBODY = Access()


@runtime_checkable
class Adapter(Protocol):
    """One platform. Cheap to import and to make: clients load on first use."""

    @property
    def name(self) -> str:
        """The same as the name of its entry point."""
        ...

    def claims(self, target: str) -> bool:
        """Whether a target is written in this platform's words, well or not."""
        ...

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, dev: bool = False
    ) -> EndpointReference:
        """The version that a target means now. With `dev`, also one whose code may change."""
        ...


# --- the data plane ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A deployment as it is called. `compression`: what its manifest offers for bodies."""

    uri: str
    access: Access = ANYBODY
    compression: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an SDK endpoint. `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the SDK endpoint answered. `headers` have lower-case names; `body` is plain again."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class DataPlane(Protocol):
    """Carries requests to endpoints that are no HTTP servers. Belongs to one event loop."""

    async def call(self, endpoint: Endpoint, request: Request) -> Reply:
        """One request. Whoever calls limits its time.

        Raises `steadfaas.errors.AttemptFailure`, whose verdict says what the platform's failure
        means.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@runtime_checkable
class Carries(Protocol):
    """An adapter whose endpoints are called in the platform's own way."""

    def data_plane(self) -> DataPlane:
        """A new data plane, for the running event loop. Loads the platform's client."""
        ...


# --- the control plane -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """One version that the platform keeps. `created_at` is in ms since the epoch; `names` are what
    points to it now and could be moved, such as aliases."""

    label: str
    uri: str
    created_at: int | None = None
    names: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Versioned(Protocol):
    """An adapter that looks after versions on its platform."""

    async def list_versions(self, target: str, access: Access = ANYBODY) -> list[Version]:
        """All versions of what a target names, newest first."""
        ...

    async def verify(self, reference: EndpointReference, access: Access = ANYBODY) -> list[str]:
        """What is other than `facts` say, one sentence each; nothing if it is the same version."""
        ...

    async def retire(self, reference: EndpointReference, access: Access = ANYBODY) -> None:
        """Remove the version from the platform, for good.

        Raises `steadfaas.errors.Conflict` while something there still points to it.
        """
        ...


@runtime_checkable
class Publishes(Protocol):
    """An adapter whose platform makes a version of what was deployed when it is told to."""

    async def publish(
        self, target: str, access: Access = ANYBODY, *, description: str = ""
    ) -> EndpointReference:
        """Make a version of the code as it is now; the one there is if nothing changed."""
        ...
