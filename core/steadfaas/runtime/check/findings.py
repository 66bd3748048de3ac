"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["compatible", "diverges", "cannot-tell"]


@dataclass(frozen=True, slots=True)
class Findings:
    """Whether a deployment's code goes on with a journal, and why not.

    `index` is the number of the first command that differs, the input being 0; `recorded` and
    `issued` are the two commands there. `commands` counts what was recorded, without the input and
    the result.
    """

    verdict: Verdict
    reason: str
    index: int | None = None
    recorded: str | None = None
    issued: str | None = None
    commands: int = 0
    target: str = ""
    deployment_id: str = ""

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}"
