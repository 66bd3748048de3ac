"""The processes of all versions: beginning, restoring and ending them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from steadfaas.cli.dev import saying
from steadfaas.cli.dev.launch import Launch
from steadfaas.cli.dev.pauses import Pauses
from steadfaas.cli.dev.ports import free_port, is_free
from steadfaas.cli.dev.process import Process
from steadfaas.cli.dev.records import Record, Records
from steadfaas.cli.dev.shelf import Shelf, Snapshot
from steadfaas.cli.dev.telling import Teller
from steadfaas.cli.exits import CommandError

# What a first start may have to build.
_READY_SECONDS: Final = 60.0
_GRACE_SECONDS: Final = 5.0


class Running:
    """A version with its process."""

    def __init__(self, version: str, port: int, process: Process) -> None:
        self.version = version
        self.port = port
        self.process = process

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.exit_code is None

    def until_ready(self, give_up: Callable[[], bool]) -> bool:
        """Wait until it answers; False if it does not."""
        return self.process.wait_ready(self.port, _READY_SECONDS, give_up)


class Fleet:
    """Has at most one process for a version. `hurry` says that something else is more urgent than
    waiting for an old version."""

    def __init__(
        self,
        shelf: Shelf,
        records: Records,
        launch: Launch,
        teller: Teller,
        hurry: Callable[[], bool],
    ) -> None:
        self._shelf = shelf
        self._records = records
        self._launch = launch
        self._teller = teller
        self._hurry = hurry
        self._pauses = Pauses()
        self._running: dict[str, Running] = {}

    @property
    def all(self) -> list[Running]:
        """Those that were started and not stopped, in that order."""
        return list(self._running.values())

    def alive(self, version: str) -> Running | None:
        """The version's process, if it has one."""
        running = self._running.get(version)
        return running if running is not None and running.alive else None

    def start(
        self, snapshot: Snapshot, taken: frozenset[int], port: int | None = None
    ) -> Running | None:
        """Begin, at `port` or at one that is not `taken`. None, and told, if that is impossible."""
        version = snapshot.version
        launch = Launch(self._launch.base, snapshot.words)
        try:
            place = self._free_port(taken) if port is None else port
            process = Process(
                launch.command(place),
                snapshot.code,
                launch.environment(place, snapshot.code),
                lambda line: self._teller.output(version, line),
                grace=_GRACE_SECONDS,
            )
        except OSError as error:
            self._teller.event("failed", f"cannot be started: {error}", version)
            return None
        self._running[version] = running = Running(version, place, process)
        cause = f" ({snapshot.cause})" if snapshot.cause else ""
        self._teller.event("started", f"started on :{place}{cause}", version, port=place)
        return running

    def restore(self, record: Record, taken: frozenset[int]) -> Running | None:
        """The version's process; a new one, where its deployment expects it, if there is none.

        None, and told, if it cannot be had now. Raises CommandError.
        """
        if running := self.alive(record.version):
            return running
        self._tell_end(record.version)
        snapshot = self._shelf.find(record.version)
        if snapshot is None:
            self._tell_missing(record)
            return None
        if not self._pauses.over(record.version):
            return None
        port = record.port if is_free(record.port) else None
        started = self.start(snapshot, taken, port)
        if started is None:
            return None
        if not started.until_ready(self._hurry):
            if not self._hurry():
                self.tell_failure(started)
            self.stop(record.version)
            return None
        self._connect(record, started)
        return started

    def stop(self, version: str) -> None:
        """End a version's process, if it has one."""
        if running := self._running.pop(version, None):
            running.process.end()

    def is_well(self, version: str) -> None:
        """Its next start, if there has to be one, may be at once."""
        self._pauses.forget(version)

    def end(self) -> None:
        """End all of them."""
        for running in self.all:
            running.process.ask_to_end()
        for version in list(self._running):
            self.stop(version)

    def tell_failure(self, running: Running, rest: str = "") -> None:
        """Say why a version that was waited for is not there."""
        last_lines = running.process.last_lines  # all are out before this is said
        code = running.process.exit_code
        if code is None:
            why = saying.silent(running.port, _READY_SECONDS)
        else:
            why = f"it ended with exit code {code}"
        text = f"did not start: {why}{rest}"
        self._teller.event("failed", text, running.version, exit_code=code, output=last_lines)

    def _connect(self, record: Record, started: Running) -> None:
        """Let its deployment lead there, and wake what has waited for it."""
        try:
            if started.port != record.port:
                self._records.move(record, started.port)
                text = f"moved from :{record.port} to :{started.port}"
                self._teller.event("moved", text, record.version, id=record.id)
            if record.unfinished:
                self._records.wake(record)
        except CommandError:
            self.stop(record.version)  # so that the next look does all of it again
            raise
        self.is_well(record.version)

    def _free_port(self, taken: frozenset[int]) -> int:
        return free_port(taken | {running.port for running in self.all})

    def _tell_end(self, version: str) -> None:
        if ended := self._running.pop(version, None):
            code = ended.process.exit_code
            self._teller.event("ended", f"ended with exit code {code}", version)

    def _tell_missing(self, record: Record) -> None:
        self._teller.once(
            f"missing {record.version}",
            "missing",
            saying.missing(record),
            record.version,
            id=record.id,
            unfinished=record.unfinished,
        )
