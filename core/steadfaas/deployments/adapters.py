"""Finds adapters by entry point, loads one when it is first used, and knows whose a target is.

An adapter that cannot be loaded breaks nothing but itself: its name stays known, and using it gives
the sentence that helps.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from steadfaas.errors import BadRequest, RequestError

if TYPE_CHECKING:
    # Reading installed metadata is slow, and only registrations need it.
    from importlib.metadata import EntryPoint

    from steadfaas.spi import Adapter

GROUP: Final = "steadfaas.adapters"
# Takes every target that names no platform of its own.
DEFAULT: Final = "plain-http"


class AdapterUnavailable(RequestError):
    """The adapter is not installed, cannot be loaded, or two claim its name."""

    status = 422


class Adapters:
    """The installed adapters by name. Nothing is read or imported before the first question."""

    def __init__(self, entry_points: Iterable[EntryPoint] | None = None) -> None:
        """Without `entry_points`, those of the installed distributions are used."""
        self._given = None if entry_points is None else tuple(entry_points)
        self._entries: dict[str, list[EntryPoint]] | None = None
        self._loaded: dict[str, Adapter] = {}

    def names(self) -> list[str]:
        """The names that are installed, loadable or not."""
        return sorted(self._by_name())

    def get(self, name: str) -> Adapter:
        """The adapter of this name. Raises AdapterUnavailable."""
        adapter = self._loaded.get(name)
        if adapter is None:
            adapter = self._loaded[name] = self._load(name)
        return adapter

    def for_target(self, target: str) -> Adapter:
        """The adapter whose words a target is written in; the default one for all other targets.

        Adapters that cannot be loaded are passed over. Raises BadRequest if several claim it.
        """
        claiming = []
        for name in self.names():
            if name != DEFAULT:
                with suppress(AdapterUnavailable):
                    adapter = self.get(name)
                    if adapter.claims(target):
                        claiming.append(adapter)
        if len(claiming) > 1:
            names = " and ".join(adapter.name for adapter in claiming)
            raise BadRequest(f"{target!a} is a target of {names}: say which is meant ('adapter')")
        return claiming[0] if claiming else self.get(DEFAULT)

    def _load(self, name: str) -> Adapter:
        entries = self._by_name().get(name, [])
        if not entries:
            known = ", ".join(self.names()) or "none"
            raise AdapterUnavailable(
                f"there is no adapter '{name}' (installed: {known}); install the distribution that"
                " brings it"
            )
        if len(entries) > 1:
            culprits = " and ".join(_origin(entry) for entry in entries)
            raise AdapterUnavailable(
                f"the adapter name '{name}' is claimed by {culprits}; uninstall one of them"
            )
        try:
            adapter: Adapter = entries[0].load()
        except (ImportError, AttributeError) as error:
            raise AdapterUnavailable(
                f"the adapter '{name}' ({_origin(entries[0])}) cannot be loaded: {error}; install"
                " what it needs"
            ) from error
        if adapter.name != name:
            raise AdapterUnavailable(
                f"the adapter '{name}' ({_origin(entries[0])}) calls itself '{adapter.name}'; its"
                " entry point must have the same name"
            )
        return adapter

    def _by_name(self) -> dict[str, list[EntryPoint]]:
        if self._entries is None:
            found: dict[str, dict[str, EntryPoint]] = {}
            for entry in _installed() if self._given is None else self._given:
                # One distribution may be seen twice (an editable install beside its folder).
                found.setdefault(entry.name, {}).setdefault(entry.value, entry)
            self._entries = {name: list(entries.values()) for name, entries in found.items()}
        return self._entries


def _installed() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def _origin(entry: EntryPoint) -> str:
    return f"'{entry.value}' of {entry.dist.name}" if entry.dist else f"'{entry.value}'"
