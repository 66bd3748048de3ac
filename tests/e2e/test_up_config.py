"""`steadfaas up --config FILE`: what the file declares is deployed once the engine is healthy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from steadfaas.testing import SteadfaasEngine
from tests.support.processes import PythonService

pytestmark = pytest.mark.e2e

_SECONDS = 30


def written(folder: Path, target: str, service: str) -> Path:
    """A file with one deployment, and a setting of one service."""
    path = folder / "steadfaas.toml"
    path.write_text(
        f'[[deployments]]\nname = "basic"\ntarget = "{target}"\n\n'
        f'[services.{service}]\nabort_timeout = "5m"\n'
    )
    return path


def until_logged(engine: SteadfaasEngine, text: str) -> None:
    """Wait until the engine has said so."""
    end = time.monotonic() + _SECONDS
    while text not in (log := engine.log_path.read_text()):
        assert time.monotonic() < end, log
        time.sleep(0.02)


def service(engine: SteadfaasEngine, name: str) -> Any:
    return engine.admin("GET", f"/services/{name}")


def test_an_endpoint_may_start_after_the_engine(tmp_path: Path) -> None:
    (tmp_path / "handlers").mkdir()
    handlers = PythonService(tmp_path / "handlers")
    file = written(tmp_path, handlers.url, "Basic")
    with SteadfaasEngine(tmp_path / "engine", config=file) as engine:
        until_logged(engine, "Not all is deployed yet; next try in")
        with handlers:
            until_logged(engine, "updated     Basic  settings (abort_timeout)")
            assert service(engine, "Basic")["abort_timeout"] == "5m"
            engine.restart()
            until_logged(engine, "Unchanged: 1 deployment.")
            assert service(engine, "Basic")["revision"] == 1


def test_what_is_refused_is_said_and_the_engine_goes_on(tmp_path: Path) -> None:
    (tmp_path / "handlers").mkdir()
    with PythonService(tmp_path / "handlers") as handlers:
        file = written(tmp_path, handlers.url, "Nobody")
        with SteadfaasEngine(tmp_path / "engine", config=file) as engine:
            until_logged(engine, "run 'steadfaas apply'")
            assert "nobody serves 'Nobody'" in engine.log_path.read_text()
            assert engine.admin("GET", "/deployments") == {"deployments": []}
