"""Kinds of values: how each is written in a file, and what stands for it afterwards.

Durations are text with a unit (`10s`, `PT10S`) on the way in, whole milliseconds inside, and text
again in JSON.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from steadfaas.config.address import Address
from steadfaas.durations import format_duration, parse_duration

DURATION: Final = "a duration such as 500ms, 10s or 1day"
WAIT: Final = "a duration above zero, such as 500ms or 10s"
COUNT: Final = "a whole number from 1"
SIZE: Final = "bytes from 1024, or a size such as 32MiB"
YES_NO: Final = "true or false"


_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CREDENTIALS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@")


class Table(BaseModel):
    """A table of the file: knows all its keys, and never changes."""

    # Built when the first file has one: `up` without tables need not wait for it.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def described(default: Any, meaning: str, allowed: str, *, each: str = "") -> Any:
    """A key of the file with its default, what it does and what it may be.

    `each` is what the members of a list, or of a table with free names, may be.
    """
    return Field(default, description=meaning, json_schema_extra={"allowed": allowed, "each": each})


def allowed_in(field: FieldInfo, part: Literal["allowed", "each"] = "allowed") -> str:
    """What a key, or each member of it, may be: in words."""
    extra = field.json_schema_extra
    return str(extra[part]) if isinstance(extra, dict) else ""


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


def _read_attempts(value: object) -> int | Literal["unlimited"]:
    if value == "unlimited":
        return "unlimited"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError
    return value


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError
    return name


def _check_word(text: str) -> str:
    if not text or not text.isprintable() or any(char.isspace() for char in text):
        raise ValueError
    return text


def _check_target(text: str) -> str:
    return _without_credentials(_check_word(text), "name a secret in 'headers' instead")


def _without_credentials(text: str, advice: str) -> str:
    # It is not repeated: the password stands in it.
    if _CREDENTIALS.match(text):
        reason = f"it holds a user name or password; {advice}"
        raise PydanticCustomError("refused", "{reason}", {"reason": reason})
    return text


def _check_url(text: str) -> str:
    _without_credentials(text, "none is sent to an admin API")
    try:
        parts = urlsplit(_check_word(text))
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment:
        raise ValueError
    return text.rstrip("/")


ATTEMPTS_SCHEMA: Final = WithJsonSchema(
    {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "unlimited"}]}
)
SIZE_SCHEMA: Final = WithJsonSchema(
    {"anyOf": [{"type": "integer", "minimum": 1024}, {"type": "string"}]}
)
_TEXT_SCHEMA: Final = WithJsonSchema({"type": "string"})
_COUNTED: Final = BeforeValidator(_read_count)
_WRITTEN: Final = PlainSerializer(format_duration, return_type=str, when_used="json")

Listen = Annotated[Address, NoDecode, BeforeValidator(_read_address), _TEXT_SCHEMA]
Duration = Annotated[int, BeforeValidator(_read_duration), _WRITTEN, _TEXT_SCHEMA]
Wait = Annotated[int, BeforeValidator(_read_wait), _WRITTEN, _TEXT_SCHEMA]
Count = Annotated[int, Field(ge=1), _COUNTED]
Bytes = Annotated[ByteSize, Field(ge=1024), SIZE_SCHEMA]

# Those of the tables take nothing that only looks like the right kind.
Flag = Annotated[bool, Strict()]
Keep = Annotated[int, Strict(), Field(ge=0)]
Factor = Annotated[float, Strict(), Field(ge=1, allow_inf_nan=False)]
Name = Annotated[str, AfterValidator(_check_name)]
Word = Annotated[str, AfterValidator(_check_word)]
Target = Annotated[str, AfterValidator(_check_target)]
Url = Annotated[str, AfterValidator(_check_url)]
Attempts = Annotated[
    int | Literal["unlimited"],
    PlainValidator(_read_attempts),
    ATTEMPTS_SCHEMA,
]
