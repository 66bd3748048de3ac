"""What a file declares: deployments, services, and the admin API that is told about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError

from steadfaas.config.secret import SECRET, HeaderValue, Secret
from steadfaas.config.values import (
    DURATION,
    WAIT,
    YES_NO,
    Attempts,
    Duration,
    Factor,
    Flag,
    Keep,
    Name,
    Table,
    Target,
    Url,
    Wait,
    Word,
    described,
)
from steadfaas.durations import format_duration
from steadfaas.wire.header_rules import reason_against_header

__all__ = [
    "Declared",
    "DeclaredDeployment",
    "DeclaredEngine",
    "DeclaredRetry",
    "DeclaredService",
    "Secret",
]

# Keys of metadata under this are the engine's own.
_OURS: Final = "steadfaas."


class DeclaredEngine(Table):
    """The engine that is told what to serve."""

    admin: Url | None = described(
        None,
        "Its admin API: ours, or that of a Restate server or cluster.",
        "a URL such as http://127.0.0.1:9070",
    )


class DeclaredDeployment(Table):
    """A version of your code that is to serve new requests."""

    name: Name = described(
        ...,
        "What this file calls it. Unique in the file.",
        "up to 64 letters, digits, dashes, underscores or dots",
    )
    target: Target = described(
        ..., "Where its code is.", "text without spaces, such as lambda:greeter@live"
    )
    adapter: Word | None = described(
        None,
        "The adapter that reads the target. Without it: the one whose words it is written in.",
        "the name of an installed adapter",
    )
    keep: Keep | None = described(
        None, "How many old versions are kept after they are drained.", "a whole number from 0"
    )
    min_age: Duration | None = described(
        None, "How old a version must be before it may go.", DURATION
    )
    headers: dict[str, HeaderValue] = described(
        {},
        "Headers that are sent along with every request. A secret is only named, never written.",
        "a table of headers",
        each=f"text, {SECRET}",
    )
    protection: tuple[Secret, ...] = described(
        (),
        "Where the secrets stand that its platform asks for.",
        f"a list of {SECRET}",
        each=SECRET,
    )
    metadata: dict[str, str] = described(
        {}, "What you want to find at the deployment later.", "a table of texts", each="text"
    )
    breaking: Flag = described(
        False, "Whether it may remove handlers or change a service's type.", YES_NO
    )
    assert_immutable: Flag = described(
        False, "You vouch that its code never changes, where nothing can prove it.", YES_NO
    )
    dev: Flag = described(
        False, "For development: its code may change. The engine must allow it.", YES_NO
    )
    assume_role_arn: Word | None = described(
        None, "AWS: the role to take on for everything about it.", "the ARN of a role"
    )

    @property
    def plain_headers(self) -> dict[str, str]:
        """The headers whose values stand in the file."""
        return {name: value for name, value in self.headers.items() if isinstance(value, str)}

    @property
    def secret_headers(self) -> dict[str, str]:
        """The headers whose values stand elsewhere, with the reference for each."""
        return {
            name: value.reference
            for name, value in self.headers.items()
            if isinstance(value, Secret)
        }

    @property
    def has_policy(self) -> bool:
        """Whether it says when old versions may go."""
        return self.keep is not None or self.min_age is not None

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, str | Secret]) -> dict[str, str | Secret]:
        found: set[str] = set()
        for name, value in headers.items():
            reason = reason_against_header(name, value if isinstance(value, str) else "")
            if reason is None and name.lower() in found:
                reason = f"the header '{name.lower()}' is given twice"
            if reason is not None:
                raise _against_member(name, reason)
            found.add(name.lower())
        # HTTP counts no space around a value, and a server that keeps none would never agree.
        return {
            name: value.strip() if isinstance(value, str) else value
            for name, value in headers.items()
        }

    @field_validator("metadata")
    @classmethod
    def _check_metadata(cls, metadata: dict[str, str]) -> dict[str, str]:
        for name in metadata:
            if not name:
                raise _against_member(name, "a key cannot be empty")
            if name.startswith(_OURS):
                raise _against_member(name, f"keys that begin with '{_OURS}' are the engine's own")
        return metadata


def _against_member(name: str, reason: str) -> PydanticCustomError:
    return PydanticCustomError("member", "{reason}", {"reason": reason, "member": (name,)})


class DeclaredRetry(Table):
    """How failed attempts are repeated. What is left out is as the engine has it."""

    initial_interval: Wait | None = described(None, "Wait before the first retry.", WAIT)
    max_interval: Wait | None = described(None, "The longest wait between two attempts.", WAIT)
    exponentiation_factor: Factor | None = described(
        None, "By how much each further wait grows.", "a number from 1"
    )
    max_attempts: Attempts | None = described(
        None,
        "Attempts before an invocation is given up; the first one counts.",
        "a whole number from 1, or unlimited",
    )
    on_max_attempts: Literal["pause", "kill"] | None = described(
        None,
        "What happens then: `pause` parks the invocation, `kill` ends it with its last error.",
        "pause or kill",
    )

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        first, longest = self.initial_interval, self.max_interval
        if first is not None and longest is not None and longest < first:
            raise ValueError(
                f"max_interval ({format_duration(longest)}) must not be below "
                f"initial_interval ({format_duration(first)})"
            )
        return self


class DeclaredService(Table):
    """Settings of a service. What is left out is as its code or the engine has it."""

    public: Flag | None = described(None, "Whether the ingress lets it be used.", YES_NO)
    idempotency_retention: Duration | None = described(
        None, "How long the result of a request with an idempotency key is kept.", DURATION
    )
    workflow_completion_retention: Duration | None = described(
        None, "How long a finished workflow, its state and its promises are kept.", DURATION
    )
    journal_retention: Duration | None = described(
        None, "How long the journal of a finished invocation is kept.", DURATION
    )
    inactivity_timeout: Duration | None = described(
        None, "Silence after which a handler is asked to suspend.", DURATION
    )
    abort_timeout: Wait | None = described(
        None, "Silence after which an attempt is given up and retried.", WAIT
    )
    retry: DeclaredRetry | None = described(
        None, "How failed attempts are repeated.", "a table, as in { max_attempts = 20 }"
    )


class Declared(Table):
    """All that a file declares. Durations are in ms; in JSON they are text, as in the file."""

    engine: DeclaredEngine = described(
        DeclaredEngine.model_construct(),
        "Which engine is told what to serve.",
        "the table [engine]",
    )
    deployments: tuple[DeclaredDeployment, ...] = described(
        (), "What is to serve new requests.", "tables [[deployments]]", each="a table"
    )
    services: dict[str, DeclaredService] = described(
        {}, "Settings of services, by name.", "tables [services.NAME]", each="a table"
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = Counter(deployment.name for deployment in self.deployments)
        for name, count in names.items():
            if count > 1:
                raise PydanticCustomError(
                    "twice", "two deployments have the name '{name}'", {"name": name}
                )
        return self

    def to_json(self) -> dict[str, Any]:
        """What is declared, as the file could say it; what is left out there is left out here."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises ValueError for anything else."""
        return cls.model_validate(document)
