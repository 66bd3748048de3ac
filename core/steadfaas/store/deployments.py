"""Deployments and service revisions in the store. Contents are JSON texts; others read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from steadfaas.store import sql
from steadfaas.store.port import Reader, Tx

_Q: Final = sql.load("deployments")


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
    tx.execute(_Q.update_deployment, (deployment.created_at, deployment.record, deployment.id))
    tx.executemany(_Q.insert_revision, revisions)


def delete(tx: Tx, deployment_id: str) -> bool:
    """Remove a deployment and what it serves. False if it was not there."""
    tx.execute(_Q.delete_revisions, (deployment_id,))
    return tx.execute(_Q.delete_deployment, (deployment_id,)).rowcount > 0


def pinned_unfinished(reader: Reader, deployment_id: str) -> dict[int, int]:
    """How many unfinished invocations are pinned to a deployment, by status."""
    return dict(reader.execute(_Q.pinned_unfinished, (deployment_id,)).fetchall())


def unpinned_unfinished(reader: Reader) -> dict[str, int]:
    """How many unfinished invocations have no pin yet, by service: the newest will run them."""
    return dict(reader.execute(_Q.unpinned_unfinished).fetchall())
