"""How platforms' APIs are reached: with their token and nothing else, through the proxy if any."""

from __future__ import annotations

from pathlib import Path

import pytest

from steadfaas.errors import DiscoveryError
from steadfaas.testing import FakeVercel
from steadfaas_adapters.vercel import ADAPTER
from tests.deployments.world import run

TARGET = "vercel:acme/shop@production"


@pytest.fixture
def shop(fake_vercel: FakeVercel) -> str:
    """A project with a deployment that serves production; the deployment's host."""
    project = fake_vercel.project("shop")
    made = project.deploy("http://127.0.0.1:1", target="production")
    project.promote(made)
    return made.host


def test_passwords_of_other_programs_are_not_sent(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert shop in run(ADAPTER.resolve(TARGET)).uri


def test_a_proxy_is_used_where_it_is_meant_to_be(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steadfaas_adapters._control_plane._ATTEMPTS", 1)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    with pytest.raises(DiscoveryError, match="cannot be asked"):
        run(ADAPTER.resolve(TARGET))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert shop in run(ADAPTER.resolve(TARGET)).uri
