"""Steps of the paths to what changed, in the manner of JSONPath.

`$.customer.address[*].zip` is read as everybody knows it. Beside that: `.*` all properties that
have no rules of their own, `[2:]` all items from the third on, `[/^x-/]` all properties whose names
match, `{names}` the names themselves, `(Cat)` one of several alternatives.
"""

from __future__ import annotations

import json
import re


def named(name: str) -> str:
    """The step to a property."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None
    return f".{name}" if plain else f"[{json.dumps(name, ensure_ascii=False)}]"


def of_pattern(pattern: str) -> str:
    """The step to all properties that match a pattern."""
    return f"[/{pattern}/]"


def alternative(label: str) -> str:
    """The step to one of several alternatives."""
    return f"({label})"
