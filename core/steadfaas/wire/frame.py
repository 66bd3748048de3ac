"""Frames: how messages follow one another in a request or response body.

A frame is eight bytes of header, big endian, and then the message:

    0-1  type    u16   which message (`steadfaas.wire.messages.MessageType`)
    2-3  flags   u16   only `FLAG_ACK` is defined
    4-7  length  u32   bytes of payload that follow

Chunks of a body end anywhere, so a reader keeps the start of a frame until its end has come. Most
answers arrive in one chunk and never touch that buffer.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

HEADER_SIZE: Final = 8

#: Set by an endpoint that wants an acknowledgement; answered over full-duplex streams only.
FLAG_ACK: Final = 0x8000

#: The longest payload taken by default, in bytes: the limit the stock server shows.
DEFAULT_MAX_PAYLOAD: Final = 33_816_576

_HEADER = Struct(">HHI")
_pack = _HEADER.pack
_unpack_from = _HEADER.unpack_from


class Frame(NamedTuple):
    """One frame: its type, the message as protobuf bytes, and the flags of the header."""

    type: int
    payload: bytes
    flags: int = 0


def encode_frame(type: int, payload: bytes, flags: int = 0) -> bytes:
    """Header and payload as they go on the wire."""
    return _pack(type, flags, len(payload)) + payload


class FrameReader:
    """Cuts one body into frames, whatever its chunks.

    `oversize` is None until a header announces more than `max_payload` bytes; then it holds the
    announced length and the reader is finished: it keeps nothing and returns nothing more. At most
    one frame is buffered, and memory grows with what arrived, never with what was announced.
    """

    __slots__ = ("_buffer", "_max_payload", "_need", "oversize")

    def __init__(self, max_payload: int = DEFAULT_MAX_PAYLOAD) -> None:
        self.oversize: int | None = None
        self._max_payload = max_payload
        # The incomplete frame, header included, and how long it must become before there is
        # anything to do: a header's length at first, then the whole frame's.
        self._buffer = bytearray()
        self._need = HEADER_SIZE

    @property
    def partial(self) -> bool:
        """Whether the bytes fed so far end inside a frame."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes, in order. Never raises."""
        frames: list[Frame] = []
        if self.oversize is not None:
            return frames
        pos = self._resume(data, frames) if self._buffer else 0
        end = len(data)
        max_payload = self._max_payload
        while end - pos >= HEADER_SIZE:
            type_, flags, length = _unpack_from(data, pos)
            if length > max_payload:
                self._refuse(length)
                return frames
            stop = pos + HEADER_SIZE + length
            if stop > end:
                self._need = HEADER_SIZE + length
                break
            frames.append(Frame(type_, data[pos + HEADER_SIZE : stop], flags))
            pos = stop
        if pos < end and self.oversize is None:
            self._buffer += data[pos:]
        return frames

    def _resume(self, data: bytes, frames: list[Frame]) -> int:
        """Continue the buffered frame; returns where in `data` the next one starts.

        Every byte is appended once and copied out once, so a long frame costs the same however
        small its chunks are.
        """
        buffer = self._buffer
        end = len(data)
        pos = 0
        if self._need == HEADER_SIZE:
            pos = HEADER_SIZE - len(buffer)
            buffer += data[:pos]
            if len(buffer) < HEADER_SIZE:
                return end
            length = _unpack_from(buffer)[2]
            if length > self._max_payload:
                self._refuse(length)
                return end
            self._need = HEADER_SIZE + length
        stop = pos + self._need - len(buffer)
        buffer += data[pos:stop]
        if stop > end:
            return end
        type_, flags, _ = _unpack_from(buffer)
        with memoryview(buffer) as view:
            frames.append(Frame(type_, bytes(view[HEADER_SIZE:]), flags))
        self._buffer = bytearray()
        self._need = HEADER_SIZE
        return stop

    def _refuse(self, length: int) -> None:
        self.oversize = length
        self._buffer = bytearray()
