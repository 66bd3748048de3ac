"""What runs in a snapshot: an ASGI application under a server, or any command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from steadfaas.cli.exits import CommandError, ExitCode

_SERVE: Final = str(Path(__file__).with_name("serve.py"))
_PORT: Final = "{port}"
_LOOK_SECONDS: Final = 30.0
_APPLICATION: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d][\w.]*(\(\))?")


@dataclass(frozen=True, slots=True)
class Launch:
    """How versions are started: the user's `words`, in a copy of the folder `base`."""

    base: Path
    words: tuple[str, ...]

    @property
    def application(self) -> str | None:
        """`module:app` if that is what it is, else None."""
        [first, *more] = self.words
        return first if not more and _APPLICATION.fullmatch(first) else None

    @property
    def name(self) -> str:
        """A name after what runs: `greeter` for `greeter:app`, `server` for `node server.mjs`."""
        if self.application:
            return self.application.partition(":")[0]
        named = [word for word in self.words if not word.startswith("-") and _PORT not in word]
        return re.sub(r"[^\w-]+", "-", Path(named[-1]).stem).strip("-") or "dev"

    def command(self, port: int) -> list[str]:
        """Program and arguments for a version at this port, to be run in its snapshot."""
        if self.application:
            return [_interpreter(), _SERVE, str(self.base), self.application, str(port)]
        return [word.replace(_PORT, str(port)) for word in self.words]

    def environment(self, port: int, code: Path) -> dict[str, str]:
        """The variables of a version, whose snapshot is `code`."""
        more = {
            "PORT": str(port),
            "PWD": str(code),
            "STEADFAAS_DEV_FOLDER": str(self.base),
            # A snapshot stays as it was taken.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        if path := os.environ.get("PYTHONPATH"):
            places = [self._inside(place, code) for place in path.split(os.pathsep)]
            more["PYTHONPATH"] = os.pathsep.join(places)
        return {**os.environ, **more}

    def check(self) -> None:
        """Raises CommandError if it cannot work at all."""
        [first, *more] = self.words
        if self.application:
            _check_server(_interpreter())
        elif not more and not os.path.dirname(first) and _is_module(self.base, first):
            module = first.removesuffix(".py")
            raise CommandError(
                f"'{first}' names no application. Write {module}:app, where 'app' is what"
                " restate.app(…) was assigned to.",
                ExitCode.USAGE,
            )

    def _inside(self, place: str, code: Path) -> str:
        """A place to import from, or its counterpart in the snapshot if there is one."""
        path = Path(place)
        if not path.is_absolute() or not path.resolve().is_relative_to(self.base):
            return place
        counterpart = code / path.resolve().relative_to(self.base)
        return str(counterpart) if counterpart.is_dir() else place


def _interpreter() -> str:
    """Python of the active environment, else of this one."""
    active = os.environ.get("VIRTUAL_ENV")
    found = Path(active, "bin", "python") if active else None
    return str(found) if found and found.exists() else sys.executable


def _check_server(interpreter: str) -> None:
    done = subprocess.run(
        [interpreter, _SERVE], capture_output=True, text=True, timeout=_LOOK_SECONDS
    )
    if done.returncode or not done.stdout.strip():
        raise CommandError(
            f"An ASGI application needs uvicorn or hypercorn, and {interpreter} has neither."
            f" Install one: {interpreter} -m pip install uvicorn",
            ExitCode.REFUSED,
        )


def _is_module(base: Path, word: str) -> bool:
    name = word.removesuffix(".py")
    return (base / f"{name}.py").is_file() or (base / name / "__init__.py").is_file()
