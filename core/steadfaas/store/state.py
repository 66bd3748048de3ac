"""An operator's change of a key's whole state: made at once, or in its turn.

A change may name the state that it was made for, by its version: if the state is another by then,
the change is dropped.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from steadfaas.store import keys, sql
from steadfaas.store.port import Tx
from steadfaas.store.state_version import state_version

_log = logging.getLogger(__name__)
_Q: Final = sql.load("keys")


@dataclass(frozen=True, slots=True)
class StateChange:
    """The state that a key shall have. `version` is what the present one must hash to, if given."""

    state: Mapping[bytes, bytes]
    version: str | None = None


def queue_change(tx: Tx, service: str, key: str, number: int, change: StateChange) -> None:
    """Let it wait in the key's line; `number` is a fresh one, its place and its name there."""
    keys.join_line(tx, service, key, number, number)
    text = json.dumps({name.hex(): value.hex() for name, value in change.state.items()})
    tx.execute(_Q.queue_state_change, (number, change.version, text))


def make_change(tx: Tx, service: str, key: str, number: int) -> None:
    """Its turn has come."""
    keys.leave_line(tx, service, key, number)
    row = tx.execute(_Q.state_change, (number,)).fetchone()
    if row is None:
        return
    tx.execute(_Q.delete_state_change, (number,))
    state = {
        bytes.fromhex(name): bytes.fromhex(value) for name, value in json.loads(row[1]).items()
    }
    replace(tx, service, key, StateChange(state, row[0]))


def replace(tx: Tx, service: str, key: str, change: StateChange) -> bool:
    """Make the change now. False: the state is not the one that it was made for."""
    if change.version is not None:
        present, _ = keys.all_state(tx, service, key, keys.EVERYTHING)
        if state_version(present) != change.version:
            _log.warning("a change of the state of %s/%s came too late", service, key)
            return False
    keys.clear_all_state(tx, service, key)
    for name, value in change.state.items():
        keys.set_state(tx, service, key, name, value)
    return True
