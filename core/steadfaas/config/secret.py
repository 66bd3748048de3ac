"""Secrets by reference: a file says where a secret stands, never what it is."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Discriminator, Tag, ValidationInfo, field_validator, model_validator

from steadfaas.config.values import Table, described
from steadfaas.deployments.secrets import reason_against_reference

SECRET: Final = '{ env = "NAME" } or { file = "PATH" }'


class Secret(Table):
    """Where a secret stands; never the secret itself. It is looked up where the engine runs."""

    env: str | None = described(
        None, "The environment variable that holds the secret.", "the name of a variable"
    )
    file: str | None = described(
        None, "The file that holds the secret.", "the path of a file, without spaces"
    )

    @property
    def reference(self) -> str:
        """The place as the admin API takes it: `env:NAME` or `file:PATH`."""
        return f"env:{self.env}" if self.env is not None else f"file:{self.file}"

    @field_validator("env", "file")
    @classmethod
    def _check_reference(cls, value: str | None, field: ValidationInfo) -> str | None:
        reason = value and reason_against_reference(f"{field.field_name}:{value}")
        if value == "" or reason:
            raise ValueError(reason)
        return value

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError(f"expected exactly one of {SECRET}")
        return self


def _kind(value: object) -> str:
    return "secret" if isinstance(value, dict | Secret) else "text"


# The words in it are tags: they stand in the places of errors, and are taken out there.
HeaderValue = Annotated[
    Annotated[str, Tag("text")] | Annotated[Secret, Tag("secret")], Discriminator(_kind)
]
