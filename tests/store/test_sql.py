"""Named queries: the form of the files, and that SQLite understands every one of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from steadfaas.store import sql

FOLDER = Path(sql.__file__).parent
FILES = sorted(path.stem for path in FOLDER.glob("*.sql"))


def test_a_query_is_found_by_its_name_without_its_comments() -> None:
    queries = sql.parse(
        "-- name: one\n-- The number one.\nSELECT\n  1\n\n-- name: two\n-- Two.\nSELECT 2", "t"
    )
    assert queries.one == "SELECT\n  1"
    assert queries.two == "SELECT 2"
    with pytest.raises(AttributeError):
        _ = queries.three


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT 1", "before the first"),
        ("-- name: a b\n-- Why.\nSELECT 1", "cannot be the name"),
        ("-- name: a\nSELECT 1", "needs a comment"),
        ("-- name: a\n-- Why.\n", "is empty"),
        (
            "-- name: a\n-- Why.\nSELECT 1\n-- name: a\n-- Why.\nSELECT 2",
            "two queries are named 'a'",
        ),
    ],
)
def test_a_file_that_breaks_the_form(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sql.parse(text, "t")


@pytest.mark.parametrize("name", FILES)
def test_every_query_fits_the_schema(name: str) -> None:
    database = sqlite3.connect(":memory:")
    for migration in sorted((FOLDER.parent / "migrations").glob("*.sql")):
        database.executescript(migration.read_text())
    for query in vars(sql.load(name)).values():
        parameters = (None,) * query.count("?")
        database.execute(f"EXPLAIN {query}", parameters)
    database.close()
