"""What functions print: one file for each execution environment, as CloudWatch has log streams."""

from __future__ import annotations

import base64
import shutil
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
    """The log streams of all versions, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def open(self, name: str, version: str) -> LogStream:
        """A new stream of a version."""
        self._count += 1
        path = self._folder / name / version / f"{self._count:06}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return LogStream(path)

    def read(self, name: str, version: str) -> str:
        """All output of a version, one environment after the other in the order of their starts."""
        streams = sorted((self._folder / name / version).glob("*.log"))
        return "".join(stream.read_text(errors="replace") for stream in streams)

    def forget(self) -> None:
        """Remove all streams."""
        shutil.rmtree(self._folder, ignore_errors=True)
