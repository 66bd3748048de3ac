"""Fixtures used everywhere: real processes, started at most once per test session.

All of them are lazy. A run that asks for none of them starts nothing and needs no npm.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import npm
from tests.support.processes import NodeService, PythonService, RestateServer, SteadfaasServer


@pytest.fixture(scope="session")
def process_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's processes keep their logs and data."""
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="session")
def npm_parts() -> npm.NpmParts:
    """The pinned npm packages; skips the test, with the reason, where they cannot be had."""
    found = npm.install()
    if isinstance(found, npm.Unavailable):
        pytest.skip(f"npm parts: {found.reason}")
    return found


@pytest.fixture(scope="session")
def deno_parts() -> npm.DenoParts:
    """The Deno binary and the SDK; skips the test, with the reason, where they cannot be had."""
    found = npm.install_deno()
    if isinstance(found, npm.Unavailable):
        pytest.skip(f"Deno from npm: {found.reason}")
    return found


@pytest.fixture(scope="session")
def python_service(process_dir: Path) -> Iterator[PythonService]:
    """The Python handlers, running; register them with the engine of the test."""
    with PythonService(process_dir) as service:
        yield service


@pytest.fixture(scope="session")
def node_service(process_dir: Path, npm_parts: npm.NpmParts) -> Iterator[NodeService]:
    """The TypeScript handlers, running."""
    with NodeService(process_dir, npm_parts) as service:
        yield service


@pytest.fixture(scope="session")
def steadfaas_server(process_dir: Path) -> Iterator[SteadfaasServer]:
    """Our engine as a process of its own, with nothing registered."""
    with SteadfaasServer(process_dir) as server:
        yield server


@pytest.fixture(scope="session")
def restate_server(process_dir: Path, npm_parts: npm.NpmParts) -> Iterator[RestateServer]:
    """The official server, with nothing registered."""
    with RestateServer(process_dir, npm_parts) as server:
        yield server
