"""An engine in a process of its own dies while requests wait for a version that lands meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from steadfaas.testing.engine import SteadfaasEngine
from steadfaas.testing.failures import InvocationFailed, Refused
from tests.support.processes import PythonService

pytestmark = pytest.mark.e2e


def test_what_waits_for_a_version_outlives_the_engine(tmp_path: Path) -> None:
    with (
        PythonService(tmp_path / "v1") as v1,
        PythonService(tmp_path / "v2") as v2,
        SteadfaasEngine(tmp_path / "engine", version_wait="2m") as engine,
    ):
        first = engine.deploy(v1.url, metadata={"git": "1"})
        waiting = [engine.send("Basic/greet", n, version="git:2") for n in ("a", "b")]
        doomed = engine.send("Basic/greet", "c", version="git:2", delay="1h")
        assert [one.status for one in waiting] == ["scheduled", "scheduled"]
        engine.restart()
        assert [one.status for one in waiting] == ["scheduled", "scheduled"]

        # It is killed in the moment of the registration: before or after that was stored.
        answers: list[str] = []

        def register() -> None:
            try:
                answers.append(engine.deploy(v2.url, metadata={"git": "2"}))
            except (OSError, Refused):
                answers.append("cut off")

        registering = threading.Thread(target=register)
        registering.start()
        engine.kill()
        registering.join()
        engine.start()
        second = engine.deploy(v2.url, metadata={"git": "2"})
        assert [one.result() for one in waiting] == ["Hello a", "Hello b"]
        assert {id for one in waiting for id in one.deployments} == {second}
        assert first != second
        described = doomed.describe()
        assert (described["status"], described["deployment_id"]) == ("scheduled", second)


def test_a_short_wait_ends_with_the_reason(tmp_path: Path) -> None:
    with (
        PythonService(tmp_path / "v1") as v1,
        SteadfaasEngine(tmp_path / "engine", version_wait="300ms") as engine,
    ):
        engine.deploy(v1.url, metadata={"git": "1"})
        sent = engine.send("Basic/greet", "a", version="git:2")
        # The wait counts from the request's arrival, what is told from its acceptance.
        with pytest.raises(InvocationFailed, match=r"504: \[SF0006\] .* within \d+ms;"):
            sent.result()
        assert engine.call("Basic/greet", "b", version="git:1") == "Hello b"
