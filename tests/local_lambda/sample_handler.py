"""A module that is deployed as a function."""

from __future__ import annotations


def handler(event: object, context: object) -> str:
    """Say where it came from."""
    return "module"
