"""How tests write requests: a target as text, a body as a value."""

from __future__ import annotations

import json
from urllib.parse import quote


def ingress_path(target: str) -> str:
    """The path of `Service/handler` or `Object/key/handler`. Only a key may hold slashes, and
    anything else. Raises ValueError for a text that is neither."""
    service, _, rest = target.partition("/")
    key, keyed, handler = rest.rpartition("/")
    if not service or not handler:
        raise ValueError(
            f"'{target}' is not a target; write 'Service/handler' or 'Object/key/handler'"
        )
    parts = [service, key, handler] if keyed else [service, handler]
    return "/".join(quote(part, safe="") for part in parts)


def encoded(value: object) -> tuple[bytes, str | None]:
    """The body for a value and its content type: JSON, bytes as they are, None for no body."""
    if value is None:
        return b"", None
    if isinstance(value, bytes):
        return value, "application/octet-stream"
    return json.dumps(value).encode(), "application/json"
