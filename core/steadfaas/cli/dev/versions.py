"""Which versions there are, which of them takes new requests, and which may go.

All of it is worked out anew from what the engine says: nothing here has to survive a kill.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steadfaas.cli import render
from steadfaas.cli.dev.ports import free_port, is_free
from steadfaas.cli.dev.records import Record, Records, Seen
from steadfaas.cli.dev.running import Running, Starts
from steadfaas.cli.dev.shelf import Shelf, Snapshot
from steadfaas.cli.dev.telling import SHORT, Teller
from steadfaas.cli.exits import CommandError, ExitCode


class Versions:
    """The versions of one program. `take` makes a snapshot of what is there now, if it can;
    `saved_again` says whether that would be another one than before."""

    def __init__(
        self,
        shelf: Shelf,
        records: Records,
        starts: Starts,
        teller: Teller,
        take: Callable[[], Snapshot | None],
        saved_again: Callable[[], bool],
    ) -> None:
        self._shelf = shelf
        self._records = records
        self._starts = starts
        self._teller = teller
        self._take = take
        self._saved_again = saved_again
        self._running: dict[str, Running] = {}
        self._serving: Snapshot | None = None
        # What is to serve as soon as the engine can be asked.
        self._pending: Snapshot | None = None
        self._told: dict[str, str] = {}
        self._engine_is_away = False

    # --- saves ---------------------------------------------------------------------------------

    def save(self) -> None:
        """Let what is there now take new requests. A further save meanwhile goes before it."""
        self._settle(self._take())

    def _settle(self, snapshot: Snapshot | None) -> None:
        while snapshot is not None:
            if self._pending is None and self._is_serving(snapshot):
                return
            snapshot = self._serve(snapshot)

    def _is_serving(self, snapshot: Snapshot) -> bool:
        return self._serving is not None and self._serving.version == snapshot.version

    def _serve(self, snapshot: Snapshot) -> Snapshot | None:
        """Let a snapshot serve; the one that was saved meanwhile, if there is one."""
        for note in snapshot.notes:
            self._tell_once(note, "note", note, snapshot.version)
        self._pending = snapshot
        try:
            seen = self._records.look()
            record = seen.records.get(snapshot.version)
            if record is None:
                return self._start_new(snapshot, seen)
            self._serve_again(record, seen)
        except CommandError as error:
            self._not_registered(snapshot, error)
        return None

    def _start_new(self, snapshot: Snapshot, seen: Seen) -> Snapshot | None:
        newer: list[Snapshot] = []

        def superseded() -> bool:
            other = self._take() if self._saved_again() else None
            if other is not None and other.version != snapshot.version:
                newer.append(other)
            return bool(newer)

        running = self._alive(snapshot.version) or self._begin(snapshot, seen)
        if running is None:
            return None
        if not self._starts.until_ready(running, superseded):
            self._pending = None
            if newer:
                self._teller.event("superseded", "gives way to a newer save", snapshot.version)
                running.process.mute()  # it is ended in the middle of something
            else:
                self._tell_failure(running)
            self._stop(running)
            self._shelf.discard(snapshot.version)
            return newer[0] if newer else None
        self._shelf.keep(snapshot.version)
        try:
            deployment = self._records.register(snapshot.version, running.port)
        except CommandError as error:
            if error.exit_code is not ExitCode.TRY_LATER:  # for good: there is no record
                self._stop(running)
                self._shelf.remove(snapshot.version)
            raise
        self._now_serving(snapshot, deployment)
        return None

    def _begin(self, snapshot: Snapshot, seen: Seen) -> Running | None:
        taken = seen.ports | {each.port for each in self._running.values()}
        try:
            running = self._starts.start(snapshot, free_port(taken))
        except OSError as error:
            self._pending = None
            self._teller.event("failed", f"cannot be started: {error}", snapshot.version)
            return None
        self._running[snapshot.version] = running
        return running

    def _serve_again(self, record: Record, seen: Seen) -> None:
        """What is there now was there before: its version takes new requests again."""
        self._shelf.keep(record.version)
        running = self._restored(record, seen)
        snapshot = self._shelf.find(record.version)
        if running is None or snapshot is None:
            self._pending = None
            return
        if record.newest:
            names = ", ".join(record.services)
            self._serves(snapshot)
            self._teller.event("serving", f"goes on serving {names}", record.version, id=record.id)
        else:
            answer = self._records.promote(record, running.port)
            self._now_serving(snapshot, {**answer, "id": record.id}, again=True)

    def _now_serving(
        self, snapshot: Snapshot, deployment: dict[str, Any], *, again: bool = False
    ) -> None:
        self._serves(snapshot)
        services = deployment.get("services") or []
        text = f"now serving {', '.join(map(_described, services))}{' again' if again else ''}"
        self._teller.event(
            "promoted" if again else "serving",
            text,
            snapshot.version,
            id=deployment["id"],
            services=[service["name"] for service in services],
        )
        for note in deployment.get("info") or []:
            self._teller.event("note", f"note: {note['message']}", snapshot.version)

    def _serves(self, snapshot: Snapshot) -> None:
        self._serving, self._pending = snapshot, None
        self._told.pop(snapshot.version, None)
        self._starts.forget(snapshot.version)

    def _tell_failure(self, running: Running) -> None:
        goes_on = self._serving
        rest = f"; v {goes_on.version[:SHORT]} goes on serving" if goes_on else ""
        last_lines = running.process.last_lines  # all are out before this is said
        self._teller.event(
            "failed",
            f"did not start: it {self._starts.failure(running)}{rest}",
            running.version,
            exit_code=running.process.exit_code,
            output=last_lines,
        )

    def _not_registered(self, snapshot: Snapshot, error: CommandError) -> None:
        if error.exit_code is ExitCode.TRY_LATER:
            if error.status is None:
                self._tell_away(error)
            else:
                text = f"cannot be registered yet: {error.message}"
                self._tell_once("not yet", "not-yet", text, snapshot.version)
            return
        self._pending = None
        self._teller.event("refused", f"is refused: {error.message}", snapshot.version)

    # --- looking after those that are there ----------------------------------------------------

    def look(self) -> None:
        """See that each version that is needed runs, and let those go that nothing needs."""
        try:
            seen = self._records.look()
            self._engine_is_back()
            if self._pending is not None:
                self._settle(self._pending)
                seen = self._records.look()
            for record in seen.records.values():
                self._look_after(record, seen)
            self._look_for_strangers(seen)
        except CommandError as error:
            self._tell_away(error)

    def _look_after(self, record: Record, seen: Seen) -> None:
        serving = self._serving is not None and self._serving.version == record.version
        if record.drained and not serving and not self._is_pending(record.version):
            self._retire(record)
            return
        self._restored(record, seen)
        if not serving:
            self._tell_standing(record)

    def _look_for_strangers(self, seen: Seen) -> None:
        """Processes without a record: the engine forgot them, or somebody removed the record."""
        for running in list(self._running.values()):
            if running.version in seen.records or self._is_pending(running.version):
                continue
            if self._serving is not None and self._serving.version == running.version:
                self._teller.event("forgotten", "is not registered any more", running.version)
                self._pending = self._serving
                self._settle(self._pending)
            else:
                self._stop(running)
                self._teller.event("stopped", "was removed, stopped", running.version)

    def _retire(self, record: Record) -> None:
        self._shelf.retire(record.version)
        try:
            self._records.remove(record)
        except CommandError as error:
            if error.status not in (404, 409):
                raise
            if error.status == 409:  # something needs it again
                self._shelf.keep(record.version)
                return
        if running := self._running.get(record.version):
            self._stop(running)
        self._shelf.remove(record.version)
        self._starts.forget(record.version)
        self._told.pop(record.version, None)
        self._teller.event("drained", "drained, stopped", record.version, id=record.id)

    def _restored(self, record: Record, seen: Seen) -> Running | None:
        """The version's process; a new one, where the deployment expects it, if there is none."""
        if running := self._alive(record.version):
            return running
        if ended := self._running.pop(record.version, None):
            code = ended.process.exit_code
            self._teller.event("ended", f"ended with exit code {code}", record.version)
        snapshot = self._shelf.find(record.version)
        if snapshot is None:
            self._tell_missing(record)
            return None
        if not self._starts.due(record.version):
            return None
        taken = seen.ports | {each.port for each in self._running.values()}
        port = record.port if is_free(record.port) else free_port(taken)
        running = self._starts.start(snapshot, port)
        self._running[record.version] = running
        if not self._starts.until_ready(running, self._saved_again):
            if not self._saved_again():
                self._tell_failure(running)
            self._stop(running)
            return None
        if port != record.port:
            self._records.move(record, port)
            text = f"moved from :{record.port} to :{port}"
            self._teller.event("moved", text, record.version, id=record.id)
        self._starts.forget(record.version)
        if record.unfinished:
            self._records.wake(record)
        return running

    def _alive(self, version: str) -> Running | None:
        running = self._running.get(version)
        return running if running is not None and running.alive else None

    def _is_pending(self, version: str) -> bool:
        return self._pending is not None and self._pending.version == version

    def _stop(self, running: Running) -> None:
        self._running.pop(running.version, None)
        running.process.end()

    # --- telling -------------------------------------------------------------------------------

    def _tell_once(self, key: str, kind: str, text: str, version: str, **facts: object) -> None:
        if self._told.get(key) != text:
            self._told[key] = text
            self._teller.event(kind, text, version, **facts)

    def _tell_standing(self, record: Record) -> None:
        self._tell_once(
            record.version,
            "waiting",
            standing(record),
            record.version,
            id=record.id,
            unfinished=record.unfinished,
        )

    def _tell_missing(self, record: Record) -> None:
        self._tell_once(
            f"missing {record.version}",
            "missing",
            f"its snapshot is gone, and {_waits(record.unfinished)} for it. See whether newer code"
            f" goes on with them: steadfaas invocations resume --pinned-to {record.id} --deployment"
            " latest --check",
            record.version,
            id=record.id,
            unfinished=record.unfinished,
        )

    def _tell_away(self, error: CommandError) -> None:
        if not self._engine_is_away:
            self._engine_is_away = True
            self._teller.event("engine-away", error.message)

    def _engine_is_back(self) -> None:
        if self._engine_is_away:
            self._engine_is_away = False
            self._teller.event("engine-back", "The engine answers again.")

    # --- beginning and end ---------------------------------------------------------------------

    def sweep(self) -> None:
        """Remove what a killed process left. Raises CommandError."""
        for version in self._shelf.sweep(self._records.look().records):
            self._teller.event(
                "note",
                f"no deployment of this engine has it; its snapshot is kept in {self._shelf.folder}"
                " for the engine that does",
                version,
            )

    def tell_rest(self) -> None:
        """Say what waits for which version."""
        try:
            waiting = [each for each in self._records.look().records.values() if each.unfinished]
        except CommandError as error:
            self._tell_away(error)
            return
        for record in waiting:
            text = f"{_waits(record.unfinished)} for it"
            self._teller.event("rest", text, record.version, unfinished=record.unfinished)
        if waiting:
            self._teller.event("bye", "Run the same command again, and they go on.")

    def end(self) -> None:
        """End all processes."""
        for running in self._running.values():
            running.process.ask_to_end()
        for running in self._running.values():
            running.process.end()
        self._running.clear()


def standing(record: Record) -> str:
    """What an older version is there for: `2 unfinished (1 suspended, next wake-up …)`."""
    words = [f"{record.unfinished} unfinished"]
    if record.details and record.unfinished:
        words[0] += f" ({record.details})"
    if record.active:
        words.append(f"takes the new requests of {', '.join(record.active)}")
    return "; ".join(words)


def _waits(count: int) -> str:
    return f"{render.plural(count, 'invocation')} {'waits' if count == 1 else 'wait'}"


def _described(service: dict[str, Any]) -> str:
    names = sorted(handler["name"] for handler in service.get("handlers") or [])
    if not names:
        return str(service["name"])
    return f"{service['name']} ({'handler' if len(names) == 1 else 'handlers'} {', '.join(names)})"
