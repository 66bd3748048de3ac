"""Settings: read once at the start, checked, and never changed afterwards.

A setting's name is its key in `steadfaas.toml`; its variable is that name in capitals after
`STEADFAAS_`. A flag beats the variable, which beats the file, which beats the default.
`load_settings` remembers where each value came from, so that a bad one can be traced.

Durations are text with a unit (`10s`, `PT10S`) on the way in and whole milliseconds afterwards.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, ByteSize, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from steadfaas.durations import format_duration, parse_duration
from steadfaas.errors import SteadfaasError, Verdict

DEFAULT_CONFIG_FILE: Final = Path("steadfaas.toml")
VARIABLE_PREFIX: Final = "STEADFAAS_"

_SECOND: Final = 1_000
_MINUTE: Final = 60_000
_DAY: Final = 86_400_000
_MIB: Final = 1024 * 1024

# Room for what a frame holds besides the body: names, headers, field tags.
_FRAME_EXTRA: Final = 256 * 1024


class SettingsError(SteadfaasError):
    """A setting cannot be used. The message names it, where it came from and what is allowed."""

    verdict = Verdict.DENIED


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. Port 0 lets the operating system choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address in `HOST:PORT`; an IPv6 host stands in brackets. Raises ValueError."""
        host, colon, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        elif ":" in host:
            raise ValueError("an IPv6 host needs brackets, as in [::1]:8080")
        if not colon or not host or any(char.isspace() or char in "/@" for char in host):
            raise ValueError("expected HOST:PORT, as in 127.0.0.1:8080")
        if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
            raise ValueError(f"'{port}' is not a port between 0 and 65535")
        return cls(host, int(port))

    @property
    def url(self) -> str:
        """The address as an HTTP origin, without a trailing slash."""
        return f"http://{self}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _read_address(value: object) -> object:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError("expected text")
    return Address.parse(value)


def _read_count(value: object) -> object:
    # TOML's `true` would count as 1.
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


