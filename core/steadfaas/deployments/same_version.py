"""Which addresses lead to the same version on a platform: where it is removed, all of them end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from steadfaas.deployments.adapters import Adapters, AdapterUnavailable
from steadfaas.deployments.catalog import Deployment
from steadfaas.spi import Mounts, Versioned


class SameVersion:
    """What adapters say about it. Where nobody can remove anything, no version is shared."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def with_(self, deployment: Deployment, others: Iterable[Deployment]) -> Iterator[Deployment]:
        """Those of `others` that would lose what `deployment` leads to, if it is removed there."""
        if (version_at := self._version_at(deployment.adapter)) is not None:
            version = version_at(deployment.uri)
            yield from (each for each in others if version_at(each.uri) == version)

    def at(self, uri: str, known: Iterable[Deployment]) -> Iterator[Deployment]:
        """Those of `known` with whose version an address would end."""
        for each in known:
            version_at = self._version_at(each.adapter)
            if version_at is not None and version_at(each.uri) == version_at(uri):
                yield each

    def _version_at(self, adapter: str) -> Callable[[str], str] | None:
        try:
            reader = self._adapters.get(adapter)
        except AdapterUnavailable:
            return None
        if isinstance(reader, Mounts):
            return reader.version_at
        return _itself if isinstance(reader, Versioned) else None


def _itself(uri: str) -> str:
    return uri
