"""Code of functions, as a user would deploy it."""

from __future__ import annotations

ECHO = """
def handler(event, context):
    print("echoes", event)
    return event
"""


def saying(word: str) -> dict[str, str]:
    """A function that always says the same."""
    return {"app.py": f"def handler(event, context):\n    return {word!r}\n"}


def doing(*lines: str) -> dict[str, str]:
    """A function with these lines as its body; `os`, `sys` and `time` are imported."""
    body = "".join(f"    {line}\n" for line in lines)
    return {"app.py": f"import os, sys, time\ndef handler(event, context):\n{body}"}
