"""A kill between any two steps loses nothing: one story, ended at each of them and gone on with.

The engine is a table in memory that outlives the kill, as the folder of snapshots does. There are
no processes here: that they die with the command is shown in `test_process`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steadfaas.cli.dev import fleet as fleet_module
from steadfaas.cli.dev.fleet import Fleet
from steadfaas.cli.dev.ignoring import Ignored
from steadfaas.cli.dev.launch import Launch
from steadfaas.cli.dev.records import Record, Seen
from steadfaas.cli.dev.shelf import Shelf
from steadfaas.cli.dev.snapshot import Tree
from steadfaas.cli.dev.telling import Teller
from steadfaas.cli.dev.versions import Versions
from steadfaas.cli.exits import CommandError, ExitCode

WORDS = ("app:app",)


class Killed(BaseException):
    """The command is no more."""


class Fuse:
    """Kills at one of the steps, `before` it happens or just after."""

    def __init__(self) -> None:
        self.left = -1  # never
        self.before = True
        self.steps = 0

    def wrap(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*given: Any, **named: Any) -> Any:
            self.steps += 1
            self.left -= 1
            if self.left == 0 and self.before:
                raise Killed
            result = step(*given, **named)
            if self.left == 0:
                raise Killed
            return result

        return stepped


class Engine:
    """What an engine keeps: deployments, and how many invocations need each.

    Whenever it is about to say of a version that somebody may need it, or that nobody does, the
    snapshot has to be safe: the answer may also be no.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: dict[str, Record] = {}

    def safe(self, version: str) -> bool:
        place = self.folder / version
        return (place / "code/app.py").exists() and (place / "offered").exists()

    def look(self) -> Seen:
        return Seen(dict(self.records), frozenset(each.port for each in self.records.values()))

    def register(self, version: str, port: int, *, force: bool = False) -> dict[str, Any]:
        assert version not in self.records
        assert self.safe(version)
        self.records[version] = Record(f"dp_{version}", version, port, ("Greeter",))
        return self._newest(version)

    def promote(self, record: Record, port: int) -> dict[str, Any]:
        return self._newest(record.version)

    def move(self, record: Record, port: int) -> None:
        self.records[record.version] = replace(self.records[record.version], port=port)

    def remove(self, record: Record) -> None:
        if record.version not in self.records:
            raise CommandError("gone", ExitCode.REFUSED, status=404)
        assert self.safe(record.version)
        if not self.records[record.version].drained:
            raise CommandError("needed", ExitCode.REFUSED, status=409)
        del self.records[record.version]

    def wake(self, record: Record) -> None:
        pass

    def needs(self, version: str, unfinished: int) -> None:
        self.records[version] = replace(self.records[version], unfinished=unfinished)

    def _newest(self, version: str) -> dict[str, Any]:
        for each in self.records.values():
            active = ("Greeter",) if each.version == version else ()
            self.records[each.version] = replace(each, active=active)
        return {"id": f"dp_{version}", "services": [{"name": "Greeter"}]}


class NoProcess:
    """Runs until it is ended."""

    def __init__(self, *_: object, **__: object) -> None:
        self.exit_code: int | None = None

    def wait_ready(self, *_: object) -> bool:
        return True

    def ask_to_end(self) -> None:
        self.exit_code = 0

    end = ask_to_end


