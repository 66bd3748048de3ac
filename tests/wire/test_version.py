"""Versions: which one an invocation gets, and how they are named in headers."""

from __future__ import annotations

import json

import pytest

from steadfaas.wire.version import (
    DISCOVERY_ACCEPT,
    MAX_VERSION,
    MIN_VERSION,
    content_type,
    manifest_version,
    negotiate,
)
from tests.wire.samples import DATA


@pytest.mark.parametrize(
    ("low", "high", "chosen"),
    [
        (5, 7, 6),  # today's SDKs
        (5, 6, 6),
        (5, 5, 5),
        (6, 6, 6),
        (6, 7, 6),
        (1, 5, 5),
        (1, 99, 6),
        (7, 7, None),  # newer than the engine
        (7, 9, None),
        (1, 4, None),  # older than the engine
        (6, 5, None),  # no range at all
    ],
)
def test_negotiate(low: int, high: int, chosen: int | None) -> None:
    assert negotiate(low, high) == chosen


def test_content_types_are_those_of_supported_versions() -> None:
    assert (MIN_VERSION, MAX_VERSION) == (5, 6)
    assert content_type(5) == "application/vnd.restate.invocation.v5"
    assert content_type(6) == "application/vnd.restate.invocation.v6"
    for version in (4, 7):
        with pytest.raises(ValueError, match=str(version)):
            content_type(version)


def test_discovery_asks_and_understands_as_captured() -> None:
    sample = json.loads((DATA / "00-discovery.json").read_text())
    assert sample["request"]["headers"]["accept"] == DISCOVERY_ACCEPT
    assert manifest_version(sample["response"]["headers"]["content-type"]) == 4


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_manifest_versions(version: int) -> None:
    media_type = f"application/vnd.restate.endpointmanifest.v{version}+json"
    assert manifest_version(media_type) == version


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "application/json",
        "application/vnd.restate.endpointmanifest.v0+json",
        "application/vnd.restate.endpointmanifest.v5+json",
        "application/vnd.restate.endpointmanifest.v12+json",
        "application/vnd.restate.endpointmanifest.v\u0664+json",
        "application/vnd.restate.endpointmanifest.v4+json; charset=utf-8",
        "application/vnd.restate.endpointmanifest.v4+json\n",
        " application/vnd.restate.endpointmanifest.v4+json",
        "Application/vnd.restate.endpointmanifest.v4+json",
        "application/vnd-restate.endpointmanifest.v4+json",
        "application/vnd.restate.endpointmanifest.v4+json, "
        "application/vnd.restate.endpointmanifest.v3+json",
    ],
)
def test_anything_else_is_no_manifest(media_type: str) -> None:
    assert manifest_version(media_type) is None
