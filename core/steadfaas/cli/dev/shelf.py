"""The folder of a program's snapshots, `.steadfaas/dev/NAME`, and what is noted there."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from steadfaas.cli.dev.snapshot import Tree, copy

_CODE: Final = "code"
_WORDS: Final = "words.json"
_OFFERED: Final = "offered"  # to the engine that it names
_REGISTERED: Final = "registered"
_RETIRING: Final = "retiring"
# Neither is a version: what is being copied, and what is being removed.
_COPYING: Final = ".copying"
_REMOVING: Final = ".removing-"
_VERSION_DIGITS: Final = 12


class InUse(Exception):
    """Another process works with the same folder."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version as it is kept. `words` say what runs in the folder `code`; `cause` is what changed
    before it was taken."""

    version: str
    code: Path
    words: tuple[str, ...]
    notes: tuple[str, ...] = ()
    cause: str = ""


class Shelf:
    """The snapshots of one program. Only one process at a time has it."""

    def __init__(self, base: Path, name: str, engine: str) -> None:
        """`engine` is the address of that which has the records. Raises InUse, OSError."""
        self._engine = engine
        top = base / ".steadfaas"
        top.mkdir(mode=0o700, exist_ok=True)  # code may hold secrets
        (top / ".gitignore").write_text("*\n", encoding="utf-8")
        self.folder = top / "dev" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder / "lock")

    def close(self) -> None:
        """Let another process have it."""
        self._lock.close()

    def take(self, tree: Tree, words: tuple[str, ...]) -> Snapshot:
        """The version that the tree holds now. Raises NotAtRest, OSError."""
        copying = self.folder / _COPYING
        try:
            copied = copy(tree, copying / _CODE, json.dumps(words))
            version = copied.digest[:_VERSION_DIGITS]
            if not self._place(version).exists():
                (copying / _WORDS).write_text(json.dumps(words), encoding="utf-8")
                copying.rename(self._place(version))
        finally:
            shutil.rmtree(copying, ignore_errors=True)
        return Snapshot(version, self._place(version) / _CODE, words, tuple(copied.notes))

    def find(self, version: str) -> Snapshot | None:
        """The snapshot of a version, if it is there."""
        place = self._place(version)
        try:
            words = json.loads((place / _WORDS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not (place / _CODE).is_dir():
            return None
        return Snapshot(version, place / _CODE, tuple(words))

    def offer(self, version: str) -> None:
        """The engine is about to be told of it."""
        (self._place(version) / _OFFERED).write_text(self._engine, encoding="utf-8")

    def keep(self, version: str) -> None:
        """There is a record of it: somebody may need it."""
        place = self._place(version)
        if place.exists():
            (place / _REGISTERED).touch()
            (place / _RETIRING).unlink(missing_ok=True)

    def retire(self, version: str) -> None:
        """Nobody needs it any more, and its record is about to go."""
        place = self._place(version)
        if place.exists():
            (place / _RETIRING).touch()

    def remove(self, version: str) -> None:
        """Remove a snapshot, at once for all who look for it."""
        place = self._place(version)
        if not place.exists():
            return
        going = self.folder / f"{_REMOVING}{version}"
        shutil.rmtree(going, ignore_errors=True)
        place.rename(going)
        shutil.rmtree(going, ignore_errors=True)

    def discard(self, version: str) -> None:
        """Remove a snapshot that no engine was told of; leave any other."""
        if not (self._place(version) / _OFFERED).exists():
            self.remove(version)

    def sweep(self, recorded: Iterable[str]) -> list[str]:
        """Remove what a killed process left, and nothing that a record may need.

        Returns the versions that are of no record here: another engine may have one.
        """
        known, strangers = set(recorded), []
        for place in list(self.folder.iterdir()):
            name = place.name
            if name == _COPYING or name.startswith(_REMOVING):
                shutil.rmtree(place, ignore_errors=True)
            elif name in known:
                self.keep(name)
            elif place.is_dir() and self._is_elsewhere(place):
                strangers.append(name)
            elif place.is_dir():
                self.remove(name)
        return sorted(strangers)

    def _is_elsewhere(self, place: Path) -> bool:
        """Whether another engine may have the record that this one does not have."""
        if (place / _RETIRING).exists() or not (place / _OFFERED).exists():
            return False
        offered_to = (place / _OFFERED).read_text(encoding="utf-8")
        return (place / _REGISTERED).exists() or offered_to != self._engine

    def _place(self, version: str) -> Path:
        return self.folder / version


def _locked(path: Path) -> TextIOWrapper:
    lock = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise InUse(holder) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
