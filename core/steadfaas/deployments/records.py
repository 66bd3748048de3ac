"""Deployments to rows of the store and back: a restart discovers nothing anew."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from steadfaas.deployments.catalog import (
    Catalog,
    Change,
    Deployment,
    HandlerOptions,
    Retirement,
    ServiceRevision,
    build_revision,
)
from steadfaas.errors import StoreError
from steadfaas.spi import Access, Evidence
from steadfaas.store import deployments as table
from steadfaas.store.deployments import DeploymentRow, RevisionRow
from steadfaas.store.port import Reader
from steadfaas.wire.jsonshape import decode, encode
from steadfaas.wire.manifest import ProtocolMode, service_from_json, service_to_json


def load_catalog(reader: Reader, defaults: HandlerOptions) -> Catalog:
    """Everything that is registered, with the engine's present defaults.

    Raises StoreError if a record cannot be read.
    """
    deployments, revisions = table.load_all(reader)
    served: defaultdict[str, list[RevisionRow]] = defaultdict(list)
    for row in revisions:
        served[row.deployment].append(row)
    return Catalog(from_rows(row, served[row.id], defaults) for row in deployments)


def to_rows(deployment: Deployment) -> tuple[DeploymentRow, list[RevisionRow]]:
    """What the store keeps of a deployment."""
    record = {
        "uri": deployment.uri,
        "headers": deployment.headers,
        "min_version": deployment.min_version,
        "max_version": deployment.max_version,
        "protocol_mode": deployment.protocol_mode.value,
        "http_version": deployment.http_version,
        "sdk_version": deployment.sdk_version,
        "metadata": dict(deployment.metadata),
        "adapter": deployment.adapter,
        "evidence": deployment.evidence.value,
        "facts": dict(deployment.facts),
        "assume_role_arn": deployment.access.assume_role_arn,
        "secret_headers": deployment.secret_headers,
        "compression": deployment.compression,
        "changes": [(one.at, one.by, one.what, one.detail) for one in deployment.changes],
        "retiring": None if deployment.retiring is None else asdict(deployment.retiring),
    }
    revisions = [
        RevisionRow(known.name, known.revision, deployment.id, service_to_json(known.manifest))
        for known in deployment.services.values()
    ]
    return DeploymentRow(deployment.id, deployment.created_at, encode(record)), revisions


def from_rows(
    row: DeploymentRow, revisions: list[RevisionRow], defaults: HandlerOptions
) -> Deployment:
    """The deployment that `to_rows` described. Raises StoreError if the rows are not ours."""
    try:
        record = decode(row.record)
        services = {known.service: _revision(known, defaults) for known in revisions}
        return _deployment(row, record, services)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"the stored record of deployment {row.id} cannot be read ({error});"
            " was it written by a newer version of steadfaas?"
        ) from error


def _deployment(
    row: DeploymentRow, record: dict[str, Any], services: dict[str, ServiceRevision]
) -> Deployment:
    return Deployment(
        id=row.id,
        uri=record["uri"],
        headers=tuple((name, value) for name, value in record["headers"]),
        min_version=record["min_version"],
        max_version=record["max_version"],
        protocol_mode=ProtocolMode(record["protocol_mode"]),
        http_version=record["http_version"],
        sdk_version=record["sdk_version"],
        created_at=row.created_at,
        metadata=record["metadata"],
        adapter=record["adapter"],
        services=services,
        evidence=Evidence(record["evidence"]),
        # Older records have none of these.
        facts=record.get("facts") or {},
        access=Access(record.get("assume_role_arn")),
        secret_headers=tuple((name, value) for name, value in record.get("secret_headers", ())),
        compression=record.get("compression"),
        changes=tuple(Change(*change) for change in record.get("changes", ())),
        retiring=Retirement(**retiring) if (retiring := record.get("retiring")) else None,
    )


def _revision(row: RevisionRow, defaults: HandlerOptions) -> ServiceRevision:
    return build_revision(
        service_from_json(row.manifest),
        revision=row.revision,
        deployment_id=row.deployment,
        defaults=defaults,
    )
