"""How a message class says what its fields are on the wire.

A message is a slotted dataclass whose defaults name the protobuf field:

    @dataclass(slots=True, eq=False, repr=False)
    class Value(Message):
        content: bytes = octets(1)

so that one line holds a field's name, type and number, as the protocol's own tables do. The codec
reads these `Spec`s once, at import, and never again.

The default follows from presence. A plain scalar is zero or empty when absent, and is not written
then. `optional=True`, membership in a `oneof` and every nested message mean presence is known: None
is absent, and a zero, an empty string or an empty message is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

# The kinds, in the order the codec tests them: varints below BYTES, length-delimited from there.
UINT32: Final = 0
UINT64: Final = 1
BOOL: Final = 2
ENUM: Final = 3
MANY_UINT32: Final = 4
BYTES: Final = 5
STRING: Final = 6
MESSAGE: Final = 7
MANY_BYTES: Final = 8
MANY_STRING: Final = 9
MANY_MESSAGE: Final = 10

_METADATA_KEY = "wire"


class Spec(NamedTuple):
    """One field: its number and kind, its oneof (or ""), whether presence is known, and the class
    of a nested message (None stands for the declaring class itself)."""

    number: int
    kind: int
    oneof: str = ""
    presence: bool = False
    message: type[Message] | None = None


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class Message:
    """Base of all messages.

    `unknown` holds the fields a decoded message had and we do not know, as they were on the wire;
    they are written again behind the known ones. Two messages are equal if they are of one class
    and all fields are, `unknown` among them. `repr` shows only what is set.
    """

    unknown: bytes = b""

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _names(self))

    def __repr__(self) -> str:
        pairs = ((name, getattr(self, name)) for name in _names(self))
        shown = (f"{name}={value!r}" for name, value in pairs if value or value not in _UNSET)
        return f"{type(self).__name__}({', '.join(shown)})"


_UNSET: Final[tuple[object, ...]] = (None, 0, "", b"", [])


def _names(message: Message) -> tuple[str, ...]:
    return (*type(message).__match_args__, "unknown")


def specs(cls: type[Message]) -> dict[str, Spec]:
    """The wire fields of a message class by name, in ascending order of their numbers."""
    declared = {
        name: entry.metadata[_METADATA_KEY]
        for name, entry in cls.__dataclass_fields__.items()
        if _METADATA_KEY in entry.metadata
    }
    return dict(sorted(declared.items(), key=lambda item: item[1].number))


# The functions below stand where a dataclass default stands, hence `Any`.


def uint32(number: int, *, optional: bool = False, oneof: str = "") -> Any:
    """A number of 32 bits, unsigned."""
    return _scalar(number, UINT32, 0, optional, oneof)


def uint64(number: int, *, optional: bool = False, oneof: str = "") -> Any:
    """A number of 64 bits, unsigned."""
    return _scalar(number, UINT64, 0, optional, oneof)


def boolean(number: int) -> Any:
    """True or false."""
    return _scalar(number, BOOL, False, False, "")


def enumeration(number: int) -> Any:
    """An enumeration value: a signed number of 32 bits; values nobody named are kept."""
    return _scalar(number, ENUM, 0, False, "")


def string(number: int, *, optional: bool = False, oneof: str = "") -> Any:
    """UTF-8 text."""
    return _scalar(number, STRING, "", optional, oneof)


def octets(number: int, *, optional: bool = False, oneof: str = "") -> Any:
    """Bytes."""
    return _scalar(number, BYTES, b"", optional, oneof)


def nested(number: int, message: type[Message] | None, *, oneof: str = "") -> Any:
    """A message inside the message."""
    spec = Spec(number, MESSAGE, oneof, True, message)
    return field(default=None, metadata={_METADATA_KEY: spec})


def uint32s(number: int) -> Any:
    """A list of numbers, written packed; both forms are read."""
    return _repeated(Spec(number, MANY_UINT32))


def strings(number: int) -> Any:
    """A list of texts."""
    return _repeated(Spec(number, MANY_STRING))


def octet_strings(number: int) -> Any:
    """A list of byte strings."""
    return _repeated(Spec(number, MANY_BYTES))


def nested_list(number: int, message: type[Message] | None) -> Any:
    """A list of messages; None for messages of the declaring class."""
    return _repeated(Spec(number, MANY_MESSAGE, message=message))


def _scalar(number: int, kind: int, zero: object, optional: bool, oneof: str) -> Any:
    presence = optional or bool(oneof)
    spec = Spec(number, kind, oneof, presence)
    return field(default=None if presence else zero, metadata={_METADATA_KEY: spec})


def _repeated(spec: Spec) -> Any:
    return field(default_factory=list, metadata={_METADATA_KEY: spec})
