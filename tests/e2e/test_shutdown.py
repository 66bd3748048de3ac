"""SIGTERM lets open exchanges end, answers those who wait, and loses nothing of the rest."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import post_json, request
from tests.support.processes import PythonService, SteadfaasServer

pytestmark = pytest.mark.e2e


def test_an_open_exchange_ends_and_is_answered(
    tmp_path: Path, python_service: PythonService
) -> None:
    with SteadfaasServer(tmp_path) as engine, ThreadPoolExecutor() as threads:
        engine.register(python_service)
        slow = threads.submit(post_json, engine.ingress, "/Basic/workFor", 700, timeout=10)
        time.sleep(0.3)
        began = time.monotonic()
        os.kill(engine.pid, signal.SIGTERM)
        answer = slow.result()
        code = engine.stop()
        assert (answer.status, answer.json()) == (200, "worked")
        assert code == 0, engine.log_tail()
        assert time.monotonic() - began < 5


def test_an_exchange_that_takes_too_long_is_cut_and_goes_on_after_the_restart(
    tmp_path: Path, python_service: PythonService
) -> None:
    with SteadfaasServer(tmp_path, drain_seconds="0.2") as engine:
        engine.register(python_service)
        sent = post_json(engine.ingress, "/Basic/workFor/send", 1000).json()["invocationId"]
        asleep = post_json(engine.ingress, "/Basic/sleepFor/send", 1500).json()["invocationId"]
        time.sleep(0.3)
        began = time.monotonic()
        assert engine.stop() == 0, engine.log_tail()
        assert time.monotonic() - began < 3
        engine.start()
        engine.wait_ready()
        for id, result in ((sent, "worked"), (asleep, "awake")):
            answer = request("GET", engine.ingress, f"/restate/invocation/{id}/attach")
            assert (answer.status, answer.json()) == (200, result)
        story = request("GET", engine.admin, f"/invocations/{sent}").json()
        outcomes = [attempt["outcome"] for attempt in story["attempts"]]
        assert outcomes == ["interrupted", "completed"], json.dumps(story)
