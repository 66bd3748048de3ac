"""Deployments and service revisions in the store. Contents are JSON texts; others read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from steadfaas.store import sql
from steadfaas.store.port import Reader, Tx

_Q: Final = sql.load("deployments")
# Of a service's revisions (`r`), those that could take its new requests; the highest one does.
TAKES_REQUESTS: Final = (
    "(SELECT json_extract(d.record, '$.retiring') IS NULL FROM deployment AS d"
    " WHERE d.id = r.deployment)"
)


class DeploymentRow(NamedTuple):
    """A registered endpoint reference; `created_at` is in ms since the epoch."""

    id: str
    created_at: int
    record: str  # JSON


class RevisionRow(NamedTuple):
    """One service as one deployment serves it."""

    service: str
    revision: int
    deployment: str
    manifest: str  # JSON


def load_all(reader: Reader) -> tuple[list[DeploymentRow], list[RevisionRow]]:
    """Everything that is registered, oldest first."""
    deployments = [DeploymentRow(*row) for row in reader.execute(_Q.all_deployments)]
    return deployments, [RevisionRow(*row) for row in reader.execute(_Q.all_revisions)]


def insert(tx: Tx, deployment: DeploymentRow, revisions: Iterable[RevisionRow]) -> None:
    """Store a new deployment and what it serves."""
    tx.execute(_Q.insert_deployment, deployment)
    tx.executemany(_Q.insert_revision, revisions)


def replace(tx: Tx, deployment: DeploymentRow, revisions: Iterable[RevisionRow]) -> None:
    """Overwrite a deployment and all that it serves; the id stays."""
    tx.execute(_Q.delete_revisions, (deployment.id,))
    update(tx, deployment)
    tx.executemany(_Q.insert_revision, revisions)


def update(tx: Tx, deployment: DeploymentRow) -> None:
    """Overwrite a deployment; what it serves stays."""
    tx.execute(_Q.update_deployment, (deployment.created_at, deployment.record, deployment.id))


def delete(tx: Tx, deployment_id: str) -> bool:
    """Remove a deployment and what it serves. False if it was not there."""
    tx.execute(_Q.delete_revisions, (deployment_id,))
    return tx.execute(_Q.delete_deployment, (deployment_id,)).rowcount > 0


def retiring(reader: Reader, deployment_id: str) -> bool | None:
    """Whether a deployment is being retired; None: it is not registered. In a transaction, the
    answer holds until its end."""
    row = reader.execute(_Q.retiring, (deployment_id,)).fetchone()
    return None if row is None else bool(row[0])


# --- what is unfinished ------------------------------------------------------------------------


# What is stored of an unfinished invocation, as it is compared: there may be very many.
Line = tuple[str, str, str]


class Unfinished(NamedTuple):
    """The same, as it is read; `due_at` is in ms since the epoch, `asleep` 0 or 1."""

    seq: int
    status: int
    deployment: str | None  # the pin
    due_at: int | None
    asleep: int

    @classmethod
    def of(cls, line: Line) -> Unfinished:
        """What a line says."""
        packed, due, deployment = line
        number = int(packed)
        return cls(
            number >> 8, number >> 1 & 0x7F, deployment or None, int(due) if due else None,
            number & 1,
        )  # fmt: skip


class Columns(NamedTuple):
    """Lines, column by column: equal texts say that nothing changed, without a look at any line."""

    packed: str
    due: str
    deployment: str

    def lines(self) -> list[Line]:
        """One for each invocation."""
        if not self.packed:
            return []
        return list(zip(*(column.split(",") for column in self), strict=True))


class Group(NamedTuple):
    """Unfinished invocations with one pin that are alike. Without a time: not due by themselves."""

    status: int
    asleep: int
    size: int
    first_due: int | None
    last_due: int | None


class Brief(NamedTuple):
    """How to call an invocation. `created_at` is in ms since the epoch."""

    seq: int
    id: bytes
    service: str
    handler: str
    key: str | None
    created_at: int

    @property
    def target(self) -> str:
        """`Service/handler` or `Service/key/handler`."""
        if self.key is None:
            return f"{self.service}/{self.handler}"
        return f"{self.service}/{self.key}/{self.handler}"


@contextmanager
def snapshot(reader: Reader) -> Iterator[None]:
    """Let several queries see one state of the database. Within a transaction they do anyway."""
    reader.execute("SAVEPOINT snapshot")
    try:
        yield
    finally:
        reader.execute("RELEASE snapshot")


def unfinished(reader: Reader, after: int = -1, limit: int = -1) -> Columns:
    """A page of the unfinished invocations behind a number, oldest first; -1 is no limit."""
    texts = reader.execute(_Q.unfinished, (after, limit)).fetchone()
    return Columns(*(text or "" for text in texts))


def pinned_to(reader: Reader, deployment_id: str) -> list[Group]:
    """The unfinished invocations that are pinned to a deployment, counted."""
    return [Group(*row) for row in reader.execute(_Q.pinned_to, (deployment_id,))]


class Need(NamedTuple):
    """For how long something needs a deployment. Times are in ms since the epoch.

    `last_due` is when the last of what is pinned there is due, `open_ended` how many are not due at
    any time, `moved_at` when one of them last changed.
    """

    last_due: int | None
    open_ended: int
    moved_at: int


def needs(reader: Reader, deployments: Iterable[str]) -> dict[str, Need]:
    """For how long unfinished invocations need these deployments; those that are needed, by id."""
    rows = reader.execute(_Q.needs, (json.dumps(list(deployments)),))
    return {id: Need(*row) for id, *row in rows}


def first_pinned_to(reader: Reader, deployment_id: str, limit: int) -> list[int]:
    """The numbers of the oldest of them."""
    return [row[0] for row in reader.execute(_Q.first_pinned_to, (deployment_id, limit))]


def unpinned(reader: Reader, services: Iterable[str]) -> list[tuple[int, int, int | None]]:
    """Unfinished invocations of these services without a pin, oldest first: number, status, when
    due."""
    return reader.execute(_Q.unpinned, (json.dumps(list(services)),)).fetchall()


def briefs(reader: Reader, seqs: Iterable[int]) -> list[Brief]:
    """How to call these invocations, oldest first."""
    rows = reader.execute(_Q.briefs, (json.dumps(sorted(seqs)),))
    return list(map(Brief._make, rows))


def beyond_versions(reader: Reader, deployment_id: str, low: int, high: int) -> dict[int, int]:
    """How many unfinished invocations of a deployment began with a protocol version outside of
    `low` to `high`, by version."""
    return dict(reader.execute(_Q.beyond_versions, (deployment_id, low, high)).fetchall())