def _read_duration(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("a duration needs a unit; write for example '10s' or '500ms'")
    return parse_duration(value)


def _read_wait(value: object) -> int:
    millis = _read_duration(value)
    if millis == 0:
        raise ValueError("must be longer than zero")
    return millis


def _read_attempts(value: object) -> object:
    return None if value == "unlimited" else value


_Listen = Annotated[Address, NoDecode, BeforeValidator(_read_address)]
_Duration = Annotated[int, BeforeValidator(_read_duration)]
_Wait = Annotated[int, BeforeValidator(_read_wait)]
_Count = Annotated[int, Field(ge=1), BeforeValidator(_read_count)]
_Bytes = Annotated[ByteSize, Field(ge=1024)]

_DURATION: Final = "a duration such as 500ms, 10s or 1day"
_WAIT: Final = "a duration above zero, such as 500ms or 10s"
_COUNT: Final = "a whole number from 1"
_SIZE: Final = "bytes from 1024, or a size such as 32MiB"


def _setting(default: Any, meaning: str, allowed: str) -> Any:
    return Field(default, description=meaning, json_schema_extra={"allowed": allowed})


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
    ingress: _Listen = _setting(
        Address("127.0.0.1", 8080), "Where requests for handlers arrive.", "HOST:PORT"
    )
    admin: _Listen = _setting(
        Address("127.0.0.1", 9070), "Where the admin API listens.", "HOST:PORT"
    )
    data_dir: Path = _setting(
        Path("steadfaas-data"),
        "Folder of the database. Created if missing; one engine at a time.",
        "a folder that can be written",
    )
    durability: Literal["full", "relaxed"] = _setting(
        "full",
        "`full`: nothing acknowledged is lost in a power cut. `relaxed`: a power cut may lose the "
        "last moments, a crash of the process loses nothing.",
        "full or relaxed",
    )
    compatibility: Literal["strict", "restate-1.7"] = _setting(
        "strict",
        "Which changes of a service's interface a registration may bring without `breaking`: "
        "`strict` refuses removed handlers and changed types, `restate-1.7` only changed types.",
        "strict or restate-1.7",
    )
    cluster_name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.-]+$")] = (
        _setting(
            "localcluster",
            "Name shown to clients of the admin API.",
            "up to 64 letters, digits, dots, dashes or underscores",
        )
    )

    dev: bool = _setting(
        False,
        "For development: takes deployments whose code may change, such as Lambda's `$LATEST`. "
        "Without it, the next start removes them.",
        "true or false",
    )

    # --- calls to deployments
    connect_timeout: _Wait = _setting(
        10 * _SECOND, "How long connecting to a deployment may take.", _WAIT
    )
    discovery_timeout: _Wait = _setting(
        5 * _SECOND, "How long one question what a deployment serves may take.", _WAIT
    )
    discovery_deadline: _Wait = _setting(
        10 * _SECOND, "How long all discovery tries of one registration may take together.", _WAIT
    )
    inactivity_timeout: _Duration = _setting(
        _MINUTE,
        "For services that set none: silence after which a handler is asked to suspend. "
        "Without effect on request/response deployments.",
        _DURATION,
    )
    abort_timeout: _Wait = _setting(
        10 * _MINUTE,
        "For services that set none: silence after which an attempt is given up and retried. "
        "Must exceed the longest step of a handler.",
        _WAIT,
    )

    keep_warm: _Duration = _setting(
        0,
        "Call versions this often that something is pinned to, where their platform removes what "
        "nobody calls. `0s`: never.",
        _DURATION,
    )

    version_wait: _Duration = _setting(
        10 * _MINUTE,
        "How long a request waits for the version that it names (`x-steadfaas-version`), where no "
        "deployment carries it yet. `0s`: not at all.",
        _DURATION,
    )

    # --- retries, for services that set none
    retry_initial_interval: _Wait = _setting(
        500, "Wait before the first retry of an invocation.", _WAIT
    )
    retry_exponentiation_factor: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = (
        _setting(2.0, "By how much each further wait grows.", "a number from 1 to 100")
    )
    retry_max_interval: _Wait = _setting(_MINUTE, "The longest wait between two attempts.", _WAIT)
    retry_max_attempts: Annotated[int | None, Field(ge=1), BeforeValidator(_read_attempts)] = (
        _setting(
            70,
            "Attempts before an invocation is given up; the first one counts.",
            "a whole number from 1, or unlimited",
        )
    )
    retry_on_max_attempts: Literal["pause", "kill"] = _setting(
        "pause",
        "What happens then: `pause` parks the invocation, `kill` ends it with its last error.",
        "pause or kill",
    )

    # --- how long finished work is kept, for services that set nothing
    journal_retention: _Duration = _setting(
        _DAY, "How long the journal of a finished invocation is kept.", _DURATION
    )
    idempotency_retention: _Duration = _setting(
        _DAY, "How long the result of a request with an idempotency key is kept.", _DURATION
    )
    workflow_completion_retention: _Duration = _setting(
        _DAY, "How long a finished workflow, its state and its promises are kept.", _DURATION
    )

    # --- limits
    max_concurrency: _Count = _setting(
        2000, "Open exchanges with all deployments together.", _COUNT
    )
    max_concurrency_per_deployment: _Count = _setting(
        1000, "Open exchanges with one deployment.", _COUNT
    )
    max_queued: _Count = _setting(
        100_000, "Invocations waiting to start. Beyond it the ingress answers 429.", _COUNT
    )
    max_body_bytes: _Bytes = _setting(
        32 * _MIB, "Largest body of a request. Beyond it the ingress answers 413.", _SIZE
    )
    max_frame_bytes: _Bytes = _setting(
        32 * _MIB + _FRAME_EXTRA,
        "Largest single message of a deployment. Beyond it the attempt fails with RT0003.",
        _SIZE,
    )
    max_journal_entries: Annotated[int, Field(ge=10, le=250_000)] = _setting(
        10_000,
        "Longest journal of one invocation. Beyond it its attempts fail.",
        "a whole number from 10 to 250000",
    )
    max_journal_bytes: _Bytes = _setting(
        256 * _MIB, "Largest journal of one invocation. Beyond it its attempts fail.", _SIZE
    )
    query_time_limit: _Wait = _setting(
        30 * _SECOND, "How long a statement in SQL may run before its first rows come.", _WAIT
    )
    query_memory_limit: Annotated[ByteSize, Field(ge=64 * _MIB)] = _setting(
        1024 * _MIB,
        "Memory that one statement in SQL may use, roughly, in a process of its own.",
        f"bytes from {64 * _MIB}, or a size such as 512MiB",
    )
    query_max_rows: _Count = _setting(
        1_000_000, "Rows that a statement in SQL may give. Beyond it it is refused.", _COUNT
    )
    query_workers: _Count = _setting(
        2, "Statements in SQL that run at the same time, each in a process of its own.", _COUNT
    )
    drain_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = _setting(
        5.0,
        "How long a shutdown waits for open exchanges, in seconds. What is cut off is retried.",
        "seconds from 0 to 3600",
    )

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if self.ingress == self.admin and self.ingress.port != 0:
            raise ValueError(f"ingress and admin cannot both listen on {self.ingress}")
        if self.max_frame_bytes < self.max_body_bytes:
            raise ValueError(
                f"max_frame_bytes ({self.max_frame_bytes}) must not be below "
                f"max_body_bytes ({self.max_body_bytes}): a message carries a whole body"
            )
        if self.max_journal_bytes < self.max_frame_bytes:
            raise ValueError(
                f"max_journal_bytes ({self.max_journal_bytes}) must not be below "
                f"max_frame_bytes ({self.max_frame_bytes}): a journal holds whole messages"
            )
        if self.retry_max_interval < self.retry_initial_interval:
            raise ValueError(
                f"retry_max_interval ({format_duration(self.retry_max_interval)}) must not be "
                f"below retry_initial_interval ({format_duration(self.retry_initial_interval)})"
            )
        return self


