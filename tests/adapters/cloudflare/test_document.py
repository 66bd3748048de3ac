"""The page about Workers has every setting as it is in the code."""

from __future__ import annotations

from steadfaas_adapters.cloudflare.settings import PREFIX, CloudflareSettings
from tests.house.checkout import ROOT


def test_the_page_has_every_setting() -> None:
    page = (ROOT / "core/docs/cloudflare.md").read_text(encoding="utf-8")
    for name, field in CloudflareSettings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}` "
        assert f"| `{PREFIX}{name.upper()}` | {default}| {field.description} |" in page
