"""The story on Lambda: two published versions of one function, and an alias that moves.

Run it with `make demo`. There is no account and no container: LocalLambda runs each version's own
code, in processes of its own under AWS's runtime client, behind the API that the engine would call
on AWS.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import story
from story import Release

from steadfaas.testing import LocalLambda

HERE = Path(__file__).parent


class Function:
    """The checkout as a Lambda function. The code of a version is what was in its package."""

    breakdown = "its function will raise at its next {failures} calls"
    overview: tuple[str, ...] = ("adapters", "versions", "lambda:checkout")

    def __init__(self, folder: Path, local: LocalLambda) -> None:
        self.environment = local.env()
        self._folder = folder
        self._local = local
        self._published: dict[str, str] = {}

    def release(self, version: str) -> Release:
        """Publish a version, and move the alias to it."""
        files = (f"checkout_{version}.py", "steps.py")
        arn = self._local.publish(
            {name: (HERE / name).read_text() for name in files},
            name="checkout",
            handler=f"checkout_{version}.app",
            environment=story.evidence(self._folder, version),
            alias="live",
        )
        self._published[version] = arn
        return Release(
            f"{version} is published and live points to it",
            "lambda:checkout@live",
            {"target": "lambda:checkout@live"},
            arn,
        )

    def logs(self) -> Iterator[tuple[str, str]]:
        """What each version has printed."""
        for version, arn in self._published.items():
            yield version, self._local.logs(arn)


@contextmanager
def function(folder: Path) -> Iterator[Function]:
    """A local Lambda that holds nothing yet."""
    with LocalLambda() as local:
        yield Function(folder, local)


if __name__ == "__main__":
    sys.exit(story.run(function))
