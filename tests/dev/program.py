"""A program that is being worked on, `steadfaas dev` on it, and what both say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.dev.system import until
from tests.support import client

# A request waits in the middle until it is told to go on, then it imports a module it never had.
# What a version is stands in that module alone, so that one save makes one version.
GREETER = """
import os
from pathlib import Path

import restate

WORDS = Path("words.py").read_text()
compile(WORDS, "words.py", "exec")
VERSION = WORDS.split("'")[1]

greeter = restate.Service("Greeter")
print("pid", os.getpid())


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    await ctx.run_typed("note", lambda: name)
    awakeable, promise = ctx.awakeable()
    print("waits", name, awakeable)
    await promise
    from words import hello

    return f"{VERSION}{hello(name)}"


@greeter.handler()
async def version(ctx: restate.Context) -> str:
    from words import hello

    return f"{VERSION}{hello('you')}"


app = restate.app([greeter])
"""


class Program:
    """A folder with a greeter in version `v1`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        (folder / "greeter.py").write_text(GREETER)
        self.save("v1")

    def save(self, version: str, more: str = "") -> None:
        """Save the program as it is in this version, at once as editors do."""
        words = f"def hello(name: str) -> str:\n    return '{version} ' + name\n{more}"
        (self.folder / "words.py~").write_text(words)
        (self.folder / "words.py~").replace(self.folder / "words.py")

    @property
    def kept(self) -> set[str]:
        """The snapshots."""
        place = self.folder / ".steadfaas/dev/greeter"
        return {path.name for path in place.iterdir() if path.is_dir()}


class Dev:
    """`steadfaas dev` in a process of its own, in this folder, and its events."""

    def __init__(self, folder: Path, admin_url: str, *words: str, **env: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._seen: dict[str, int] = {}
        path = os.pathsep.join(each for each in sys.path if each)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "steadfaas", "--admin-url", admin_url, "dev", "--json"),
                *(words or ("greeter:app",)),
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, kind: str, version: str | None = None) -> dict[str, Any]:
        """The next event of this kind (and version) that was not waited for yet."""
        awaited = f"{kind} {version or ''}".strip()
        place = self._seen.get(awaited, 0)

        def so_far() -> list[dict[str, Any]]:
            kinds = [each for each in list(self.events) if each["event"] == kind]
            return [each for each in kinds if version in (None, each.get("version"))]

        def happened() -> bool:
            ended = self._process.poll() is not None and not self._reader.is_alive()
            assert not ended or len(so_far()) > place, f"it ended before '{awaited}'"
            return len(so_far()) > place

        try:
            until(f"'{awaited}'", happened)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.report()}") from error
        self._seen[awaited] = place + 1
        return so_far()[place]

    def serving(self) -> str:
        """The version that now takes new requests."""
        return str(self.wait("serving")["version"])

    def waits(self, name: str) -> tuple[str, str]:
        """The version at which the request for this name waits, and its awakeable."""

        def lines() -> list[tuple[str, str]]:
            return [
                (str(each["of"]), str(each["line"]).split()[2])
                for each in list(self.events)
                if each["event"] == "output" and str(each["line"]).startswith(f"waits {name} ")
            ]

        until(f"{name} waits", lambda: bool(lines()))
        return lines()[-1]

    def pids(self) -> set[int]:
        """The processes of all versions so far."""
        return {
            int(each["line"].split()[1])
            for each in list(self.events)
            if each["event"] == "output" and each["line"].startswith("pid ")
        }

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._ended()

    def interrupt(self) -> int:
        """End it as Ctrl-C would; its exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._ended()

    def wait_end(self) -> tuple[int, str]:
        """Its exit code and what it said on standard error, once it ends by itself."""
        assert self._process.stderr is not None
        code = self._process.wait(60.0)
        said = self._process.stderr.read()
        self._ended()
        return code, said

    def report(self) -> str:
        """All that it said."""
        return "\n".join(json.dumps(each) for each in list(self.events))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self.kill()

    def _ended(self) -> int:
        code = self._process.wait(30.0)
        self._reader.join(10.0)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(json.loads(line))


def resolve(ingress: str, awakeable: str) -> None:
    """Let a request go on."""
    reply = client.post_json(ingress, f"/restate/awakeables/{awakeable}/resolve", None)
    assert reply.status == 202, reply.body
