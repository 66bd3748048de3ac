"""Settings of adapters are made anew when their variables change, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from steadfaas.errors import SteadfaasError
from steadfaas_adapters.cloudflare import settings as cloudflare
from steadfaas_adapters.deno_deploy import settings as deno
from steadfaas_adapters.vercel import settings as vercel


@pytest.mark.parametrize(
    ("load", "variable", "name"),
    [
        (vercel.load, "STEADFAAS_VERCEL_RETENTION_PREVIEW_DAYS", "retention_preview_days"),
        (deno.settings, "STEADFAAS_DENO_IDLE_DAYS", "idle_days"),
        (cloudflare.settings, "STEADFAAS_CLOUDFLARE_MAX_REQUEST_BYTES", "max_request_bytes"),
    ],
)
def test_a_variable_that_changes_is_noticed(
    monkeypatch: pytest.MonkeyPatch, load: Callable[[], Any], variable: str, name: str
) -> None:
    first = load()
    assert load() is first
    monkeypatch.setenv(variable, "17")
    assert getattr(load(), name) == 17
    for _ in range(2):
        monkeypatch.setenv(variable, "many")
        with pytest.raises(SteadfaasError, match=variable):
            load()
    monkeypatch.delenv(variable)
    assert load() == first
