"""Which secrets are not where the file says. Whoever applies it decides whether that matters: they
are looked up where the engine runs, which may be elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from steadfaas.config.declared import Declared, Secret
from steadfaas.config.places import Places
from steadfaas.config.problems import KeyPath, Problem


def missing_secrets(
    declared: Declared, environ: Mapping[str, str] = os.environ, *, places: Places | None = None
) -> list[Problem]:
    """One problem for each reference that leads nowhere here; its place in the file if `places`
    (of the ConfigFile) are given. No secret is read."""
    names: list[str | None] = [deployment.name for deployment in declared.deployments]
    where = places or Places("", names=names)
    return [
        where.problem(path, f"{reason}.")
        for path, secret in _secrets(declared)
        if (reason := _reason(secret, environ)) is not None
    ]


def _secrets(declared: Declared) -> Iterator[tuple[KeyPath, Secret]]:
    for number, deployment in enumerate(declared.deployments):
        for name, value in deployment.headers.items():
            if isinstance(value, Secret):
                yield ("deployments", number, "headers", name), value
        for place, secret in enumerate(deployment.protection):
            yield ("deployments", number, "protection", place), secret


def _reason(secret: Secret, environ: Mapping[str, str]) -> str | None:
    if secret.env is not None:
        return None if environ.get(secret.env) else f"the variable {secret.env} is not set here"
    file = Path(secret.file or "")
    if not file.is_file():
        return f"the file {file} does not exist here"
    return None if os.access(file, os.R_OK) else f"the file {file} cannot be read here"
