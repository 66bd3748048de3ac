"""Keyed things in the store: the line before a key, its state, a workflow's promises."""

from __future__ import annotations

from typing import Final

from steadfaas.store import sql
from steadfaas.store.port import Reader, Tx

_Q: Final = sql.load("keys")
EVERYTHING: Final = 2**62  # bytes: more than a key can have


def join_line(tx: Tx, service: str, key: str, place: int, seq: int) -> bool:
    """Stand in line. True: it is the head, and holds the key."""
    tx.execute(_Q.join_line, (service, key, place, seq))
    return head_of_line(tx, service, key) == seq


def head_of_line(reader: Reader, service: str, key: str) -> int | None:
    """Who holds the key."""
    row = reader.execute(_Q.head_of_line, (service, key)).fetchone()
    return None if row is None else int(row[0])


def leave_line(tx: Tx, service: str, key: str, seq: int) -> None:
    """Give up the place, at the head or further back."""
    tx.execute(_Q.leave_line, (service, key, service, key, seq))


def set_state(tx: Tx, service: str, key: str, name: bytes, value: bytes) -> None:
    """Write one value."""
    tx.execute(_Q.set_state, (service, key, name, value))


def get_state(reader: Reader, service: str, key: str, name: bytes) -> bytes | None:
    """Read one value; None if there is none."""
    row = reader.execute(_Q.get_state, (service, key, name)).fetchone()
    return None if row is None else bytes(row[0])


def all_state(
    reader: Reader, service: str, key: str, max_bytes: int
) -> tuple[list[tuple[bytes, bytes]], bool]:
    """The state of a key by name, and whether that is all of it: it stops at `max_bytes`."""
    entries: list[tuple[bytes, bytes]] = []
    size = 0
    for name, value in reader.execute(_Q.all_state, (service, key)):
        size += len(name) + len(value)
        if size > max_bytes:
            return entries, False
        entries.append((name, value))
    return entries, True


def state_names(reader: Reader, service: str, key: str) -> list[bytes]:
    """The names under which the key has state."""
    return [row[0] for row in reader.execute(_Q.state_names, (service, key))]


def clear_state(tx: Tx, service: str, key: str, name: bytes) -> None:
    """Delete one value."""
    tx.execute(_Q.clear_state, (service, key, name))


def clear_all_state(tx: Tx, service: str, key: str) -> None:
    """Delete the whole state of a key."""
    tx.execute(_Q.clear_all_state, (service, key))


def get_promise(reader: Reader, service: str, key: str, name: str) -> tuple[bool, bytes] | None:
    """A completed promise as (is a failure, encoded Value or Failure); None while it is open."""
    row = reader.execute(_Q.get_promise, (service, key, name)).fetchone()
    return None if row is None else (bool(row[0]), row[1])


def complete_promise(
    tx: Tx, service: str, key: str, name: str, *, failure: bool, payload: bytes
) -> list[tuple[int, int]]:
    """Complete a promise that is open. Returns who waited: (seq, completion id), to be told now."""
    tx.execute(_Q.complete_promise, (service, key, name, int(failure), payload))
    waiting = tx.execute(_Q.promise_listeners, (service, key, name)).fetchall()
    if waiting:
        tx.execute(_Q.delete_promise_listeners, (service, key, name))
    return waiting


def await_promise(tx: Tx, service: str, key: str, name: str, seq: int, completion: int) -> None:
    """Tell this journal when the promise is completed."""
    tx.execute(_Q.await_promise, (service, key, name, seq, completion))


def clear_workflow(tx: Tx, service: str, key: str) -> None:
    """State and promises of a workflow go with its record: the key is free again."""
    tx.execute(_Q.clear_all_state, (service, key))
    tx.execute(_Q.clear_promises, (service, key))
    tx.execute(_Q.clear_promise_listeners, (service, key))
