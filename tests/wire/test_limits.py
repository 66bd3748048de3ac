"""A frame of legal size must not become an illegal amount of memory."""

from __future__ import annotations

import pytest

from steadfaas.wire import messages as m
from steadfaas.wire.codec import MAX_REPEATED, MalformedMessage, decode
from steadfaas.wire.fields import Message


def test_as_many_elements_as_allowed_are_read() -> None:
    packed = b"\x0a" + b"\xa0\x8d\x06" + b"\x01" * MAX_REPEATED
    assert len(decode(m.Suspension, packed).waiting_completions) == MAX_REPEATED


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        (m.Suspension, b"\x0a\xa1\x8d\x06" + b"\x01" * (MAX_REPEATED + 1)),  # packed numbers
        (m.Suspension, b"\x08\x01" * (MAX_REPEATED + 1)),  # single numbers
        (m.Suspension, b"\x1a\x00" * (MAX_REPEATED + 1)),  # strings
        (m.CallCommand, b"\x22\x00" * (MAX_REPEATED + 1)),  # messages
        (m.StateKeys, b"\x0a\x00" * (MAX_REPEATED + 1)),  # bytes
    ],
)
def test_more_elements_are_refused(message: type[Message], payload: bytes) -> None:
    with pytest.raises(MalformedMessage, match="repeated more than"):
        decode(message, payload)
