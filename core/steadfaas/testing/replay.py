"""Always-replay: finds handlers that do not take the same way twice.

A handler is replayed whenever it waited for something; the SDK compares its commands with the
journal then. That finds a difference only if there happens to be one. Here,

* chance is loaded (see `chance`): an invocation's exchanges draw the lowest and the highest values
  in turn, so that a branch that hangs on them goes one way now and the other way next time;
* the last exchange, which nothing would replay, is replayed too, with everything that was recorded;
  several times, with other chances, if the handler drew any.

Values from elsewhere (clocks, uuids) differ by themselves from one replay to the next. What a
replay answers is compared and dropped: the engine never sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from steadfaas.machine.commands import COMMANDS
from steadfaas.machine.failure import JOURNAL_MISMATCH, describe_command
from steadfaas.testing import chance
from steadfaas.testing.chance import Chance
from steadfaas.testing.stories import label
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode, encode
from steadfaas.wire.frame import Frame, FrameReader, encode_frame
from steadfaas.wire.messages import MessageType as T

_ADVICE: Final = (
    "A handler's way must follow from its input, its state and the results of its steps. Draw\n"
    "random numbers, read clocks and make ids inside ctx.run_typed(...), which records what they\n"
    "gave, or use ctx.random(), ctx.uuid() and ctx.time()."
)

# Sends a body to the app and gives the frames of its answer; none if the app did not answer.
Ask = Callable[[bytes, Chance], Awaitable[list[Frame]]]


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a replay left the recorded way: both streams of commands, up to the difference."""

    target: str
    invocation: str
    recorded: tuple[str, ...]
    issued: tuple[str, ...]
    index: int
    explanation: str

    def __str__(self) -> str:
        width = max(len(text) for text in (*self.recorded, "recorded"))
        lines = [
            f"{self.target} ({self.invocation}) took another way when it was replayed:",
            f"       {'recorded':<{width}}  replayed",
        ]
        for index in range(max(len(self.recorded), len(self.issued))):
            recorded = self.recorded[index] if index < len(self.recorded) else "-"
            issued = self.issued[index] if index < len(self.issued) else "-"
            mark = ">>" if index == self.index else "  "
            lines.append(f"  {mark} {index:>2} {recorded:<{width}}  {issued}")
        if self.explanation:
            lines.append(f"The difference: {self.explanation}")
        lines.append(_ADVICE)
        return "\n".join(lines)


class Replayer:
    """Loads chance, replays last exchanges, and keeps what it found by invocation id."""

    def __init__(self) -> None:
        self.found: dict[str, Divergence] = {}
        self._reported: set[str] = set()
        self._high: dict[str, bool] = {}
        chance.hold()

    def close(self) -> None:
        """Give the functions of `random` back."""
        chance.release()

    def take(self) -> list[Divergence]:
        """What was found since the last time; each invocation is told of once."""
        found = list(self.found.values())
        self._reported |= self.found.keys()
        self.found.clear()
        return found

    def next_chance(self, invocation: str) -> Chance:
        """What an invocation's next exchange draws: the other extreme than in the one before."""
        high = not self._high.get(invocation, False)
        self._high[invocation] = high
        return chance.extreme(high=high)

    async def check(
        self, target: str, invocation: str, body: bytes, answer: list[Frame], ask: Ask
    ) -> None:
        """Judge an answer: a mismatch is noted; a last exchange is replayed."""
        if not answer or invocation in self.found or invocation in self._reported:
            return
        sent = FrameReader().feed(body)
        if answer[-1].type == T.ERROR:
            self._judge(target, invocation, sent[1:], answer, replayed=False)
        elif answer[-1].type == T.END:
            await self._replay(target, invocation, sent, answer, ask)

    async def _replay(
        self, target: str, invocation: str, sent: list[Frame], answer: list[Frame], ask: Ask
    ) -> None:
        journal = sent[1:] + [
            stored for frame in answer if (stored := _as_stored(frame)) is not None
        ]
        body = _request(sent[0], journal)
        first = self.next_chance(invocation)
        self._judge(target, invocation, journal, await ask(body, first), replayed=True)
        if first.drawn:
            for other in chance.sweep():
                if invocation in self.found:
                    return
                self._judge(target, invocation, journal, await ask(body, other), replayed=True)

    def _judge(
        self,
        target: str,
        invocation: str,
        journal: list[Frame],
        answer: list[Frame],
        *,
        replayed: bool,
    ) -> None:
        if not answer or answer[-1].type == T.END:
            return
        recorded = commands_of(journal)
        index, issued = len(recorded) - 1, "waits for something"
        explanation = "it waits for what it did not wait for before"
        if answer[-1].type == T.ERROR:
            error = decode(m.Error, answer[-1].payload)
            if error.code != JOURNAL_MISMATCH and not replayed:
                return  # an attempt that failed: it is retried, and there is nothing to compare
            if error.code == JOURNAL_MISMATCH and error.related_command_index is not None:
                index = error.related_command_index
            if error.code == JOURNAL_MISMATCH:
                issued = _issued(error)
                explanation = _difference(error.message)
            else:
                issued, explanation = "fails", f"it fails when it is replayed: {error.message}"
        self.found[invocation] = Divergence(
            target, invocation, recorded, (*recorded[:index], issued), index, explanation
        )


def commands_of(journal: list[Frame]) -> tuple[str, ...]:
    """The commands of a journal as one reads them; the input is the first."""
    return tuple(
        label(frame.type, frame.payload)
        for frame in journal
        if frame.type == T.INPUT or frame.type in COMMANDS
    )


def _issued(error: m.Error) -> str:
    if error.related_command_type is None:
        return "something else"
    return describe_command(error.related_command_type, error.related_command_name)


def _difference(message: str) -> str:
    """What the SDK says of the difference: its sentence, without the general advice around it."""
    _, found, rest = message.partition("- Difference:")
    if not found:
        return message
    lines = rest.partition("Related command")[0].splitlines()
    return "; ".join(line.strip() for line in lines if line.strip())


def _as_stored(frame: Frame) -> Frame | None:
    """What the engine keeps of a frame of an answer; None for one that is no entry."""
    if frame.type in COMMANDS:
        return frame
    if frame.type != T.PROPOSE_RUN_COMPLETION:
        return None
    proposal = decode(m.ProposeRunCompletion, frame.payload)
    completion = m.Completion(
        completion_id=proposal.result_completion_id,
        value=None if proposal.value is None else m.Value(content=proposal.value),
        failure=proposal.failure,
    )
    return Frame(int(T.RUN_COMPLETION), encode(completion))


def _request(start: Frame, journal: list[Frame]) -> bytes:
    """A request with a whole journal: Start with the right count, and all entries."""
    message = decode(m.Start, start.payload)
    message.known_entries = len(journal)
    entries = [encode_frame(frame.type, frame.payload) for frame in journal]
    return encode_frame(T.START, encode(message)) + b"".join(entries)