class World:
    """A program, and all that outlives the command."""

    def __init__(self, base: Path, fuse: Fuse) -> None:
        self.base = base
        self.fuse = fuse
        self.engine = Engine(base / ".steadfaas/dev/app")
        self.versions: dict[str, str] = {}
        self.text = ""

    def start(self) -> None:
        """The command begins."""
        self.shelf = Shelf(self.base, "app", "http://here")
        tree = Tree(self.base, (self.base,), Ignored())
        teller = Teller(write=lambda _: None)
        for name in ("offer", "keep", "retire", "remove", "discard"):
            setattr(self.shelf, name, self.fuse.wrap(getattr(self.shelf, name)))
        records: Any = Engine(self.engine.folder)
        records.records = self.engine.records
        for name in ("look", "register", "promote", "move", "remove", "wake"):
            setattr(records, name, self.fuse.wrap(getattr(records, name)))
        self.fleet = Fleet(self.shelf, records, Launch(self.base, WORDS), teller, lambda: False)
        self.command = Versions(
            self.shelf,
            records,
            self.fleet,
            teller,
            lambda: self.shelf.take(tree, WORDS),
            lambda: False,
        )
        self.command.sweep()
        self.command.save()
        self.command.look()

    def die(self) -> None:
        """All that does not outlive the command."""
        self.shelf.close()

    def step(self, act: Callable[[], None]) -> None:
        """Something is done, and the command looks; it may be killed, and is started again."""
        act()
        try:
            self.command.save()
            self.command.look()
        except Killed:
            self.again()
        self.check()

    def again(self) -> None:
        self.die()
        try:
            self.start()
        except Killed:
            self.again()

    def save(self, text: str) -> Callable[[], None]:
        def act() -> None:
            self.text = text
            (self.base / "app.py").write_text(text)

        return act

    def serving(self) -> str:
        """The version that takes new requests."""
        [version] = [each.version for each in self.engine.records.values() if each.active]
        return version

    def check(self) -> None:
        """What must hold whenever the command has looked."""
        found = self.shelf.find(self.serving())
        assert found is not None
        assert (found.code / "app.py").read_text() == self.text
        for record in self.engine.records.values():
            running = self.fleet.alive(record.version)
            assert running is not None, f"{record} is needed or new, and does not run"
            assert running.port == record.port
            assert self.engine.safe(record.version)
            assert not (self.engine.folder / record.version / "retiring").exists()
        kept = {path.name for path in self.shelf.folder.iterdir() if path.is_dir()}
        assert kept == set(self.engine.records)


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuse]:
    fuse = Fuse()
    monkeypatch.setattr(fleet_module, "Process", fuse.wrap(NoProcess))
    # Inside of taking and removing snapshots.
    monkeypatch.setattr(Path, "rename", fuse.wrap(Path.rename))
    monkeypatch.setattr(shutil, "rmtree", fuse.wrap(shutil.rmtree))
    monkeypatch.setattr(Path, "touch", fuse.wrap(Path.touch))
    yield fuse
    fuse.left = -1


def story(world: World) -> None:
    """Two versions, the first one needed for a while; back to it, and to what nobody needed."""
    world.save("one")()
    try:
        world.start()
    except Killed:
        world.again()
    world.check()
    one = world.serving()
    world.engine.needs(one, 2)
    world.step(world.save("two"))
    two = world.serving()
    assert set(world.engine.records) == {one, two}
    world.step(world.save("one"))
    assert world.serving() == one
    assert set(world.engine.records) == {one}
    world.step(world.save("three"))
    three = world.serving()
    world.step(lambda: world.engine.needs(one, 0))
    assert set(world.engine.records) == {three}
    world.step(world.save("one"))
    assert world.serving() == one
    world.die()


def changed_meanwhile(world: World) -> None:
    """The second version takes the place of the first; whoever is killed then finds the first."""
    world.save("one")()
    with contextlib.suppress(Killed):
        world.start()
        world.save("two")()
        world.command.save()
        world.command.look()
    world.save("one")()
    world.again()
    world.check()
    world.die()


@pytest.mark.parametrize("told", [story, changed_meanwhile])
def test_a_kill_at_any_step(told: Callable[[World], None], tmp_path: Path, fuse: Fuse) -> None:
    def tell(place: str) -> None:
        base = (tmp_path / place).resolve()
        base.mkdir()
        told(World(base, fuse))

    tell("whole")
    steps = fuse.steps
    assert steps > 30
    for before in (True, False):
        for number in range(1, steps + 1):
            fuse.left, fuse.before = number, before
            tell(f"{number}-{before}")
            assert fuse.left <= 0, "it was killed"
