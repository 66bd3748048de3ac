"""Takes the runnable parts out of the README.

A comment before a fenced block says what it is: `<!-- run -->` (a command that ends),
`<!-- run: background -->` (a server), `<!-- file: NAME -->` (contents of a file), and
`<!-- prints -->` (what the run before it must have printed, among other lines).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLOCK = re.compile(
    r"^<!-- (?P<kind>run: background|run|file|prints)(?:: (?P<name>[\w.]+))? -->\n"
    r"```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One runnable part. `name` is a file's name."""

    kind: str
    name: str
    text: str


def blocks(document: str) -> list[Block]:
    """All runnable parts of a document, in order."""
    return [
        Block(match["kind"], match["name"] or "", match["text"])
        for match in _BLOCK.finditer(document)
    ]
