"""Versions that have a host of their own, where endpoints may be mounted at any path."""

from __future__ import annotations


def host_of(uri: str) -> str:
    """The host of an address, with the port if there is one; the same text for the same host."""
    return uri.partition("://")[2].partition("/")[0].lower().rstrip(".")
