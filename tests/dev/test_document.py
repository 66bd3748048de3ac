"""The page is true: it is followed word by word, on other ports."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steadfaas.cli import app
from steadfaas.cli.dev.ports import LOOPBACK, free_port
from steadfaas.cli.dev.snapshot import LARGE_BYTES
from tests.dev.program import Dev
from tests.dev.system import until
from tests.house.checkout import ROOT
from tests.house.readme_script import blocks

PAGE = (ROOT / "core/docs/dev.md").read_text(encoding="utf-8")


@pytest.mark.e2e
def test_the_page_works_when_it_is_followed(tmp_path: Path) -> None:
    file, background, first, second = blocks(PAGE)
    assert [each.kind for each in (file, background, first, second)] == [
        *("file", "run: background", "run", "run"),
    ]
    (tmp_path / file.name).write_text(file.text.replace("seconds=10", "seconds=3"))
    program, command, *words = shlex.split(background.text)
    assert (program, command) == ("steadfaas", "dev")
    ingress, admin = (f"{LOOPBACK}:{free_port(())}" for _ in range(2))

    def run(text: str) -> None:
        moved = text.replace("127.0.0.1:8080", ingress)
        subprocess.run(["bash", "-euc", moved], cwd=tmp_path, check=True, capture_output=True)

    with Dev(tmp_path, f"http://{admin}", *words, STEADFAAS_INGRESS=ingress) as dev:
        old = dev.serving()
        run(first.text)
        new = dev.serving()
        run(second.text)

        def printed(version: str, line: str) -> bool:
            return {"event": "output", "of": version, "line": line} in list(dev.events)

        until("the old code", lambda: printed(old, "Hello Ada"))
        dev.wait("drained", old)
        until("the new code", lambda: printed(new, "Good morning Bob"))
        assert dev.interrupt() == 0


def test_the_page_has_all_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, ["dev", "--help"]).stdout
    rows = [line for line in PAGE.splitlines() if line.startswith("| `--")]
    options = {row.split("`")[1].partition(" ")[0] for row in rows}
    assert options == {word for word in shown.split() if word.startswith("--")} - {"--help"}
    assert f"above {LARGE_BYTES // 1024**2} MB" in PAGE
