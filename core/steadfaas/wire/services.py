"""What endpoints serve, as values: services, handlers and what they may set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum


class ServiceType(IntEnum):
    """What a service is: decides about keys, state and promises."""

    SERVICE = 0
    VIRTUAL_OBJECT = 1
    WORKFLOW = 2


class HandlerKind(IntEnum):
    """How a handler runs beside others of its key; SERVICE where there is no key."""

    SERVICE = 0
    EXCLUSIVE = 1
    SHARED = 2
    WORKFLOW = 3


class ProtocolMode(Enum):
    """How an endpoint wants to be spoken to."""

    REQUEST_RESPONSE = "REQUEST_RESPONSE"
    BIDI_STREAM = "BIDI_STREAM"


class OnExhausted(Enum):
    """What the manifest asks for when attempts run out."""

    PAUSE = "PAUSE"
    KILL = "KILL"


@dataclass(frozen=True, slots=True)
class InputRule:
    """What a handler takes. Without a content type it takes no body and no content type at all."""

    required: bool = False
    content_type: str | None = None  # may be a range: `*/*`, `text/*`
    json_schema: str | None = None  # JSON text


@dataclass(frozen=True, slots=True)
class OutputRule:
    """What a handler gives."""

    content_type: str | None = None
    set_content_type_if_empty: bool = False
    json_schema: str | None = None  # JSON text


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """The parts of a retry policy that the manifest sets; None leaves a part to the next level."""

    initial_interval: int | None = None  # ms
    max_interval: int | None = None  # ms
    max_attempts: int | None = None
    factor: float | None = None
    on_max_attempts: OnExhausted | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What both services and handlers may set. Durations are in ms; None means: not set."""

    documentation: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    inactivity_timeout: int | None = None
    abort_timeout: int | None = None
    journal_retention: int | None = None
    idempotency_retention: int | None = None
    enable_lazy_state: bool | None = None
    ingress_private: bool | None = None
    retry: RetryOptions = RetryOptions()


@dataclass(frozen=True, slots=True)
class HandlerManifest:
    """One handler, as its endpoint describes it. No `input` means: anything is taken."""

    name: str
    kind: HandlerKind
    input: InputRule | None = None
    output: OutputRule | None = None
    workflow_completion_retention: int | None = None  # ms
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class ServiceManifest:
    """One service, as its endpoint describes it."""

    name: str
    type: ServiceType
    handlers: tuple[HandlerManifest, ...]
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Manifest:
    """All an endpoint announces. `version` is the manifest's, the others the service protocol's."""

    protocol_mode: ProtocolMode
    min_version: int
    max_version: int
    services: tuple[ServiceManifest, ...]
    version: int = 4
    lambda_compression: str | None = None
