"""Settings of the engine: read once at the start, checked, and never changed afterwards.

A setting's name is its key in `steadfaas.toml`; its variable is that name in capitals after
`STEADFAAS_`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, ByteSize, Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from steadfaas.config.address import Address
from steadfaas.config.values import (
    ATTEMPTS_SCHEMA,
    COUNT,
    DURATION,
    SIZE,
    SIZE_SCHEMA,
    WAIT,
    Bytes,
    Count,
    Duration,
    Listen,
    Wait,
    described,
)
from steadfaas.durations import format_duration

VARIABLE_PREFIX: Final = "STEADFAAS_"

_SECOND: Final = 1_000
_MINUTE: Final = 60_000
_DAY: Final = 86_400_000
_MIB: Final = 1024 * 1024

# Room for what a frame holds besides the body: names, headers, field tags.
_FRAME_EXTRA: Final = 256 * 1024


def _read_attempts(value: object) -> object:
    return None if value == "unlimited" else value


class Settings(BaseSettings):
    """Everything that can be set. Constructing one directly reads variables, but no file."""

    model_config = SettingsConfigDict(
        env_prefix=VARIABLE_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        # Durations are written in milliseconds here and nowhere else.
        validate_default=False,
    )

    # --- where it listens, where it keeps data
    ingress: Listen = described(
        Address("127.0.0.1", 8080), "Where requests for handlers arrive.", "HOST:PORT"
    )
    admin: Listen = described(
        Address("127.0.0.1", 9070), "Where the admin API listens.", "HOST:PORT"
    )
    data_dir: Path = described(
        Path("steadfaas-data"),
        "Folder of the database. Created if missing; one engine at a time.",
        "a folder that can be written",
    )
    durability: Literal["full", "relaxed"] = described(
        "full",
        "`full`: nothing acknowledged is lost in a power cut. `relaxed`: a power cut may lose the "
        "last moments, a crash of the process loses nothing.",
        "full or relaxed",
    )
    compatibility: Literal["strict", "restate-1.7"] = described(
        "strict",
        "Which changes of a service's interface a registration may bring without `breaking`: "
        "`strict` refuses removed handlers and changed types, `restate-1.7` only changed types.",
        "strict or restate-1.7",
    )
    cluster_name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.-]+$")] = (
        described(
            "localcluster",
            "Name shown to clients of the admin API.",
            "up to 64 letters, digits, dots, dashes or underscores",
        )
    )

    dev: bool = described(
        False,
        "For development: takes deployments whose code may change, such as Lambda's `$LATEST`. "
        "Without it, the next start removes them.",
        "true or false",
    )

    # --- calls to deployments
    connect_timeout: Wait = described(
        10 * _SECOND, "How long connecting to a deployment may take.", WAIT
    )
    discovery_timeout: Wait = described(
        5 * _SECOND, "How long one question what a deployment serves may take.", WAIT
    )
    discovery_deadline: Wait = described(
        10 * _SECOND, "How long all discovery tries of one registration may take together.", WAIT
    )
    inactivity_timeout: Duration = described(
        _MINUTE,
        "For services that set none: silence after which a handler is asked to suspend. "
        "Without effect on request/response deployments.",
        DURATION,
    )
    abort_timeout: Wait = described(
        10 * _MINUTE,
        "For services that set none: silence after which an attempt is given up and retried. "
        "Must exceed the longest step of a handler.",
        WAIT,
    )

    keep_warm: Duration = described(
        0,
        "Call versions this often that something is pinned to, where their platform removes what "
        "nobody calls. `0s`: never.",
        DURATION,
    )

    version_wait: Duration = described(
        10 * _MINUTE,
        "How long a request waits for the version that it names (`x-steadfaas-version`), where no "
        "deployment carries it yet. `0s`: not at all.",
        DURATION,
    )

    # --- retries, for services that set none
    retry_initial_interval: Wait = described(
        500, "Wait before the first retry of an invocation.", WAIT
    )
    retry_exponentiation_factor: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = (
        described(2.0, "By how much each further wait grows.", "a number from 1 to 100")
    )
    retry_max_interval: Wait = described(_MINUTE, "The longest wait between two attempts.", WAIT)
    retry_max_attempts: Annotated[
        int | None, Field(ge=1), BeforeValidator(_read_attempts), ATTEMPTS_SCHEMA
    ] = described(
        70,
        "Attempts before an invocation is given up; the first one counts.",
        "a whole number from 1, or unlimited",
    )
    retry_on_max_attempts: Literal["pause", "kill"] = described(
        "pause",
        "What happens then: `pause` parks the invocation, `kill` ends it with its last error.",
        "pause or kill",
    )

    # --- how long finished work is kept, for services that set nothing
    journal_retention: Duration = described(
        _DAY, "How long the journal of a finished invocation is kept.", DURATION
    )
    idempotency_retention: Duration = described(
        _DAY, "How long the result of a request with an idempotency key is kept.", DURATION
    )
    workflow_completion_retention: Duration = described(
        _DAY, "How long a finished workflow, its state and its promises are kept.", DURATION
    )

    # --- limits
    max_concurrency: Count = described(2000, "Open exchanges with all deployments together.", COUNT)
    max_concurrency_per_deployment: Count = described(
        1000, "Open exchanges with one deployment.", COUNT
    )
    max_queued: Count = described(
        100_000, "Invocations waiting to start. Beyond it the ingress answers 429.", COUNT
    )
    max_body_bytes: Bytes = described(
        32 * _MIB, "Largest body of a request. Beyond it the ingress answers 413.", SIZE
    )
    max_frame_bytes: Bytes = described(
        32 * _MIB + _FRAME_EXTRA,
        "Largest single message of a deployment. Beyond it the attempt fails with RT0003.",
        SIZE,
    )
    max_journal_entries: Annotated[int, Field(ge=10, le=250_000)] = described(
        10_000,
        "Longest journal of one invocation. Beyond it its attempts fail.",
        "a whole number from 10 to 250000",
    )
    max_journal_bytes: Bytes = described(
        256 * _MIB, "Largest journal of one invocation. Beyond it its attempts fail.", SIZE
    )
    query_time_limit: Wait = described(
        30 * _SECOND, "How long a statement in SQL may run before its first rows come.", WAIT
    )
    query_memory_limit: Annotated[ByteSize, Field(ge=64 * _MIB), SIZE_SCHEMA] = described(
        1024 * _MIB,
        "Memory that one statement in SQL may use, roughly, in a process of its own.",
        f"bytes from {64 * _MIB}, or a size such as 512MiB",
    )
    query_max_rows: Count = described(
        1_000_000, "Rows that a statement in SQL may give. Beyond it it is refused.", COUNT
    )
    query_workers: Count = described(
        2, "Statements in SQL that run at the same time, each in a process of its own.", COUNT
    )
    drain_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = described(
        5.0,
        "How long a shutdown waits for open exchanges, in seconds. What is cut off is retried.",
        "seconds from 0 to 3600",
    )

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        misfits = list(_misfits(self))
        if misfits:
            reasons = "; ".join(reason for _, reason in misfits)
            raise PydanticCustomError("misfits", "{reasons}", {"reasons": reasons, "all": misfits})
        return self


def _misfits(settings: Settings) -> Iterator[tuple[tuple[str, str], str]]:
    """Pairs of settings that do not fit together, and why."""
    ingress, admin = settings.ingress, settings.admin
    body, frame = settings.max_body_bytes, settings.max_frame_bytes
    journal = settings.max_journal_bytes
    first, longest = settings.retry_initial_interval, settings.retry_max_interval
    if ingress == admin and ingress.port != 0:
        yield ("ingress", "admin"), f"ingress and admin cannot both listen on {ingress}"
    if frame < body:
        yield (
            ("max_frame_bytes", "max_body_bytes"),
            f"max_frame_bytes ({frame}) must not be below max_body_bytes ({body}): "
            "a message carries a whole body",
        )
    if journal < frame:
        yield (
            ("max_journal_bytes", "max_frame_bytes"),
            f"max_journal_bytes ({journal}) must not be below max_frame_bytes ({frame}): "
            "a journal holds whole messages",
        )
    if longest < first:
        yield (
            ("retry_max_interval", "retry_initial_interval"),
            f"retry_max_interval ({format_duration(longest)}) must not be below "
            f"retry_initial_interval ({format_duration(first)})",
        )


def variable_of(setting: str) -> str:
    """The environment variable of a setting."""
    return VARIABLE_PREFIX + setting.upper()
