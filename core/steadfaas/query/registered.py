"""`sys_deployment`, `sys_service` and `sys_audit`: what is registered, and what was done to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from steadfaas.query.columns import Column, column
from steadfaas.query.schemas import SCHEMAS
from steadfaas.query.tables import Branch, Table
from steadfaas.store.deployments import TAKES_REQUESTS

# As `Deployment.over_http` tells them apart.
_HTTP: Final = "json_extract(d.record, '$.uri') LIKE 'http%'"


def _lists(values: Sequence[str], type: pa.DataType) -> pa.Array:
    return pa.array([json.loads(value) for value in values], type)


_DEPLOYMENTS: Final = Branch(
    "deployment AS d",
    {
        "id": column("d.id", ordered=True),
        "ty": column(f"CASE WHEN {_HTTP} THEN 'http' ELSE 'lambda' END"),
        "endpoint": column("json_extract(d.record, '$.uri')"),
        "created_at": column("d.created_at", ordered=True),
        "min_service_protocol_version": column("json_extract(d.record, '$.min_version')"),
        "max_service_protocol_version": column("json_extract(d.record, '$.max_version')"),
        "services": Column(
            (
                "(SELECT json_group_array(service) FROM (SELECT r.service"
                " FROM service_revision AS r"
                " WHERE r.deployment = d.id ORDER BY r.service))",
            ),
            _lists,
            matcher=None,
        ),
    },
)
# From name to name, and to the newest revision of each, rather than through all that is stored:
# there is a manifest in every row.
_NAMES: Final = """(
    WITH RECURSIVE known (name) AS (
        SELECT min(service) FROM service_revision UNION ALL
        SELECT (SELECT min(service) FROM service_revision WHERE service > name)
        FROM known WHERE name IS NOT NULL)
    SELECT name FROM known WHERE name IS NOT NULL)"""
_SERVICES: Final = Branch(
    f"{_NAMES} AS k CROSS JOIN service_revision AS r",
    {
        "name": column("k.name", ordered=True),
        "revision": column("r.revision", ordered=True),
        "public": column("NOT ifnull(json_extract(r.manifest, '$.ingressPrivate'), 0)"),
        "ty": column("lower(json_extract(r.manifest, '$.ty'))"),
        "deployment_id": column("r.deployment", ordered=True),
    },
    "r.service = k.name AND r.revision = (SELECT r.revision FROM service_revision AS r"
    f" WHERE r.service = k.name AND {TAKES_REQUESTS} ORDER BY r.revision DESC LIMIT 1)",
)

_AUDIT: Final = Branch(
    "audit AS a",
    {
        "seq": column("a.seq", ordered=True),
        "at": column("a.at", ordered=True),
        "actor": column("a.actor", ordered=True),
        "action": column("a.action", ordered=True),
        "subject": column("a.subject", ordered=True),
        "detail": column("a.detail"),
    },
)

TABLES: Final = (
    Table("sys_deployment", SCHEMAS["sys_deployment"], (_DEPLOYMENTS,)),
    Table("sys_service", SCHEMAS["sys_service"], (_SERVICES,)),
    Table("sys_audit", SCHEMAS["sys_audit"], (_AUDIT,)),
)
