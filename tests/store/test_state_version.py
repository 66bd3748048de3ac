"""The version of a key's state."""

from __future__ import annotations

import pytest

from steadfaas.store.state_version import state_version


def test_versions_are_those_of_restate() -> None:
    assert state_version([]) == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    assert state_version([(b"n", b"1")]) == "3KsDAV-3zU0Xc7xtJQm3Xv4AF5hX5jrto-RmYZAm5_8"


def test_the_order_in_which_entries_are_given_does_not_count() -> None:
    entries = [(b"b", b"1"), (b"a", b"2"), (b"", b"")]
    assert state_version(entries) == state_version(reversed(entries))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([(b"a", b"")], []),
        ([(b"a", b"b")], [(b"ab", b"")]),
        ([(b"a", b"1"), (b"b", b"2")], [(b"a", b"2"), (b"b", b"1")]),
        ([(b"a", b"1"), (b"b", b"2")], [(b"a", b"1")]),
    ],
)
def test_another_state_has_another_version(
    one: list[tuple[bytes, bytes]], other: list[tuple[bytes, bytes]]
) -> None:
    assert state_version(one) != state_version(other)
