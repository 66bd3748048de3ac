"""The folder of snapshots: identity, marks, and what a kill leaves there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from steadfaas.cli.dev.ignoring import Ignored
from steadfaas.cli.dev.shelf import InUse, Shelf
from steadfaas.cli.dev.snapshot import Tree

WORDS = ("app:app",)


class Desk:
    """A folder with a program, and its shelf."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.tree = Tree(base, (base,), Ignored())
        self.shelf = Shelf(base, "app")

    def save(self, text: str) -> str:
        """The version of the program with this text."""
        (self.base / "app.py").write_text(text)
        return self.shelf.take(self.tree, WORDS).version

    @property
    def kept(self) -> set[str]:
        return {path.name for path in self.shelf.folder.iterdir() if path.is_dir()}

    def again(self) -> Shelf:
        """The shelf of the next process."""
        self.shelf.close()
        self.shelf = Shelf(self.base, "app")
        return self.shelf


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path.resolve())


def test_a_version_is_its_content(desk: Desk) -> None:
    first = desk.save("one")
    second = desk.save("two")
    assert desk.save("one") == first != second
    assert desk.kept == {first, second}
    found = desk.shelf.find(first)
    assert found is not None
    assert found.words == WORDS
    assert (found.code / "app.py").read_text() == "one"
    assert not (found.code / ".steadfaas").exists()


def test_a_snapshot_stays_as_it_was_taken(desk: Desk) -> None:
    """What runs may write there; the same content later is still that version."""
    first = desk.save("one")
    found = desk.shelf.find(first)
    assert found is not None
    (found.code / "written.txt").write_text("by the program")
    assert desk.save("one") == first
    assert (found.code / "written.txt").exists()


def test_it_is_not_for_git_nor_for_others(desk: Desk) -> None:
    top = desk.base / ".steadfaas"
    assert (top / ".gitignore").read_text() == "*\n"
    assert top.stat().st_mode & 0o077 == 0


def test_only_one_process_has_it(desk: Desk) -> None:
    with pytest.raises(InUse, match=r"^\d+$"):
        Shelf(desk.base, "app")
    Shelf(desk.base, "other").close()
    desk.again()


def test_sweeping_keeps_what_somebody_may_need(desk: Desk) -> None:
    names = ("unregistered", "recorded", "stranger", "retired", "retiring")
    versions = {name: desk.save(name) for name in names}
    for name in names[1:]:
        desk.shelf.keep(versions[name])
    for name in ("retired", "retiring"):
        desk.shelf.retire(versions[name])
    # Killed between the mark and the record's end: `retiring` still has its record.
    strangers = desk.again().sweep([versions["recorded"], versions["retiring"]])
    assert strangers == [versions["stranger"]]
    assert desk.kept == {versions[name] for name in ("recorded", "retiring", "stranger")}


def test_what_is_needed_again_is_not_swept_later(desk: Desk) -> None:
    version = desk.save("one")
    desk.shelf.keep(version)
    desk.shelf.retire(version)
    desk.shelf.keep(version)
    assert desk.again().sweep([]) == [version]


def test_what_a_kill_left_half_done_is_swept(desk: Desk) -> None:
    version = desk.save("one")
    shutil.copytree(desk.shelf.folder / version, desk.shelf.folder / ".copying")
    (desk.shelf.folder / version).rename(desk.shelf.folder / f".removing-{version}")
    assert desk.shelf.find(version) is None
    assert desk.again().sweep([version]) == []
    assert desk.kept == set()


def test_discarding_spares_what_was_registered(desk: Desk) -> None:
    kept, gone = desk.save("one"), desk.save("two")
    desk.shelf.keep(kept)
    for version in (kept, gone, "0" * 12):
        desk.shelf.discard(version)
    assert desk.kept == {kept}


def test_removing_twice(desk: Desk) -> None:
    version = desk.save("one")
    desk.shelf.keep(version)
    desk.shelf.remove(version)
    desk.shelf.remove(version)
    desk.shelf.retire(version)
    assert desk.kept == set()
