"""Two hundred deployments on four platforms: asked about at the same time, and not all at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from steadfaas.cli import app
from steadfaas.cli.rollout.carry_out import Done, _together
from steadfaas.cli.rollout.gather import AT_ONCE, each_at_once
from steadfaas.testing import SteadfaasEngine
from tests.support.four_platforms import PLATFORMS, FourPlatforms

MANY = 200


@pytest.fixture
def platforms(monkeypatch: pytest.MonkeyPatch) -> Iterator[FourPlatforms]:
    """All platforms, which the engine and the commands of this test find."""
    with FourPlatforms(MANY, latency=0.01) as platforms:
        for name, value in platforms.env().items():
            monkeypatch.setenv(name, value)
        yield platforms


def test_two_hundred_are_asked_about_together_within_the_bound(
    tmp_path: Path, platforms: FourPlatforms
) -> None:
    file = tmp_path / "steadfaas.toml"
    file.write_text(platforms.file())
    with SteadfaasEngine(tmp_path / "engine") as engine:

        def json_of(command: str) -> Any:
            line = ["--admin-url", engine.admin_url, command, "--config", str(file), "--json"]
            done = CliRunner().invoke(app, line)
            assert done.exit_code == 0, done.output
            return json.loads(done.stdout)

        planned = json_of("plan")
        assert planned["summary"] == {"register": MANY}
        assert platforms.discovery.calls == MANY
        for pace in (platforms.discovery, *platforms.paces.values()):
            assert 1 < pace.most <= AT_ONCE

        applied = json_of("apply")
        assert len(applied["done"]) == MANY
        assert [each for each in applied["done"] if each["error"]] == []

        platforms.reset()
        assert json_of("plan")["summary"] == {"unchanged": MANY}
        assert platforms.discovery.calls == 0
        asked = {name: pace.calls for name, pace in platforms.paces.items()}
        each = MANY // len(PLATFORMS)
        assert asked == {
            "lambda": 2 * each,  # where the alias leads, and what is there
            "vercel": 4 * each,  # project, rolling release, deployment, and its row in the list
            "deno": 2 * each,  # revisions, and where the newest is active
            "cloudflare": 4 * each,  # account, Worker, deployments, version
        }


class _Meeting:
    """Nobody goes on before `AT_ONCE` are there; `most` were there at the same time."""

    def __init__(self) -> None:
        self.most = 0
        self._there = 0
        self._lock = threading.Lock()
        self._full = threading.Barrier(AT_ONCE, timeout=10)

    def attend(self, number: int) -> int:
        with self._lock:
            self._there += 1
            self.most = max(self.most, self._there)
        self._full.wait()
        with self._lock:
            self._there -= 1
        return number


def _asked(meeting: _Meeting, numbers: list[int]) -> list[int]:
    told: list[int] = []
    found = each_at_once(meeting.attend, numbers, told.append)
    assert told == list(range(len(numbers) + 1))
    return found


def _done(meeting: _Meeting, numbers: list[int]) -> list[int]:
    steps = _together(lambda number: Done("", str(meeting.attend(number)), ""), numbers)
    return [int(each.name) for each in steps]


@pytest.mark.parametrize("way", [_asked, _done])
def test_so_many_go_together_and_no_more(way: Callable[[_Meeting, list[int]], list[int]]) -> None:
    meeting = _Meeting()
    numbers = list(range(3 * AT_ONCE))
    assert way(meeting, numbers) == numbers
    assert meeting.most == AT_ONCE
