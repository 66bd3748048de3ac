"""Snapshots: what belongs to one, how it is named, and trees that change while they are copied."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from steadfaas.cli.dev import snapshot
from steadfaas.cli.dev.ignoring import Ignored
from steadfaas.cli.dev.snapshot import Copied, NotAtRest, Tree, copy


def write(base: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text, encoding="utf-8")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    write(folder, {"app.py": "one", "lib/words.py": "two"})
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def tree(base: Path, *patterns: str, roots: tuple[str, ...] = (".",)) -> Tree:
    places = tuple((base / root).resolve() for root in roots)
    return Tree(base.resolve(), places, Ignored(patterns))


def files(place: Path) -> set[str]:
    """What was copied, without folders."""
    found = (path for path in place.rglob("*") if path.is_symlink() or path.is_file())
    return {path.relative_to(place).as_posix() for path in found}


def test_a_copy_has_what_the_tree_has(base: Path, place: Path) -> None:
    (base / "run.sh").write_text("#!/bin/sh")
    (base / "run.sh").chmod(0o755)
    (base / "empty").mkdir()
    assert copy(tree(base), place).notes == []
    assert files(place) == {"app.py", "lib/words.py", "run.sh"}
    assert (place / "empty").is_dir()
    assert (place / "app.py").read_text() == "one"
    assert os.access(place / "run.sh", os.X_OK)


def _add(base: Path) -> None:
    write(base, {"new.py": ""})


def _rename(base: Path) -> None:
    (base / "app.py").rename(base / "app2.py")


def _rewrite(base: Path) -> None:
    write(base, {"app.py": "ONE"})


def _move_contents(base: Path) -> None:
    write(base, {"app.py": "two", "lib/words.py": "one"})


def _make_executable(base: Path) -> None:
    (base / "app.py").chmod(0o755)


def _link(base: Path) -> None:
    (base / "app.py").unlink()
    (base / "app.py").symlink_to("lib/words.py")


def _add_folder(base: Path) -> None:
    (base / "uploads").mkdir()


@pytest.mark.parametrize(
    "change",
    [_add, _rename, _rewrite, _move_contents, _make_executable, _link, _add_folder],
)
def test_any_change_of_content_makes_another_digest(
    base: Path, place: Path, change: Callable[[Path], None]
) -> None:
    before = copy(tree(base), place).digest
    change(base)
    assert copy(tree(base), place).digest != before


def test_the_same_content_has_the_same_digest_wherever_and_whenever(
    base: Path, place: Path, tmp_path: Path
) -> None:
    before = copy(tree(base), place).digest
    os.utime(base / "app.py", (1, 1))
    write(base, {"__pycache__/app.pyc": "x", ".git/HEAD": "x", "app.py~": "x", "out.log": "x"})
    assert copy(tree(base), place).digest == before
    other = tmp_path / "other"
    shutil.copytree(base, other)
    assert copy(tree(other), place).digest == before


def test_what_runs_belongs_to_the_version(base: Path, place: Path) -> None:
    digests = {copy(tree(base), place, about).digest for about in ("", "a", "b")}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.csv", {"app.py", "lib/words.py", "data/b.txt"}),
        ("data", {"app.py", "lib/words.py", "a.csv"}),
        ("data/", {"app.py", "lib/words.py", "a.csv"}),
        ("./data/*.csv", {"app.py", "lib/words.py", "a.csv", "data/b.txt"}),
        ("lib/words.py", {"app.py", "a.csv", "data/b.csv", "data/b.txt"}),
    ],
)
def test_patterns(base: Path, place: Path, pattern: str, left: set[str]) -> None:
    write(base, {"a.csv": "", "data/b.csv": "", "data/b.txt": ""})
    copy(tree(base, pattern), place)
    assert files(place) == left


def test_environments_and_data_of_engines_are_no_code(base: Path, place: Path) -> None:
    write(base, {"env311/pyvenv.cfg": "", "env311/bin/x": "", "data/steadfaas.db": ""})
    write(base, {"steadfaas-data/x": "", ".steadfaas/dev/app/x": "", ".venv/x": ""})
    copy(tree(base), place)
    assert files(place) == {"app.py", "lib/words.py"}


def test_only_what_is_watched_is_copied_where_it_was(base: Path, place: Path) -> None:
    write(base, {"src/deep/a.py": "", "other/b.py": ""})
    copy(tree(base, roots=("src/deep", "lib")), place)
    assert files(place) == {"src/deep/a.py", "lib/words.py"}


def test_installed_packages_of_node_are_shared(base: Path, place: Path) -> None:
    write(base, {"node_modules/sdk/index.js": "1", "lib/node_modules/x/i.js": "1"})
    before = copy(tree(base), place).digest
    for shared in ("node_modules", "lib/node_modules"):
        assert (place / shared).is_symlink()
        assert (place / shared).resolve() == (base / shared).resolve()
    write(base, {"node_modules/sdk/index.js": "2"})
    assert copy(tree(base), place).digest == before
    ignored = tree(base).ignored
    assert ignored.change("node_modules/sdk/index.js")
    assert not ignored.change("lib/words.py")


def test_packages_beside_a_watched_folder_are_found(base: Path, place: Path) -> None:
    write(base, {"node_modules/sdk/index.js": "1"})
    copy(tree(base, roots=("lib",)), place)
    assert (place / "node_modules/sdk/index.js").read_text() == "1"


def test_links(base: Path, place: Path, tmp_path: Path) -> None:
    write(tmp_path, {"outside/far.py": "far", "base/.venv/hidden.py": "hidden"})
    (base / "inside").symlink_to("lib")
    (base / "absolute").symlink_to((base / "app.py").resolve())
    (base / "lib" / "up").symlink_to("../app.py")
    (base / "outside").symlink_to("../outside")
    (base / "ignored").symlink_to(".venv/hidden.py")
    (base / "dangling").symlink_to("nowhere")
    (base / "loop").symlink_to("loop")
    copy(tree(base), place)
    for name in ("inside", "absolute", "lib/up"):
        assert (place / name).resolve().is_relative_to(place.resolve()), name
    assert (place / "inside/words.py").read_text() == "two"
    assert (place / "outside/far.py").read_text() == "far"
    assert (place / "ignored").read_text() == "hidden"
    assert os.readlink(place / "dangling") == "nowhere"
    assert os.readlink(place / "loop") == "loop"


def test_what_is_neither_file_nor_folder_nor_link_is_left_out(base: Path, place: Path) -> None:
    os.mkfifo(base / "pipe")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(base / "s"))
        copy(tree(base), place)
    assert files(place) == {"app.py", "lib/words.py"}


def test_large_files_are_linked_and_known_by_their_time(
    base: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "LARGE_BYTES", 10)
    write(base, {"model.bin": "x" * 11})
    copied = copy(tree(base), place)
    [note] = copied.notes
    assert note.startswith("model.bin (0 MB) is linked, not copied")
    assert (place / "model.bin").samefile(base / "model.bin")
    os.utime(base / "model.bin", ns=(1, 1))
    assert copy(tree(base), place).digest != copied.digest


def test_very_many_files_are_told(base: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MANY_FILES", 2)
    [note] = copy(tree(base), place).notes
    assert note.endswith("name its folders with --watch")
    assert copy(tree(base, roots=("lib",)), place).notes == []


def _meddle(
    monkeypatch: pytest.MonkeyPatch, meddle: Callable[[Path, int], None]
) -> Callable[[], int]:
    """Do something just before a file is copied; `meddle` gets it, and which copy it is."""
    count = 0
    original = snapshot._copy_file

    def copy_file(source: Path, copy_of: Path, mode: int) -> bytes:
        nonlocal count
        count += 1
        meddle(source, count)
        return original(source, copy_of, mode)

    monkeypatch.setattr(snapshot, "_copy_file", copy_file)
    monkeypatch.setattr(snapshot, "_REST_SECONDS", 0.0)
    return lambda: count


def _copied(base: Path, place: Path) -> Copied:
    return copy(tree(base), place)


def test_a_file_that_vanishes_while_others_are_copied(
    base: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(source: Path, count: int) -> None:
        if count == 2:
            source.unlink()

    _meddle(monkeypatch, meddle)
    digest = _copied(base, place).digest
    assert files(place) == {"app.py"}
    assert digest == _copied(base, place).digest


def test_a_file_that_becomes_a_folder(
    base: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(source: Path, count: int) -> None:
        if count == 1:
            source.unlink()
            source.mkdir()

    _meddle(monkeypatch, meddle)
    _copied(base, place)
    assert (place / "app.py").is_dir()


def test_a_save_in_the_middle_is_copied_whole(
    base: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both files change after the first one was copied: never the old one with the new one."""

    def meddle(source: Path, count: int) -> None:
        if count == 2:
            write(base, {"app.py": "uno!", "lib/words.py": "dos!"})

    _meddle(monkeypatch, meddle)
    assert _copied(base, place).notes == []
    assert [(place / name).read_text() for name in ("app.py", "lib/words.py")] == ["uno!", "dos!"]


def test_a_tree_that_never_rests_is_copied_and_told(
    base: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = _meddle(monkeypatch, lambda _, count: write(base, {"noise.txt": "x" * count}))
    [note] = _copied(base, place).notes
    assert note.startswith("noise.txt changes all the time")
    assert count() > 2


def test_what_cannot_be_read_is_left_out_and_told(
    base: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(source: Path, count: int) -> None:
        if source.name == "app.py":
            raise PermissionError  # root may read everything, so the system would not say it here

    _meddle(monkeypatch, meddle)
    assert _copied(base, place).notes == ["app.py cannot be read and is left out"]
    assert files(place) == {"lib/words.py"}


def test_files_that_come_and_go_are_an_error(
    base: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(source: Path, count: int) -> None:
        source.rename(base / f"app{count}.py")

    _meddle(monkeypatch, meddle)
    with pytest.raises(NotAtRest, match="comes and goes"):
        _copied(base, place)
