"""`steadfaas up` around the engine: the start line, and what it says when it cannot start."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

from steadfaas.cli import app
from steadfaas.config import Settings
from steadfaas.errors import StoreError

Run = Callable[[Settings], int]


@pytest.fixture
def up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run `up` with an engine replaced by a function."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STEADFAAS_")]:
        monkeypatch.delenv(name)

    def start(engine: Run, *words: str) -> Result:
        module = ModuleType("steadfaas.servers.app")
        vars(module)["run"] = engine
        monkeypatch.setitem(sys.modules, "steadfaas.servers.app", module)
        return CliRunner().invoke(app, ["up", *words])

    return start


def _raise(error: Exception) -> Run:
    def run(settings: Settings) -> int:
        raise error

    return run


def test_refuses_a_wrong_table_before_it_touches_anything(up: Callable[..., Result]) -> None:
    Path("steadfaas.toml").write_text("[[deployments]]\nname = 'a'\ntarget = 't'\nkeep = 'x'\n")
    done = up(_raise(AssertionError("the engine was started")))
    assert done.exit_code == 2
    assert done.stderr == (
        "Error: steadfaas.toml, line 4, deployments[1].keep (a): "
        'expected a whole number from 0, got "x".\n'
    )


def test_hands_the_settings_over_and_returns_the_exit_code(up: Callable[..., Result]) -> None:
    seen: list[Settings] = []

    def run(settings: Settings) -> int:
        seen.append(settings)
        return 3

    Path("some.toml").write_text('durability = "relaxed"\nadmin = "127.0.0.1:7"')
    done = up(run, "--ingress", "127.0.0.1:5", "--data-dir", "d", "--config", "some.toml")
    assert done.exit_code == 3
    [settings] = seen
    assert (settings.ingress.port, settings.admin.port) == (5, 7)
    assert settings.data_dir == Path("d")
    [line] = done.stdout.splitlines()
    for part in ("http://127.0.0.1:5", "http://127.0.0.1:7", "data d", "relaxed durability"):
        assert part in line


def test_set_beats_the_file_and_flags_beat_both(up: Callable[..., Result]) -> None:
    Path("steadfaas.toml").write_text('admin = "127.0.0.1:1"\nabort_timeout = "1m"\n')
    seen: list[Settings] = []

    def run(settings: Settings) -> int:
        seen.append(settings)
        return 0

    sets = ("--set", "abort_timeout=2m", "--set", "admin=127.0.0.1:2")
    assert up(run, *sets, "--admin", "127.0.0.1:3").exit_code == 0
    assert (seen[0].abort_timeout, seen[0].admin.port) == (120_000, 3)
    assert "--set, abort_timeout: expected" in up(run, "--set", "abort_timeout=2").stderr


@pytest.mark.parametrize("name", ["ingress", "admin"])
def test_a_taken_port_is_named_with_its_flag(up: Callable[..., Result], name: str) -> None:
    error = OSError(errno.EADDRINUSE, "address already in use")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        other = "admin" if name == "ingress" else "ingress"
        done = up(_raise(error), f"--{name}", address, f"--{other}", "127.0.0.1:0")
    assert done.exit_code == 1
    assert f"Cannot listen on {address} ({name})" in done.stderr
    assert f"--{name} HOST:PORT" in done.stderr


def test_a_host_that_is_not_ours_is_named(up: Callable[..., Result]) -> None:
    # 192.0.2.0/24 is kept for documentation: no machine has such an address.
    error = OSError(errno.EADDRNOTAVAIL, "cannot assign requested address")
    done = up(_raise(error), "--ingress", "192.0.2.1:8080")
    assert done.exit_code == 1
    assert "Cannot listen on 192.0.2.1:8080 (ingress)" in done.stderr


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOTDIR, errno.ENOSPC, errno.EROFS])
def test_an_unusable_data_folder_is_named(up: Callable[..., Result], number: int) -> None:
    error = OSError(number, os.strerror(number), "/somewhere/steadfaas.db")
    done = up(_raise(error), "--data-dir", "/somewhere")
    assert done.exit_code == 1
    assert f"Cannot use /somewhere/steadfaas.db: {os.strerror(number)}" in done.stderr
    assert "--data-dir" in done.stderr


def test_an_error_of_ours_ends_by_its_verdict(up: Callable[..., Result]) -> None:
    done = up(_raise(StoreError("the data folder is in use by another engine")))
    assert done.exit_code == 75, "another engine may end soon"
    assert done.stderr == "Error: the data folder is in use by another engine\n"


def test_help_has_an_example(up: Callable[..., Result]) -> None:
    done = up(_raise(AssertionError("help starts nothing")), "--help")
    assert done.exit_code == 0
    assert "Example: steadfaas up --ingress 127.0.0.1:8080" in done.stdout
    for flag in ("--ingress", "--admin", "--data-dir", "--config"):
        assert flag in done.stdout
