"""Secrets by reference: a file says where a secret stands, never what it is."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import (
    ConfigDict,
    Discriminator,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from steadfaas.config.values import Table, described
from steadfaas.wire.header_rules import is_engines_own, is_reference

SECRET: Final = '{ env = "NAME" } or { file = "PATH" }'


class Secret(Table):
    """Where a secret stands; never the secret itself. It is looked up where the engine runs."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["env"]}, {"required": ["file"]}]}
    )

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
        if value is None:
            return None
        reference = f"{field.field_name}:{value}"
        if is_engines_own(reference):
            reason = f"'{reference}' belongs to the engine itself, and no endpoint gets it"
            raise PydanticCustomError("refused", "{reason}", {"reason": reason})
        if not is_reference(reference):
            raise ValueError
        return value

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError(f"expected one of env and file: {SECRET}")
        return self


def _kind(value: object) -> str:
    return "secret" if isinstance(value, dict | Secret) else "text"


# The words in it are tags: they stand in the places of errors, and are taken out there.
HeaderValue = Annotated[
    Annotated[str, Tag("text")] | Annotated[Secret, Tag("secret")], Discriminator(_kind)
]
