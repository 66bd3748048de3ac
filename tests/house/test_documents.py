"""Documents and code say the same: settings, error codes, links."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from steadfaas.config import Settings, variable_of
from steadfaas.config.schema import file_schema
from tests.house.checkout import ROOT, sources
from tests.house.settings_table import (
    DECLARED_HEADER,
    HEADER,
    declared_table,
    default_of,
    settings_table,
)

DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "core").rglob("*.md"),
        *(ROOT / "adapters").rglob("*.md"),
        *(ROOT / "samples").rglob("*.md"),
    ]
)
# A code that is raised stands in the source as a string of its own.
CODE = re.compile(r'"((?:RT|META|SF)\d{4})"')


def _table(path: str, header: str) -> list[str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    rest = lines[lines.index(header) :]
    end = next((place for place, line in enumerate(rest) if not line.startswith("|")), len(rest))
    return rest[:end]


def test_the_settings_page_has_every_setting_as_it_is() -> None:
    """Repair with `python -m tests.house.settings_table`."""
    assert _table("core/docs/settings.md", HEADER) == settings_table()


def test_the_settings_page_has_every_key_of_the_tables_as_it_is() -> None:
    """Repair with `python -m tests.house.settings_table`."""
    assert _table("core/docs/settings.md", DECLARED_HEADER) == declared_table()


def test_the_file_of_the_settings_page_is_right() -> None:
    text = (ROOT / "core/docs/settings.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        assert not list(Draft202012Validator(file_schema()).iter_errors(tomllib.loads(example)))


def test_the_settings_of_the_readme_are_right() -> None:
    rows = _table("README.md", "| Key | Variable | Flag | Default |")[2:]
    assert rows
    for row in rows:
        key, variable, flag, default = (cell.strip(" `") for cell in row.strip("|").split("|"))
        assert key in Settings.model_fields
        assert variable == variable_of(key)
        assert flag in ("", f"--{key.replace('_', '-')}")
        assert default == default_of(key)


def _documented_codes() -> set[str]:
    text = (ROOT / "core/docs/errors.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| ((?:RT|META|SF)\d{4}) \|", text, re.MULTILINE))


def test_the_explained_error_codes_are_those_that_are_raised() -> None:
    raised = {code for path in sources() for code in CODE.findall(path.read_text("utf-8"))}
    assert _documented_codes() == raised


def test_every_explained_error_code_says_what_to_do() -> None:
    text = (ROOT / "core/docs/errors.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        if re.match(r"\| (?:RT|META|SF)\d{4}", line):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == 3
            assert all(len(cell) > 5 for cell in cells), line


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_code_style_exist(path: Path) -> None:
    """`core/…`, `tests/…` and `samples/…` in back-ticks are real."""
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:core|adapters|tests|samples)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), f"{path.name} names {name}"


def test_the_file_map_of_the_architecture_is_complete() -> None:
    text = (ROOT / "core/ARCHITECTURE.md").read_text(encoding="utf-8")
    _, _, file_map = text.partition("## Where is what")
    package = ROOT / "core/steadfaas"
    for path in package.iterdir():
        if path.is_dir() and (path / "__init__.py").exists():
            assert f"`{path.name}/`" in file_map
        elif path.suffix == ".py" and not path.name.startswith("__"):
            assert f"`{path.name}`" in file_map
