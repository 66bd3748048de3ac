"""Named queries: SQL is source code, kept in `.sql` files beside this one.

A query begins with a line `-- name: insert_deployment`, followed by at least one comment line that
says what it is for, followed by its text. `load("deployments")` reads `deployments.sql` and gives
each query as an attribute; a misspelt name is an AttributeError where the module is imported or
first used, never a silent miss.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:

    class Queries:
        """Each query of a file, by its name."""

        def __getattr__(self, name: str) -> str: ...

else:
    Queries = SimpleNamespace

_FOLDER: Final = Path(__file__).parent
_HEADER: Final = "-- name:"


def load(name: str) -> Queries:
    """The queries of the file `<name>.sql`. Raises ValueError for a file that breaks the form."""
    return parse((_FOLDER / f"{name}.sql").read_text(encoding="utf-8"), name)


def parse(text: str, name: str) -> Queries:
    """The queries in this text; `name` is only for error messages. Raises ValueError."""
    preamble, *sections = f"\n{text}".split(f"\n{_HEADER}")
    if _without_comments(preamble):
        raise ValueError(f"{name}.sql: text before the first '{_HEADER}' line")
    queries: dict[str, str] = {}
    for section in sections:
        title, _, rest = section.partition("\n")
        key = title.strip()
        if not key.isidentifier():
            raise ValueError(f"{name}.sql: '{key}' cannot be the name of a query")
        if key in queries:
            raise ValueError(f"{name}.sql: two queries are named '{key}'")
        if not rest.startswith("-- "):
            raise ValueError(f"{name}.sql: query '{key}' needs a comment that says what it is for")
        query = _without_comments(rest)
        if not query:
            raise ValueError(f"{name}.sql: query '{key}' is empty")
        queries[key] = query
    result = Queries()
    result.__dict__.update(queries)
    return result


def _without_comments(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip()
