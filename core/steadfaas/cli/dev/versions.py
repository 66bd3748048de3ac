"""Which versions there are, which of them takes new requests, and which may go.

All of it is worked out anew from what the engine says: nothing here has to survive a kill.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steadfaas.cli.dev import saying
from steadfaas.cli.dev.fleet import Fleet
from steadfaas.cli.dev.records import Record, Records, Seen
from steadfaas.cli.dev.shelf import Shelf, Snapshot
from steadfaas.cli.dev.telling import SHORT, Teller
from steadfaas.cli.exits import CommandError, ExitCode


class Versions:
    """The versions of one program. `take` makes a snapshot of what is there now, if it can;
    `saved_again` says whether that may be another one than before."""

    def __init__(
        self,
        shelf: Shelf,
        records: Records,
        fleet: Fleet,
        teller: Teller,
        take: Callable[[], Snapshot | None],
        saved_again: Callable[[], bool],
    ) -> None:
        self._shelf = shelf
        self._records = records
        self._fleet = fleet
        self._teller = teller
        self._take = take
        self._saved_again = saved_again
        self._serving: Snapshot | None = None
        # What is to serve as soon as the engine can be asked.
        self._pending: Snapshot | None = None
        self._engine_is_away = False

    # --- saves ---------------------------------------------------------------------------------

    def save(self) -> None:
        """Let what is there now take new requests. A further save meanwhile goes before it."""
        self._settle(self._take())

    def _settle(self, snapshot: Snapshot | None) -> None:
        while snapshot is not None:
            if self._pending is None and self._is_serving(snapshot.version):
                return
            snapshot = self._serve(snapshot)

    def _serve(self, snapshot: Snapshot) -> Snapshot | None:
        """Let a snapshot serve; the one that was saved meanwhile, if there is one."""
        for note in snapshot.notes:
            self._teller.once(note, "note", f"note: {note}", snapshot.version)
        self._pending = snapshot
        try:
            seen = self._records.look()
            record = seen.records.get(snapshot.version)
            if record is None:
                return self._start_new(snapshot, seen)
            self._serve_again(snapshot, record, seen)
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

        version = snapshot.version
        running = self._fleet.alive(version) or self._fleet.start(snapshot, seen.ports)
        if running is not None and running.until_ready(superseded):
            self._shelf.offer(version)
            deployment = self._register(version, running.port)
            self._shelf.keep(version)
            self._now_serving(snapshot, deployment)
            return None
        self._pending = None
        if newer and running is not None:
            self._teller.event("superseded", "gives way to a newer save", version)
            running.process.mute()  # it is ended in the middle of something
        elif running is not None:
            goes_on = self._serving
            rest = f"; v {goes_on.version[:SHORT]} goes on serving" if goes_on else ""
            self._fleet.tell_failure(running, rest)
        self._fleet.stop(version)
        self._shelf.discard(version)
        return newer[0] if newer else None

    def _register(self, version: str, port: int) -> dict[str, Any]:
        try:
            return self._records.register(version, port)
        except CommandError as error:
            if error.exit_code is not ExitCode.TRY_LATER:  # for good: there is no record
                self._fleet.stop(version)
                self._shelf.remove(version)
            raise

    def _serve_again(self, snapshot: Snapshot, record: Record, seen: Seen) -> None:
        """What is there now was there before: its version takes new requests again."""
        self._shelf.keep(record.version)
        self._fleet.is_well(record.version)  # whoever saves does not want to wait
        running = self._fleet.restore(record, seen.ports)
        if running is None:
            self._pending = None
        elif record.newest:
            self._serves(snapshot)
            text = f"goes on serving {', '.join(record.services)}"
            self._teller.event("serving", text, record.version, id=record.id)
        else:
            answer = self._records.promote(record, running.port)
            self._now_serving(snapshot, {**answer, "id": record.id}, again=True)

    def _now_serving(
        self, snapshot: Snapshot, deployment: dict[str, Any], *, again: bool = False
    ) -> None:
        self._serves(snapshot)
        services = deployment.get("services") or []
        self._teller.event(
            "promoted" if again else "serving",
            f"now serving {saying.served(services)}{' again' if again else ''}",
            snapshot.version,
            id=deployment["id"],
            services=[service["name"] for service in services],
        )
        for note in deployment.get("info") or []:
            self._teller.event("note", f"note: {note['message']}", snapshot.version)

    def _serves(self, snapshot: Snapshot) -> None:
        self._serving, self._pending = snapshot, None
        self._teller.forget(snapshot.version)
        self._fleet.is_well(snapshot.version)

    def _not_registered(self, snapshot: Snapshot, error: CommandError) -> None:
        if error.exit_code is not ExitCode.TRY_LATER:
            self._pending = None
            if self._is_serving(snapshot.version):
                self._serving = None  # the engine had forgotten it
            self._teller.event("refused", f"is refused: {error.message}", snapshot.version)
        elif error.status is None:
            self._tell_away(error)
        else:
            text = f"cannot be registered yet: {error.message}"
            self._teller.once("not yet", "not-yet", text, snapshot.version)

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
        serving = self._is_serving(record.version)
        if record.drained and not serving and not self._is_pending(record.version):
            self._retire(record)
            return
        self._fleet.restore(record, seen.ports)
        if not serving:
            self._teller.once(
                record.version,
                "waiting",
                saying.standing(record),
                record.version,
                id=record.id,
                unfinished=record.unfinished,
            )

    def _look_for_strangers(self, seen: Seen) -> None:
        """Processes without a record: the engine forgot them, or somebody removed the record."""
        for running in self._fleet.all:
            version = running.version
            if version in seen.records or self._is_pending(version):
                continue
            if self._is_serving(version):
                self._teller.event("forgotten", "is not registered any more", version)
                self._pending = self._serving
                self._settle(self._pending)
            else:
                self._fleet.stop(version)
                self._teller.event("stopped", "was removed, stopped", version)

    def _retire(self, record: Record) -> None:
        """Mark, record, process, snapshot: in this order, so that a kill loses nothing."""
        self._shelf.retire(record.version)
        try:
            self._records.remove(record)
        except CommandError as error:
            if error.status == 409:  # something needs it again
                self._shelf.keep(record.version)
                return
            if error.status != 404:
                raise
        self._fleet.stop(record.version)
        self._shelf.remove(record.version)
        self._fleet.is_well(record.version)
        self._teller.forget(record.version)
        self._teller.event("drained", "drained, stopped", record.version, id=record.id)

    def _is_serving(self, version: str) -> bool:
        return self._serving is not None and self._serving.version == version

    def _is_pending(self, version: str) -> bool:
        return self._pending is not None and self._pending.version == version

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
            seen = self._records.look()
        except CommandError as error:
            self._tell_away(error)
            return
        rest = [record for record in seen.records.values() if record.unfinished]
        for record in rest:
            text = f"{saying.waiting(record.unfinished)} for it"
            self._teller.event("rest", text, record.version, unfinished=record.unfinished)
        if rest:
            self._teller.event("bye", "Run the same command again, and they go on.")
