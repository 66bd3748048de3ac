"""What functions print: one file for each execution environment, as CloudWatch has log streams."""

from __future__ import annotations

import base64
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Final

_TAIL: Final = 4096  # bytes that an invocation with LogType=Tail gets back


class LogStream:
    """The output of one execution environment. Its process appends to the file by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The stream's name, as the function sees it."""
        return self.path.stem

    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size

    def tail(self, since: int) -> str:
        """The last of what was printed after the first `since` bytes, in base64."""
        with self.path.open("rb") as file:
            file.seek(max(since, self.size() - _TAIL))
            return base64.b64encode(file.read()).decode()


class LogStreams:
    """The log streams of all versions, in a folder. What lies there already is left alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: defaultdict[tuple[str, str], list[LogStream]] = defaultdict(list)

    def open(self, name: str, version: str) -> LogStream:
        """A new stream of a version."""
        path = self._folder / name / version / f"{uuid.uuid4().hex}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        stream = LogStream(path)
        self._streams[name, version].append(stream)
        return stream

    def read(self, name: str, version: str) -> str:
        """All output of a version, one environment after the other in the order of their starts."""
        streams = self._streams.get((name, version), ())
        return "".join(stream.path.read_text(errors="replace") for stream in streams)

    def forget(self) -> None:
        """Begin anew. The files stay where they are."""
        self._streams.clear()
