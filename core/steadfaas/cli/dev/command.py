"""The command itself: it puts the parts together, and turns saves and time into work for them."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from steadfaas.cli import admin
from steadfaas.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from steadfaas.cli.dev.fleet import Fleet
    from steadfaas.cli.dev.launch import Launch
    from steadfaas.cli.dev.process import Process
    from steadfaas.cli.dev.shelf import Shelf, Snapshot
    from steadfaas.cli.dev.snapshot import Tree
    from steadfaas.cli.dev.telling import Teller
    from steadfaas.cli.dev.versions import Versions
    from steadfaas.cli.dev.watching import Watch

_LOOK_SECONDS: Final = 2.0


def dev(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE:APP|COMMAND",
            help="What serves the handlers: a Python ASGI application, or a command behind '--'"
            " that listens at the port in the variable PORT, or {port} in its arguments.",
        ),
    ],
    watch: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="A folder of the code, below the working directory. May be repeated."
            "  [default: the working directory]",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Names, or paths with '/', that are no code. May be repeated."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Tells programs in one folder apart.  [default: after the code]"
        ),
    ] = None,
    up: Annotated[
        bool, typer.Option("--up", help="Run an engine too, if none answers at the admin URL.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of text.")
    ] = False,
) -> None:
    """Run your code, and start a new version beside the old one on every save, until interrupted.

    What began on a version ends on it, from a copy of the code as it was: old versions run until
    nothing needs them any more. Run the command again, and what was left waiting goes on.

    Example: steadfaas dev greeter:app
    """
    # Loaded here: nothing else needs them.
    from steadfaas.cli.dev.ignoring import Ignored
    from steadfaas.cli.dev.launch import Launch
    from steadfaas.cli.dev.snapshot import Tree
    from steadfaas.cli.dev.telling import Teller

    admin.fall_back_on()  # a file may name what serves others
    base = Path.cwd().resolve()
    launch = Launch(base, tuple(words))
    launch.check()
    tree = Tree(base, _roots(base, watch or [base]), Ignored(tuple(ignore or ())))
    with contextlib.suppress(KeyboardInterrupt), _interruptible():
        _run(launch, tree, _named(name or launch.name), Teller(as_json=as_json), up=up)


def _roots(base: Path, folders: list[Path]) -> tuple[Path, ...]:
    roots = []
    for folder in folders:
        root = folder.resolve()
        if not root.is_dir():
            raise typer.BadParameter(f"{folder} is no folder", param_hint="--watch")
        if not root.is_relative_to(base):
            raise typer.BadParameter(
                f"{folder} is not below {base}: run the command in a folder that holds all code",
                param_hint="--watch",
            )
        roots.append(root)
    return tuple(roots)


def _named(name: str) -> str:
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise typer.BadParameter(
            f"'{name}' is not made of letters, digits, '.', '_' and '-'", param_hint="--name"
        )
    return name


def _run(launch: Launch, tree: Tree, name: str, teller: Teller, *, up: bool) -> None:
    from steadfaas.cli.dev import engine
    from steadfaas.cli.dev.fleet import Fleet
    from steadfaas.cli.dev.records import Records
    from steadfaas.cli.dev.versions import Versions
    from steadfaas.cli.dev.watching import Watch

    found = engine.answers(up=up)
    with closing(_shelf(tree.base, name)) as shelf, closing(Watch(tree)) as watch:
        own_engine: Process | None = None
        saved = watch.saved.is_set
        records = Records(name, str(tree.base))
        fleet = Fleet(shelf, records, launch, teller, saved)
        take = partial(_take, shelf, tree, launch, watch, teller)
        versions = Versions(shelf, records, fleet, teller, take, saved)
        try:
            own_engine = None if found else engine.start(tree.base, teller)
            watch.start()
            versions.sweep()
            _work(versions, watch, own_engine)
        finally:
            _end(versions, fleet, own_engine)


def _work(versions: Versions, watch: Watch, own_engine: Process | None) -> None:
    """Until interrupted."""
    versions.save()
    while True:
        versions.look()
        if own_engine is not None and own_engine.exit_code is not None:
            raise CommandError(
                f"The engine ended with exit code {own_engine.exit_code}.", ExitCode.REFUSED
            )
        if watch.saved.wait(_LOOK_SECONDS):
            watch.check()
            versions.save()


def _take(
    shelf: Shelf, tree: Tree, launch: Launch, watch: Watch, teller: Teller
) -> Snapshot | None:
    """A snapshot of what is there now; None, and told, if there is none to be had."""
    from steadfaas.cli.dev.snapshot import NotAtRest

    watch.saved.clear()
    try:
        return replace(shelf.take(tree, launch.words), cause=watch.cause)
    except (NotAtRest, OSError) as error:
        teller.event("failed", f"The code cannot be copied: {error}. Save again.")
        return None


def _end(versions: Versions, fleet: Fleet, own_engine: Process | None) -> None:
    # What is open at the engine may end while the versions are still there.
    try:
        if fleet.all:
            versions.tell_rest()
        if own_engine is not None:
            own_engine.end()
    finally:
        fleet.end()


def _shelf(base: Path, name: str) -> Shelf:
    from steadfaas.cli.dev.shelf import InUse, Shelf

    try:
        return Shelf(base, name, admin.address()[0])
    except InUse as error:
        raise CommandError(
            f"Another 'steadfaas dev' (process {error}) runs '{name}' in this folder. Stop it, or"
            " give this one another --name.",
            ExitCode.TRY_LATER,
        ) from error
    except OSError as error:
        raise CommandError(
            f"Cannot keep snapshots in {error.filename}: {error.strerror}.", ExitCode.REFUSED
        ) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does, also where a shell has switched that off."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
