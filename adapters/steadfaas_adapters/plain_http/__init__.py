"""Any HTTP address. Nobody can check that its owner never changes what answers there, so the
evidence is the owner's word: `asserted`."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from steadfaas.errors import BadRequest
from steadfaas.spi import ANYBODY, Access, EndpointReference, Evidence, Promise

MAX_LENGTH: Final = 2048

# `urlsplit` drops tabs and line breaks silently, so they are looked for before it sees the text.
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_ABSOLUTE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
# As targets of other adapters begin. A port is none.
_WORD: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*:(?!\d+$)")
_HOST: Final = re.compile(r"[a-zA-Z0-9._~-]+|\[[0-9a-fA-F:.]+\]")
_BAD_IN_PATH: Final = re.compile(r"[\"<>\\^`{|}]|%(?![0-9a-fA-F]{2})")


class PlainHttp:
    """Endpoints behind `http://` and `https://` addresses."""

    name = "plain-http"

    def claims(self, target: str) -> bool:
        """Any address with one of its schemes. Adapters of platforms come first."""
        return target.lower().startswith(("http://", "https://"))

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        """What `parse` gives: nobody can be asked. Raises BadRequest."""
        if access != ANYBODY:
            raise BadRequest("a role is for Lambda functions; send credentials in a header")
        return self.parse(target)

    def parse(self, target: str) -> EndpointReference:
        """The reference for an absolute URI. Scheme and host are lower-cased, an empty path becomes
        `/`; nothing else is changed. Raises BadRequest."""
        _check_text(target)
        try:
            parts = urlsplit(target)
            port = parts.port
        except ValueError as error:
            raise BadRequest(f"The provided uri {target} cannot be parsed: {error}.") from None
        _check_parts(target, parts)
        host = parts.netloc.lower() if port is not None else parts.netloc.lower().rstrip(":")
        uri = f"{parts.scheme.lower()}://{host}{parts.path or '/'}"
        return EndpointReference(self.name, uri, Evidence.ASSERTED)


ADAPTER: Final = PlainHttp()


def _check_text(target: str) -> None:
    if len(target) > MAX_LENGTH:
        raise BadRequest(f"The provided uri is longer than {MAX_LENGTH} characters.")
    if not _VISIBLE.fullmatch(target):
        raise BadRequest(
            f"The provided uri {target!a} holds spaces, control or non-ASCII characters;"
            " percent-encode them, and write international host names in their xn-- form."
        )
    if not _ABSOLUTE.match(target):
        if _WORD.match(target):
            raise BadRequest(
                f"{target} is no http:// or https:// address, and no installed adapter reads it;"
                " 'steadfaas adapters list' shows them."
            )
        raise BadRequest(
            f"The provided uri {target} is not absolute, only absolute URIs can be used."
        )


def _check_parts(target: str, parts: SplitResult) -> None:
    if parts.scheme.lower() not in ("http", "https"):
        raise BadRequest(f"The provided uri {target} must begin with http:// or https://.")
    # The userinfo is a secret: it is not repeated.
    if "@" in parts.netloc:
        raise BadRequest(
            "The provided uri holds a user name or password; send credentials in"
            " 'additional_headers' instead."
        )
    host, _, _ = parts.netloc.rpartition(":") if parts.port is not None else (parts.netloc, "", "")
    if not _HOST.fullmatch(host.rstrip(":")):
        raise BadRequest(f"The provided uri {target} has no valid host name.")
    if parts.fragment or "#" in target:
        raise BadRequest(f"The provided uri {target} has a fragment (#…), which is never sent.")
    if parts.query or "?" in target:
        raise BadRequest(
            f"The provided uri {target} has a query (?…), which has no place in a base address."
        )
    if _BAD_IN_PATH.search(parts.path):
        raise BadRequest(
            f"The provided uri {target} has characters in its path that must be percent-encoded."
        )
