"""The page and the code say the same about settings."""

from __future__ import annotations

from steadfaas_adapters.deno_deploy.settings import PREFIX, DenoSettings
from tests.house.checkout import ROOT


def test_the_page_has_every_setting_as_it_is() -> None:
    page = (ROOT / "core/docs/deno.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| `{PREFIX}")]
    written = [row for row in rows if f"`{PREFIX}TOKEN" not in row]
    assert written == [row_of(name) for name in DenoSettings.model_fields]


def row_of(name: str) -> str:
    """One row of the table."""
    known = DenoSettings.model_fields[name]
    extra = known.json_schema_extra
    assert isinstance(extra, dict)
    variable = f"{PREFIX}{name.upper()}"
    return f"| `{variable}` | `{known.default}` | {known.description} | {extra['source']} |"
