"""What an adapter is: the interface between the engine and one FaaS platform.

An adapter turns what people write (a *target*) into an *endpoint reference*: the address of exactly
one version of a piece of code, with the evidence that it always will be that version. Where the
address is none that HTTP reaches, it also carries requests there. It decides nothing about
durability, retries between attempts, or routing.

Adapters are found by entry point: the group is `steadfaas.adapters`, the entry's name is the
adapter's name, its value leads to an object that fulfils `Adapter`. What a platform offers beyond
that, the object shows by fulfilling further protocols of this file.

Methods of the control plane raise `steadfaas.errors.BadRequest` for a target that is none, with a
sentence that says what a good one looks like, and `steadfaas.errors.DiscoveryError` for what the
platform refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from steadfaas.errors import AttemptFailure


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


class Promise(Enum):
    """What whoever registers a target vouches for."""

    NONE = "none"  # nothing: it must be proven that it is immutable
    IMMUTABLE = "immutable"  # that it never changes, where the platform cannot be asked
    DEV = "dev"  # nothing, and that does not matter: it may change


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
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        """The version that a target means now, as far as `promise` goes where nobody can tell."""
        ...


# --- the data plane ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A deployment as it is called. `compression`: what its manifest offers for bodies; `facts`: as
    in its `EndpointReference`."""

    uri: str
    access: Access = ANYBODY
    compression: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


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
class Bounded(Protocol):
    """An adapter whose platform takes requests up to a size."""

    @property
    def max_request_bytes(self) -> int:
        """The largest body of a request. What is larger is refused before the call."""
        ...


@runtime_checkable
class Diagnoses(Protocol):
    """An adapter of endpoints behind HTTP, which knows the answers that are the platform's own."""

    async def diagnose(
        self, endpoint: Endpoint, status: int, headers: Mapping[str, str], text: str
    ) -> AttemptFailure | None:
        """What an answer means that is not a good one of the SDK; None if it is not the platform's.

        `text` is the beginning of its body. The platform's API may be asked about it.
        """
        ...


@runtime_checkable
class Protects(Protocol):
    """An adapter whose platform may ask for a secret before it lets a request through."""

    def protect(self, secrets: Sequence[str]) -> Mapping[str, str]:
        """The headers in which the platform takes these secrets, in the platform's order.

        Raises `steadfaas.errors.BadRequest` for a wrong number of them.
        """
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
        """Remove the version from the platform, for good. One that is gone already is no error.

        Raises `steadfaas.errors.Conflict` while something there still points to it.
        """
        ...


@runtime_checkable
class Foresees(Protocol):
    """An adapter that can tell beforehand that its platform still needs a version."""

    async def needed_by(self, reference: EndpointReference, access: Access = ANYBODY) -> str | None:
        """Why the platform would not let a version be retired now, in a sentence; None: it would,
        or the version is gone already."""
        ...


@runtime_checkable
class Mounts(Protocol):
    """An adapter whose versions serve at several addresses, such as one for each path."""

    def version_at(self, uri: str) -> str:
        """What `retire` would remove: the same text for all addresses of one version. Never fails,
        also for an address that is none of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Expiry:
    """When the platform may remove a version by itself (ms since the epoch), and by which rule.

    `called_off`: a call puts it off.
    """

    at: int
    why: str
    called_off: bool = False


@runtime_checkable
class Expires(Protocol):
    """An adapter whose platform removes versions by itself."""

    def expiry(self, reference: EndpointReference, *, called_at: int) -> Expiry | None:
        """When it may go if nobody calls it after `called_at` (ms since the epoch); None: never."""
        ...


@runtime_checkable
class Leases(Protocol):
    """An adapter that can keep a version from being removed by its platform."""

    async def hold(self, reference: EndpointReference, access: Access = ANYBODY) -> str:
        """Keep it; what was done for that, in a sentence. May be repeated."""
        ...

    async def release(self, reference: EndpointReference, access: Access = ANYBODY) -> None:
        """Keep it no longer."""
        ...


@runtime_checkable
class Publishes(Protocol):
    """An adapter whose platform makes a version of what was deployed when it is told to."""

    async def publish(
        self, target: str, access: Access = ANYBODY, *, description: str = ""
    ) -> EndpointReference:
        """Make a version of the code as it is now; the one there is if nothing changed."""
        ...
