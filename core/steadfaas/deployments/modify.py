"""Moving a deployment to another address: what is pinned to it goes on there. Its notes change too.

Unless `overwrite` is asked for, only the connection changes. What the new address serves is then
compared with the stored services for warnings only: this is how to repair a version whose endpoint
moved or was rebuilt, and an endpoint that lacks a handler nobody waits for must not stand in the
way. What does stand in the way is a protocol that unfinished invocations could not go on with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from steadfaas.deployments.catalog import Deployment
from steadfaas.deployments.compat import lost_handlers
from steadfaas.deployments.discover import Discovered
from steadfaas.deployments.headers import Connection, Headers
from steadfaas.deployments.history import ACCESS, HEADERS, METADATA, MOVED, SECRETS, names
from steadfaas.deployments.settings import ServiceChanges
from steadfaas.spi import Access, EndpointReference
from steadfaas.wire.manifest import ServiceManifest

__all__ = ["Modification", "Modified", "ServiceChanges"]


@dataclass(frozen=True, slots=True)
class Modification:
    """What somebody asks to change. None leaves a thing as it is; `headers` and `metadata` replace
    all, and so do `secret_headers` together with those that `protection` makes."""

    deployment_id: str
    target: str | None = None
    field_name: str = "uri"
    headers: Headers | None = None
    secret_headers: Headers | None = None
    protection: tuple[str, ...] | None = None  # where the secrets stand that the platform asks for
    access: Access | None = None
    metadata: Mapping[str, str] | None = None
    overwrite: bool = False
    dry_run: bool = False
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Modified:
    """The deployment as it is now (or would be), and what may surprise about it."""

    deployment: Deployment
    warnings: tuple[str, ...] = ()


def connection_of(known: Deployment, wanted: Modification) -> Connection:
    """How the deployment is reached afterwards."""
    return Connection(
        known.headers if wanted.headers is None else wanted.headers,
        known.secret_headers if wanted.secret_headers is None else wanted.secret_headers,
        known.access if wanted.access is None else wanted.access,
    )


def connected(
    known: Deployment,
    reference: EndpointReference,
    connection: Connection,
    discovered: Discovered | None,
) -> Deployment:
    """The deployment with another connection, and what the endpoint there said about itself."""
    moved = replace(
        known,
        adapter=reference.adapter,
        uri=reference.uri,
        evidence=reference.evidence,
        facts=reference.facts,
        headers=connection.headers,
        secret_headers=connection.secret_headers,
        access=connection.access,
    )
    if discovered is None:
        return moved
    return replace(
        moved,
        min_version=discovered.manifest.min_version,
        max_version=discovered.manifest.max_version,
        protocol_mode=discovered.manifest.protocol_mode,
        http_version=discovered.http_version,
        sdk_version=discovered.sdk_version,
        compression=discovered.manifest.lambda_compression,
    )


def differences(before: Deployment, after: Deployment) -> list[tuple[str, str]]:
    """What is other about the connection and the notes, for the record."""
    found = []
    if before.uri != after.uri:
        found.append((MOVED, f"{before.uri} -> {after.uri}"))
    if before.headers != after.headers:
        found.append((HEADERS, names(dict(before.headers), dict(after.headers))))
    if before.secret_headers != after.secret_headers:
        secrets = names(dict(before.secret_headers), dict(after.secret_headers))
        found.append((SECRETS, secrets))
    if before.access != after.access:
        roles = (before.access.assume_role_arn, after.access.assume_role_arn)
        found.append((ACCESS, " -> ".join(role or "none" for role in roles)))
    if before.metadata != after.metadata:
        found.append((METADATA, names(before.metadata, after.metadata)))
    return found


def surprises(known: Deployment, services: Iterable[ServiceManifest]) -> list[str]:
    """One sentence for each stored service that the new address does not serve as it is stored."""
    found: list[str] = []
    offered = {service.name: service for service in services}
    for name, revision in sorted(known.services.items()):
        service = offered.get(name)
        if service is None:
            found.append(f"the new address does not serve '{name}', which this deployment has.")
            continue
        if service.type is not revision.type:
            found.append(
                f"the new address serves '{name}' as a {service.type.name}, this deployment has it"
                f" as a {revision.type.name}."
            )
        gone = lost_handlers(revision, {handler.name for handler in service.handlers})
        if gone:
            found.append(f"the new address serves '{name}' without the {gone}.")
    return found


def unspoken(after: Deployment, stuck: dict[int, int]) -> str:
    """The sentence for unfinished invocations (by version) whose protocol is not spoken there."""
    parts = [
        f"{count} unfinished {'invocation' if count == 1 else 'invocations'} with version {version}"
        for version, count in sorted(stuck.items())
    ]
    return (
        f"the endpoint at '{after.uri}' speaks protocol versions {after.min_version} to"
        f" {after.max_version}, but this deployment began {' and '.join(parts)}: they could not go"
        " on there"
    )
