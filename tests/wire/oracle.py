"""The same messages in protobuf's own library, from descriptors built out of our field tables.

So it judges the codec, not the field numbers: those are judged by test_messages.py.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

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
from tests.wire.generated import all_classes

# The library has no types that a checker could follow.
_pb: Any = descriptor_pb2
_pool: Any = descriptor_pool
_factory: Any = message_factory

_PACKAGE = "oracle"
_Field = _pb.FieldDescriptorProto
_TYPES = {
    UINT32: _Field.TYPE_UINT32,
    UINT64: _Field.TYPE_UINT64,
    BOOL: _Field.TYPE_BOOL,
    ENUM: _Field.TYPE_ENUM,
    MANY_UINT32: _Field.TYPE_UINT32,
    BYTES: _Field.TYPE_BYTES,
    STRING: _Field.TYPE_STRING,
    MESSAGE: _Field.TYPE_MESSAGE,
    MANY_BYTES: _Field.TYPE_BYTES,
    MANY_STRING: _Field.TYPE_STRING,
    MANY_MESSAGE: _Field.TYPE_MESSAGE,
}
_REPEATED = {MANY_UINT32, MANY_BYTES, MANY_STRING, MANY_MESSAGE}


def _describe(file: Any, cls: type[Message]) -> None:
    described = file.message_type.add(name=cls.__name__)
    declared = specs(cls)
    oneofs = list(dict.fromkeys(spec.oneof for spec in declared.values() if spec.oneof))
    # A proto3 `optional` is a oneof of one, and such oneofs must come last.
    alone = [
        name
        for name, spec in declared.items()
        if spec.presence and not spec.oneof and spec.kind != MESSAGE
    ]
    oneofs += [f"_{name}" for name in alone]
    for oneof in oneofs:
        described.oneof_decl.add(name=oneof)
    for name, spec in declared.items():
        made = described.field.add(
            name=name,
            number=spec.number,
            type=_TYPES[spec.kind],
            label=_Field.LABEL_REPEATED if spec.kind in _REPEATED else _Field.LABEL_OPTIONAL,
        )
        _finish(made, cls, name, spec, oneofs)
        made.proto3_optional = name in alone


def _finish(made: Any, cls: type[Message], name: str, spec: Spec, oneofs: list[str]) -> None:
    if made.type == _Field.TYPE_MESSAGE:
        made.type_name = f".{_PACKAGE}.{(spec.message or cls).__name__}"
    if made.type == _Field.TYPE_ENUM:
        made.type_name = f".{_PACKAGE}.Open"
    oneof = spec.oneof or f"_{name}"
    if oneof in oneofs:
        made.oneof_index = oneofs.index(oneof)


def _build() -> dict[str, Any]:
    file = _pb.FileDescriptorProto(name="oracle.proto", package=_PACKAGE, syntax="proto3")
    file.enum_type.add(name="Open").value.add(name="ZERO", number=0)
    for cls in all_classes():
        _describe(file, cls)
    pool = _pool.DescriptorPool()
    pool.Add(file)
    classes: dict[str, Any] = _factory.GetMessageClassesForFiles([file.name], pool)
    return classes


_CLASSES = _build()


def oracle_class(cls: type[Message]) -> Any:
    """Protobuf's class for one of ours."""
    return _CLASSES[f"{_PACKAGE}.{cls.__name__}"]


def oracle_message(message: Message) -> Any:
    """Protobuf's message with our message's known fields."""
    made = oracle_class(type(message))()
    _copy(message, made)
    return made


def _copy(message: Message, made: Any) -> None:
    for name, spec in specs(type(message)).items():
        value = getattr(message, name)
        if value is None:
            continue
        if spec.kind == MESSAGE:
            getattr(made, name).SetInParent()
            _copy(value, getattr(made, name))
        elif spec.kind == MANY_MESSAGE:
            for item in value:
                _copy(item, getattr(made, name).add())
        elif spec.kind in _REPEATED:
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
