"""Copies of a tree that is being worked on, and the hash of what was copied.

A file is read once: what is hashed is what is written. A tree may change while it is copied, so it
is looked at before and after, and copied again if it was not at rest.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from steadfaas.cli.dev.ignoring import SHARED, Ignored

# Larger files are not read: they are linked, and known by size and time of change.
LARGE_BYTES: Final = 32 * 1024 * 1024
# Above this, somebody probably did not mean the whole folder.
MANY_FILES: Final = 5_000
_TRIES: Final = 5
_REST_SECONDS: Final = 0.05
_MEGABYTE: Final = 1024 * 1024


class NotAtRest(Exception):
    """The tree changes faster than it can be copied."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What is watched: folders below `base`, without what is ignored."""

    base: Path
    roots: tuple[Path, ...]
    ignored: Ignored

    def relative(self, path: Path) -> str:
        """A path below the base, with slashes; `.` is the base itself."""
        return path.relative_to(self.base).as_posix()


@dataclass(frozen=True, slots=True)
class _Entry:
    """Something in the tree as it was when it was looked at."""

    kind: str  # folder, file, link or shared
    size: int = 0
    changed: int = 0  # nanoseconds
    mode: int = 0
    target: str = ""


@dataclass(slots=True)
class Copied:
    """The digest of a copy, and what a user should know about it."""

    digest: str
    notes: list[str] = field(default_factory=list)


def copy(tree: Tree, place: Path, about: str = "") -> Copied:
    """Copy the tree to `place`, which is made (anew). `about` is hashed too.

    Raises NotAtRest, OSError.
    """
    complete: Copied | None = None
    restless = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_REST_SECONDS * attempt)
        before = scan(tree)
        try:
            _clear(place)
            copied = _copy(tree, before, place, about)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            complete, restless = None, str(error.filename or "")
            continue
        after = scan(tree)
        if after == before:
            return copied
        complete, restless = copied, _first_difference(before, after)
    if complete is None:
        raise NotAtRest(f"{restless or 'something'} comes and goes while it is copied")
    complete.notes.append(
        f"{restless} changes all the time; leave it out with --ignore if it is no code"
    )
    return complete


def scan(tree: Tree) -> dict[str, _Entry]:
    """Everything that belongs to a version, by its path relative to the base."""
    found: dict[str, _Entry] = {}
    for root in tree.roots:
        found.update(_above(tree, root))
        found.update(_walk(tree, root))
    if (tree.base / SHARED).is_dir():
        found[SHARED] = _Entry("shared")
    return dict(sorted(found.items()))


def _above(tree: Tree, root: Path) -> Iterator[tuple[str, _Entry]]:
    """The folders that lead from the base to a root."""
    for folder in (root, *root.parents):
        if folder == tree.base:
            return
        yield tree.relative(folder), _Entry("folder")


def _walk(tree: Tree, folder: Path) -> Iterator[tuple[str, _Entry]]:
    try:
        inside = list(os.scandir(folder))
    except OSError:
        return  # it went away, or is not ours to read
    for each in inside:
        path = Path(each.path)
        name = tree.relative(path)
        if tree.ignored(name):
            continue
        try:
            entry = _entry(tree, each, path)
        except OSError:
            continue
        if entry is None:
            continue
        yield name, entry
        if entry.kind == "folder":
            yield from _walk(tree, path)


def _entry(tree: Tree, each: os.DirEntry[str], path: Path) -> _Entry | None:
    if each.name == SHARED and each.is_dir():
        return _Entry("shared")
    if each.is_symlink():
        return _Entry("link", target=_target(tree, path))
    if each.is_dir(follow_symlinks=False):
        return None if tree.ignored.folder(path) else _Entry("folder")
    found = each.stat(follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        return None  # a socket, or a pipe
    return _Entry("file", found.st_size, found.st_mtime_ns, stat.S_IMODE(found.st_mode))


def _target(tree: Tree, link: Path) -> str:
    """Where the copy of a link leads: into the copy, or to the same place outside of it."""
    leads_to = Path(os.path.normpath(link.parent / os.readlink(link)))
    inside = any(leads_to.is_relative_to(root) for root in tree.roots)
    if inside and not tree.ignored(tree.relative(leads_to)):
        return os.path.relpath(leads_to, link.parent)
    return str(leads_to)


def _copy(tree: Tree, entries: dict[str, _Entry], place: Path, about: str) -> Copied:
    hashed = hashlib.sha256(about.encode())
    notes = []
    if len(entries) > MANY_FILES:
        notes.append("the code has very many files: name its folders with --watch")
    for name, entry in entries.items():
        source, copy_of = tree.base / name, place / name
        # Lengths keep two names from being taken for one.
        hashed.update(f"\n{entry.kind} {len(name)} {name} {len(entry.target)} ".encode())
        match entry.kind:
            case "folder":
                copy_of.mkdir(exist_ok=True)
            case "link":
                hashed.update(entry.target.encode())
                copy_of.symlink_to(entry.target)
            case "shared":
                copy_of.symlink_to(source)
            case _ if entry.size > LARGE_BYTES:
                hashed.update(f"{entry.size} {entry.changed}".encode())
                notes.append(_link(source, copy_of, name, entry.size))
            case _:
                try:
                    hashed.update(_copy_file(source, copy_of, entry.mode))
                except PermissionError:
                    notes.append(f"{name} cannot be read and is left out")
    return Copied(hashed.hexdigest(), notes)


def _copy_file(source: Path, copy_of: Path, mode: int) -> bytes:
    """Copy a file; the digest of its contents and of whether it can be run."""
    content = source.read_bytes()
    copy_of.write_bytes(content)
    copy_of.chmod(mode | stat.S_IRUSR)
    runs = b"x" if mode & stat.S_IXUSR else b"-"
    return runs + hashlib.sha256(content).digest()


def _link(source: Path, copy_of: Path, name: str, size: int) -> str:
    megabytes = f"{name} ({size // _MEGABYTE} MB)"
    try:
        os.link(source, copy_of)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, copy_of)
        return f"{megabytes} is copied for every version"
    return f"{megabytes} is linked, not copied: replace it, do not change it in place"


def _clear(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)


def _first_difference(before: dict[str, _Entry], after: dict[str, _Entry]) -> str:
    names = before.keys() | after.keys()
    return min(name for name in names if before.get(name) != after.get(name))
