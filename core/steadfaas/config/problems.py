"""What is wrong with a file, said so that whoever wrote it finds the place."""

from __future__ import annotations

from dataclasses import dataclass

from steadfaas.errors import SteadfaasError, Verdict

# A key and the keys above it; the members of a list by number, from 0.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `source` is the file, the variable or the option that the value came from; `key` names it in
    full; `message` goes on from there, as a sentence does after a colon. Without source and key it
    is a whole sentence.
    """

    source: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line is not None else ""
        place = ", ".join(part for part in (self.source, line, self.key) if part)
        return f"{place}: {self.message}" if place else self.message


class SettingsError(SteadfaasError):
    """What is set cannot be used. The message has one line for each problem, which names it, where
    it came from and what is allowed."""

    verdict = Verdict.DENIED

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