def variable_of(setting: str) -> str:
    """The environment variable of a setting."""
    return VARIABLE_PREFIX + setting.upper()


def load_settings(
    flags: Mapping[str, object] | None = None, *, config_file: Path | None = None
) -> Settings:
    """Settings from flags (None counts as not given), variables, the file and the defaults.

    Without `config_file`, `steadfaas.toml` in the working directory is read if there is one.
    Raises SettingsError.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    variables = EnvSettingsSource(Settings)()
    path, table = _read_file(config_file)
    origin = dict.fromkeys(table, f"in {path}")
    origin |= {name: f"in the variable {variable_of(name)}" for name in variables}
    origin |= {name: f"by --{name.replace('_', '-')}" for name in given}
    values = {**table, **variables, **given}
    try:
        return Settings(**values)
    except ValidationError as error:
        sentences = [_sentence(problem, values, origin) for problem in error.errors()]
        raise SettingsError("\n".join(sentences)) from error


def _read_file(chosen: Path | None) -> tuple[Path, dict[str, Any]]:
    path = chosen or DEFAULT_CONFIG_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if chosen is None:
            return path, {}
        raise SettingsError(f"The settings file {path} does not exist.") from None
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}.") from None
    for key in table:
        if key not in Settings.model_fields:
            raise SettingsError(_unknown(key, path))
    return path, table


def _unknown(key: str, path: Path) -> str:
    near = difflib.get_close_matches(key.replace("-", "_").lower(), Settings.model_fields, n=1)
    advice = f"Did you mean '{near[0]}'?" if near else "See core/docs/settings.md for the names."
    return f"There is no setting '{key}' (set in {path}). {advice}"


def _sentence(problem: ErrorDetails, values: Mapping[str, object], origin: dict[str, str]) -> str:
    if not problem["loc"]:
        return f"These settings do not fit together: {_reason(problem)}."
    name = str(problem["loc"][0])
    field = Settings.model_fields.get(name)
    if field is None:
        return f"There is no setting '{name}'."
    extra = field.json_schema_extra
    allowed = extra["allowed"] if isinstance(extra, dict) else ""
    return (
        f"The setting '{name}' cannot be {values.get(name)!r} (set {origin[name]}): "
        f"{_reason(problem)}. Allowed: {allowed}."
    )


def _reason(problem: ErrorDetails) -> str:
    """What the check found, without the checking library's own prefix."""
    cause = problem.get("ctx", {}).get("error")
    text = str(cause) if cause is not None else problem["msg"]
    return text[:1].lower() + text[1:] if cause is None else text
