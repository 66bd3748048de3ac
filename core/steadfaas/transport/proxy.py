"""The proxy through which `https://` endpoints are reached, where the environment names one.

`HTTPS_PROXY` and `NO_PROXY` mean what they mean everywhere. Plain `http://` endpoints are reached
directly, always: they are on this machine or beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.helpers import get_env_proxy_for_url

if TYPE_CHECKING:
    from aiohttp import BasicAuth
    from yarl import URL


def proxy_for(url: URL) -> tuple[URL | None, BasicAuth | None]:
    """The proxy for an address, and what it is told to let us through; None twice: none."""
    if url.scheme != "https":
        return None, None
    try:
        return get_env_proxy_for_url(url)
    except LookupError:
        return None, None
