"""The story over HTTP: each version is a server of its own, at an address of its own.

Run it with `make demo-http`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import parts
import story
from parts import Part
from story import Release


class Servers:
    """The checkout under uvicorn, one process for each version."""

    breakdown = "it will answer 503 to its next {failures} calls"
    overview: tuple[str, ...] = ("deployments", "list")

    def __init__(self, folder: Path) -> None:
        self.environment: dict[str, str] = {}
        self._folder = folder
        self._servers: dict[str, Part] = {}

    def release(self, version: str) -> Release:
        """Start a server beside those that are there."""
        port = parts.free_port()
        url = f"http://{parts.LOOPBACK}:{port}/"
        self._servers[version] = server = self._server(version, port)
        server.start()
        return Release(f"{version} is deployed", url, {"uri": url, "use_http_11": True}, url)

    def logs(self) -> Iterator[tuple[str, str]]:
        """What each server has logged."""
        for version, server in self._servers.items():
            yield version, server.log()

    def stop(self) -> None:
        """End all servers."""
        for server in self._servers.values():
            server.stop()

    def _server(self, version: str, port: int) -> Part:
        command = [
            *(sys.executable, "-m", "uvicorn", f"checkout_{version}:app"),
            *("--host", parts.LOOPBACK, "--port", str(port)),
            *("--no-access-log", "--timeout-graceful-shutdown", "1"),
        ]
        return Part(
            version,
            command,
            folder=self._folder,
            health=f"http://{parts.LOOPBACK}:{port}/health",
            environment=story.evidence(self._folder, version),
            cwd=Path(__file__).parent,
        )


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Servers that are gone in the end."""
    found = Servers(folder)
    try:
        yield found
    finally:
        found.stop()


if __name__ == "__main__":
    sys.exit(story.run(servers))
