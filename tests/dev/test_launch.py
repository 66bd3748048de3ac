"""What runs: how the words of the command line are understood, and where it looks for code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steadfaas.cli.dev.launch import Launch
from steadfaas.cli.exits import CommandError, ExitCode

SERVE = Path(sys.modules[Launch.__module__].__file__ or "").with_name("serve.py")


@pytest.mark.parametrize(
    ("words", "application", "name"),
    [
        ("greeter:app", True, "greeter"),
        ("shop.web:make.app", True, "shop.web"),
        ("node server.mjs", False, "server"),
        ("npm run dev", False, "dev"),
        ("./bin/run.sh --port {port}", False, "run"),
        ("deno run -A src/main.ts --port={port}", False, "main"),
        ("python -m shop.main", False, "shop"),
        ("c:/program", False, "program"),
    ],
)
def test_words(tmp_path: Path, words: str, application: bool, name: str) -> None:
    launch = Launch(tmp_path, tuple(words.split()))
    assert (launch.application is not None) is application
    assert launch.name == name


def test_a_command_gets_the_port_in_words_and_variables(tmp_path: Path) -> None:
    launch = Launch(tmp_path, ("serve", "--at=127.0.0.1:{port}", "{port}"))
    assert launch.command(81) == ["serve", "--at=127.0.0.1:81", "81"]
    variables = launch.environment(81, tmp_path / "code")
    assert variables["PORT"] == "81"
    assert variables["STEADFAAS_DEV_FOLDER"] == str(tmp_path)


@pytest.mark.parametrize("word", ["greeter", "greeter.py", "shop"])
def test_a_module_without_an_application_is_told(tmp_path: Path, word: str) -> None:
    (tmp_path / "greeter.py").touch()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    with pytest.raises(CommandError, match=r"Write (greeter|shop):app") as caught:
        Launch(tmp_path, (word,)).check()
    assert caught.value.exit_code is ExitCode.USAGE


def test_no_server_is_told_with_the_command_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "env"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(CommandError, match=r"env/bin/python -m pip install uvicorn$") as caught:
        Launch(tmp_path, ("greeter:app",)).check()
    assert caught.value.exit_code is ExitCode.REFUSED
    monkeypatch.delenv("VIRTUAL_ENV")
    Launch(tmp_path, ("greeter:app",)).check()


def test_places_to_import_from_lead_to_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, code = tmp_path / "base", tmp_path / "base/.steadfaas/code"
    for folder in (base / "src", code / "src", base / "not-copied"):
        folder.mkdir(parents=True)
    places = [base, base / "src", base / "not-copied", "src", tmp_path / "elsewhere"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, places)))
    found = Launch(base, ("x",)).environment(1, code)["PYTHONPATH"].split(os.pathsep)
    assert found == [
        *map(str, (code, code / "src", base / "not-copied")),
        "src",
        str(tmp_path / "elsewhere"),
    ]


def test_an_editable_install_leads_to_the_snapshot(tmp_path: Path) -> None:
    """`serve.py` alone: a stand-in for uvicorn prints what it would import from."""
    base = tmp_path / "base"
    code = base / ".steadfaas/code"
    site = tmp_path / "site"
    for folder in (base / "src", code / "src", site):
        folder.mkdir(parents=True)
    (site / "uvicorn.py").write_text("import sys; print(sys.argv[1:5]); print(sys.path)")
    (site / "sitecustomize.py").write_text(f"import sys; sys.path.append({str(base / 'src')!r})")
    done = subprocess.run(
        [sys.executable, SERVE, base, "app:app", "81"],
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    arguments, places = map(eval, done.stdout.splitlines())
    assert arguments == ["app:app", "--host", "127.0.0.1", "--port"]
    assert places[0] == str(code)
    assert str(code / "src") in places
    assert str(base / "src") not in places
    assert str(SERVE.parent) not in places


def test_hypercorn_where_there_is_no_uvicorn(tmp_path: Path) -> None:
    (tmp_path / "hypercorn.py").write_text("import sys; print(sys.argv[1:4])")
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            SERVE,
            tmp_path / "base",
            "app:app",
            "81",
        ],  # without what is installed
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['app:app', '--bind', '127.0.0.1:81']"
