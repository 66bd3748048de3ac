"""Messages to protobuf bytes and back, driven by tables made at import from `fields.Spec`.

Reading is strict where protobuf implementations differ, and equal to them where they agree:

- refused (`MalformedMessage`): bytes missing or left over; varints beyond ten bytes or 64 bits;
  tags and lengths beyond five bytes; field number 0; wire types 6 and 7; a known field with another
  wire type than its own; groups that do not balance; text that is not UTF-8; nesting beyond 100
  levels.
- taken: numbers too wide for their field, cut to its low 32 bits; repeated numbers packed or not;
  fields in any order; a scalar given twice (the last counts); a nested message given twice (merged,
  field by field); several members of a oneof (the last counts).
- kept: unknown fields, as they were, in `Message.unknown`.

Writing has one form for every message: ascending field numbers, shortest varints, zero and empty
scalars left out unless their presence counts, repeated numbers packed, unknown fields at the end.
So `encode(decode(...))` gives back canonical bytes exactly. Bytes to be stored or forwarded should
nevertheless be kept as they came: an endpoint need not be canonical.

The loops below are long for Python functions on purpose: a call costs as much as a field.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final, TypeVar

from steadfaas.errors import ProtocolViolation
from steadfaas.wire.fields import (
    BOOL,
    BYTES,
    ENUM,
    MANY_BYTES,
    MANY_MESSAGE,
    MANY_STRING,
    MANY_UINT32,
    MESSAGE,
    STRING,
    UINT32,
    UINT64,
    Message,
    Spec,
    specs,
)

M = TypeVar("M", bound=Message)

#: Messages and groups inside one another; the limit that protobuf's own libraries have.
MAX_DEPTH: Final = 100

#: Elements of one repeated field. Two bytes on the wire may become a hundred in memory, so a frame
#: of legal size could otherwise fill a machine.
MAX_REPEATED: Final = 100_000

#: A kind of ours: a nested message whose only field is `bytes` number 1, which is to say `Value`:
#: the payload of nearly every message, and read without a further loop when it is short.
_WRAPPED_BYTES: Final = 11

_VARINT: Final = 0
_LENGTH_DELIMITED: Final = 2
_GROUP_START: Final = 3
_GROUP_END: Final = 4
_FIXED_SIZES: Final = {1: 8, 5: 4}

_BYTE: Final = tuple(bytes((value,)) for value in range(128))


class MalformedMessage(ProtocolViolation):
    """A payload is not a protobuf message of the expected class."""


def decode(cls: type[M], payload: bytes) -> M:
    """The message in `payload`. Raises `MalformedMessage`, and nothing else, if there is none."""
    # Reading past the end of the payload is found by trying: bounds cost more than all else here.
    try:
        message: M = _read(_PLANS[cls], payload, 0, len(payload), 0, None)
    except IndexError:
        raise _malformed(cls, "it ends inside a field") from None
    except UnicodeDecodeError:
        raise _malformed(cls, "a text is not UTF-8") from None
    except _Flaw as flaw:
        raise _malformed(cls, str(flaw)) from None
    return message


def encode(message: Message) -> bytes:
    """The canonical bytes of `message`.

    Raises ValueError for numbers out of their field's range and for text that UTF-8 cannot express:
    both are faults of the caller.
    """
    return _write(_PLANS[type(message)], message)


def varint(value: int) -> bytes:
    """`value` as a protobuf varint. Raises ValueError outside 0..2**64-1."""
    if 0 <= value < 0x80:
        return _BYTE[value]
    if value < 0x4000:
        if value < 0:
            raise ValueError(f"a varint cannot be negative: {value}")
        return bytes((value & 127 | 128, value >> 7))
    if value < 0x10000000:
        low = value & 127 | 128, value >> 7 & 127 | 128
        return bytes(low) + varint(value >> 14)
    if value > 0xFFFFFFFFFFFFFFFF:
        raise ValueError(f"a varint cannot exceed 64 bits: {value}")
    # Four groups at a time: the number is small for Python (one digit) from the first cut on.
    head = value & 0xFFFFFFF
    return bytes(
        (head & 127 | 128, head >> 7 & 127 | 128, head >> 14 & 127 | 128, head >> 21 | 128)
    ) + varint(value >> 28)


def prefixes(number: int, wire_type: int) -> tuple[bytes, ...]:
    """The tag of a field, followed by each one-byte varint: `[n]` opens or is a field below 128."""
    key = number << 3 | wire_type
    if key not in _PREFIXES:
        tag = varint(key)
        _PREFIXES[key] = tuple([tag + byte for byte in _BYTE])
    return _PREFIXES[key]


# --- tables -----------------------------------------------------------------------------------

_PREFIXES: dict[int, tuple[bytes, ...]] = {}

#: For a tag: kind, attribute, own bit, bits and attributes of its oneof's other members, sub-plan.
_ReadRow = tuple[int, str, int, int, tuple[str, ...], Any]
#: For a field: kind, whether zero is left out, tag, tag with each one-byte varint, sub-plan.
_WriteRow = tuple[int, bool, bytes, tuple[bytes, ...], Any]


class _Plan:
    """A message class, made ready for the two loops."""

    __slots__ = ("attributes", "make", "numbers", "reading", "wraps_bytes", "writing")

    def __init__(self, cls: type[Message]) -> None:
        declared = specs(cls)
        self.make: Any = cls
        self.numbers = frozenset(spec.number for spec in declared.values())
        self.wraps_bytes = [(s.number, s.kind) for s in declared.values()] == [(1, BYTES)]
        # `unknown` twice, because a getter of one attribute would not return a tuple.
        self.attributes = attrgetter(*declared, "unknown", "unknown")
        self.reading: dict[int, _ReadRow] = {}
        self.writing: list[_WriteRow] = []

    def fill(self, cls: type[Message]) -> None:
        """Make the rows: later than the plan itself, for messages that contain themselves."""
        declared = specs(cls)
        bits = {name: 1 << position for position, name in enumerate(declared)}
        for name, spec in declared.items():
            sub = prepare(spec.message or cls) if spec.kind in (MESSAGE, MANY_MESSAGE) else None
            kind = spec.kind
            if kind == MESSAGE and sub is not None and sub.wraps_bytes:
                kind = _WRAPPED_BYTES
            others = tuple(
                other
                for other, rival in declared.items()
                if spec.oneof and rival.oneof == spec.oneof and other != name
            )
            mask = sum(bits[other] for other in others)
            row = (kind, name, bits[name], mask, others, sub)
            for wire_type in _wire_types_read(spec):
                self.reading[spec.number << 3 | wire_type] = row
            short = prefixes(spec.number, _wire_types_read(spec)[0])
            self.writing.append((kind, not spec.presence, short[0][:-1], short, sub))


_PLANS: dict[type[Message], _Plan] = {}


def prepare(cls: type[Message]) -> _Plan:
    """Make the tables of a message class and of all it contains, once."""
    plan = _PLANS.get(cls)
    if plan is None:
        plan = _PLANS[cls] = _Plan(cls)
        plan.fill(cls)
    return plan


def _wire_types_read(spec: Spec) -> tuple[int, ...]:
    """The wire types a field may have; the first is the one it is written with."""
    if spec.kind == MANY_UINT32:
        return (_LENGTH_DELIMITED, _VARINT)
    return (_VARINT,) if spec.kind < BYTES else (_LENGTH_DELIMITED,)


# --- reading ----------------------------------------------------------------------------------


class _Flaw(Exception):
    """Why a payload is refused; becomes a `MalformedMessage` that also names the class."""


def _malformed(cls: type[Message], reason: str) -> MalformedMessage:
    return MalformedMessage(f"malformed {cls.__name__} message: {reason}")


def _read(plan: _Plan, buf: bytes, pos: int, end: int, depth: int, into: Message | None) -> Any:
    """Read `buf[pos:end]` into a new message, or merge it into an existing one.

    Single bytes are read without asking whether they lie before `end`: beyond it is either the end
    of `buf` (IndexError) or a neighbour's data, and then `pos` passes `end`, which is noticed
    before anything is returned. Slices would not notice, so those are checked.
    """
    # Bits of the fields met so far: which oneof members to drop, which nested messages to merge.
    # A message that is merged into may have any of its fields.
    if into is None:
        message = plan.make()
        seen = 0
    else:
        message = into
        seen = -1
    rows = plan.reading
    unknown = None
    while pos < end:
        start = pos
        tag = buf[pos]
        pos += 1
        if tag > 127:
            tag, pos = _read_varint32(buf, start)
        row = rows.get(tag)
        if row is None:
            pos = _skip(plan, buf, tag, pos, depth)
            if unknown is None:
                unknown = bytearray()
            unknown += buf[start:pos]
            continue
        kind, name, bit, mask, others, sub = row
        if seen & mask:
            for other in others:
                setattr(message, other, None)
        if tag & 7 == _VARINT:
            value = buf[pos]
            pos += 1
            if value > 127:
                value, pos = _read_varint(buf, pos - 1)
            if kind == UINT32:
                setattr(message, name, value & 0xFFFFFFFF)
            elif kind == UINT64:
                setattr(message, name, value)
            elif kind == BOOL:
                setattr(message, name, value != 0)
            elif kind == ENUM:
                setattr(message, name, (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000)
            else:
                _bounded(getattr(message, name)).append(value & 0xFFFFFFFF)
        else:
            size = buf[pos]
            pos += 1
            if size > 127:
                size, pos = _read_varint32(buf, pos - 1)
            stop = pos + size
            if stop > end:
                raise _Flaw("it ends inside a field")
            if kind == _WRAPPED_BYTES and _is_plain(buf, pos, size) and not seen & bit:
                setattr(message, name, sub.make(buf[pos + 2 : stop]))
            elif kind == STRING:
                setattr(message, name, buf[pos:stop].decode())
            elif kind == BYTES:
                setattr(message, name, buf[pos:stop])
            elif kind in (MESSAGE, _WRAPPED_BYTES):
                if depth >= MAX_DEPTH:
                    raise _Flaw("it is nested too deeply")
                known = getattr(message, name) if seen & bit else None
                setattr(message, name, _read(sub, buf, pos, stop, depth + 1, known))
            elif kind == MANY_MESSAGE:
                if depth >= MAX_DEPTH:
                    raise _Flaw("it is nested too deeply")
                items = _bounded(getattr(message, name))
                items.append(_read(sub, buf, pos, stop, depth + 1, None))
            elif kind == MANY_UINT32:
                if size > MAX_REPEATED:
                    raise _Flaw(f"a field is repeated more than {MAX_REPEATED} times")
                _bounded(getattr(message, name)).extend(_read_packed(buf[pos:stop]))
            elif kind == MANY_STRING:
                _bounded(getattr(message, name)).append(buf[pos:stop].decode())
            else:
                _bounded(getattr(message, name)).append(buf[pos:stop])
            pos = stop
        seen |= bit
    if pos != end:
        raise _Flaw("it ends inside a field")
    if unknown is not None:
        message.unknown += bytes(unknown)
    return message


def _bounded(items: list[Any]) -> list[Any]:
    """The list, if it may still grow: an element costs far more memory than its bytes do."""
    if len(items) >= MAX_REPEATED:
        raise _Flaw(f"a field is repeated more than {MAX_REPEATED} times")
    return items


def _is_plain(buf: bytes, pos: int, size: int) -> bool:
    """Whether `size` bytes at `pos` are field 1, shorter than 128 bytes, and nothing besides."""
    return 1 < size < 130 and buf[pos] == 10 and buf[pos + 1] == size - 2


def _read_varint(buf: bytes, pos: int) -> tuple[int, int]:
    """A varint of up to 64 bits, and where it ends."""
    value = shift = 0
    while True:
        byte = buf[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise _Flaw("a varint is longer than ten bytes")
    if value > 0xFFFFFFFFFFFFFFFF:
        raise _Flaw("a varint exceeds 64 bits")
    return value, pos


def _read_varint32(buf: bytes, pos: int) -> tuple[int, int]:
    """A tag or a length: a varint of up to five bytes and 32 bits, and where it ends."""
    value = shift = 0
    while True:
        byte = buf[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 28:
            raise _Flaw("a tag or length is longer than five bytes")
    if value > 0xFFFFFFFF:
        raise _Flaw("a tag or length exceeds 32 bits")
    return value, pos


def _read_packed(data: bytes) -> bytes | list[int]:
    """The numbers of a packed field."""
    if data.isascii():  # every number is one byte, and bytes iterate as numbers
        return data
    values = []
    pos, end = 0, len(data)
    while pos < end:
        value, pos = _read_varint(data, pos)
        values.append(value & 0xFFFFFFFF)
    return values


def _skip(plan: _Plan, buf: bytes, tag: int, pos: int, depth: int) -> int:
    """The end of the unknown field whose tag ends at `pos`, with all that its group contains.

    As in `_read`, that may lie beyond the end of the message, for the caller to notice.
    """
    if tag >> 3 in plan.numbers:
        raise _Flaw(f"field {tag >> 3} has wire type {tag & 7}")
    groups: list[int] = []
    while True:
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise _Flaw("a field has number 0")
        if wire_type == _VARINT:
            _, pos = _read_varint(buf, pos)
        elif wire_type == _LENGTH_DELIMITED:
            size, pos = _read_varint32(buf, pos)
            pos += size
        elif wire_type == _GROUP_START:
            groups.append(number)
            if depth + len(groups) > MAX_DEPTH:
                raise _Flaw("it is nested too deeply")
        elif wire_type == _GROUP_END:
            if not groups or groups.pop() != number:
                raise _Flaw("a group ends that was not opened")
        elif wire_type in _FIXED_SIZES:
            pos += _FIXED_SIZES[wire_type]
        else:
            raise _Flaw(f"wire type {wire_type} does not exist")
        if not groups:
            return pos
        tag, pos = _read_varint32(buf, pos)


# --- writing ----------------------------------------------------------------------------------


def _write(plan: _Plan, message: Message) -> bytes:
    values = plan.attributes(message)
    parts: list[bytes] = []
    for value, (kind, implicit, tag, short, sub) in zip(values, plan.writing, strict=False):
        if not value and (implicit or value is None):
            continue
        if kind < MANY_UINT32:
            if 0 <= value < 128:
                parts.append(short[value])
            else:
                parts.append(tag)
                parts.append(_varint_of(kind, value))
            continue
        if kind > MESSAGE and kind != _WRAPPED_BYTES:
            for item in value:
                data = (
                    item
                    if kind == MANY_BYTES
                    else item.encode()
                    if kind == MANY_STRING
                    else _write(sub, item)
                )
                size = len(data)
                parts.append(short[size] if size < 128 else tag + varint(size))
                parts.append(data)
            continue
        if kind == STRING:
            data = value.encode()
        elif kind == BYTES:
            data = value
        elif kind == MANY_UINT32:
            data = b"".join([_varint_of(UINT32, item) for item in value])
        else:
            data = _write(sub, value)
        size = len(data)
        parts.append(short[size] if size < 128 else tag + varint(size))
        parts.append(data)
    parts.append(message.unknown)
    return b"".join(parts)


def _varint_of(kind: int, value: int) -> bytes:
    """A number as its field writes it. Raises ValueError if the field cannot hold it."""
    if kind == UINT32 and value > 0xFFFFFFFF:
        raise ValueError(f"not an unsigned number of 32 bits: {value}")
    if kind == ENUM:
        if not -0x80000000 <= value < 0x80000000:
            raise ValueError(f"not a signed number of 32 bits: {value}")
        value &= 0xFFFFFFFFFFFFFFFF  # negative numbers take ten bytes, by protobuf's rule
    return varint(value)
