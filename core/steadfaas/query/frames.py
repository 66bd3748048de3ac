"""What the engine's process and its query processes say to each other, over pipes.

A question is one line of JSON. An answer is a row of frames: a letter, a length, a content. READY
comes once, when the process can be asked. Then for each question HEAD, as many CHUNKs as it takes,
and END; a refused statement has a HEAD and an END only.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import Final

READY: Final = b"R"
HEAD: Final = b"H"
CHUNK: Final = b"C"
END: Final = b"E"

#: What END holds: whether the process may be asked again.
AGAIN: Final = b"again"
ENOUGH: Final = b"enough"

FRAME: Final = struct.Struct(">cI")


@dataclass(frozen=True, slots=True)
class Question:
    """A statement, and the content type of the answer."""

    statement: str
    content_type: str

    def to_line(self) -> bytes:
        """The form in which it is asked."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Question:
        """The reverse of `to_line`."""
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True)
class Head:
    """How an answer begins: the HTTP status, and for a refusal its sentence.

    `out_of_memory` says that the statement needed more memory than it may have.
    """

    status: int = 200
    message: str = ""
    out_of_memory: bool = False

    def to_bytes(self) -> bytes:
        """The content of a HEAD frame."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Head:
        """The reverse of `to_bytes`."""
        return cls(**json.loads(content))


def frame(letter: bytes, content: bytes = b"") -> bytes:
    """The bytes of a frame, its content included."""
    return FRAME.pack(letter, len(content)) + content
