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
        self.shelf = Shelf(base, "app", "http://here")

    def save(self, text: str) -> str:
        """The version of the program with this text."""
        (self.base / "app.py").write_text(text)
        return self.shelf.take(self.tree, WORDS).version

    @property
    def kept(self) -> set[str]:
        return {path.name for path in self.shelf.folder.iterdir() if path.is_dir()}

    def register(self, version: str) -> None:
        """An engine has a record of it."""
        self.shelf.offer(version)
        self.shelf.keep(version)

    def again(self) -> Shelf:
        """The shelf of the next process."""
        self.shelf.close()
        self.shelf = Shelf(self.base, "app", "http://here")
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
        Shelf(desk.base, "app", "http://there")
    Shelf(desk.base, "other", "http://here").close()
    desk.again()


def test_sweeping_keeps_what_somebody_may_need(desk: Desk) -> None:
    # Where a kill may fall: those in the first line have no record, those in the second have one.
    gone = ("taken", "offered", "retired")
    recorded = ("arrived", "registered", "retiring")
    versions = {name: desk.save(name) for name in (*gone, *recorded, "stranger")}
    for name in ("offered", "arrived"):
        desk.shelf.offer(versions[name])
    for name in ("registered", "retired", "retiring", "stranger"):
        desk.register(versions[name])
    for name in ("retired", "retiring"):
        desk.shelf.retire(versions[name])
    strangers = desk.again().sweep(versions[name] for name in recorded)
    assert strangers == [versions["stranger"]]
    assert desk.kept == {versions[name] for name in (*recorded, "stranger")}
    assert desk.again().sweep([]) == sorted(desk.kept), "it is known that somebody has them"


def test_what_another_engine_was_told_of_is_kept(desk: Desk) -> None:
    version = desk.save("one")
    desk.shelf.offer(version)
    desk.shelf.close()
    desk.shelf = Shelf(desk.base, "app", "http://there")
    assert desk.shelf.sweep([]) == [version]


def test_what_is_needed_again_is_not_swept_later(desk: Desk) -> None:
    version = desk.save("one")
    desk.register(version)
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
    desk.shelf.offer(kept)
    for version in (kept, gone, "0" * 12):
        desk.shelf.discard(version)
    assert desk.kept == {kept}


def test_removing_twice(desk: Desk) -> None:
    version = desk.save("one")
    desk.register(version)
    desk.shelf.remove(version)
    desk.shelf.remove(version)
    desk.shelf.retire(version)
    assert desk.kept == set()
