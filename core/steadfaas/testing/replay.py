"""Always-replay: finds handlers that do not take the same way twice.

A handler is replayed whenever it waited for something; the SDK compares its commands with the
journal then. That finds a difference only if there happens to be one. Here,

* chance is loaded: during exchanges, the functions of `random` give their lowest and highest values
  in turn, so that a branch that hangs on them goes one way now and the other way next time;
* the last exchange, which nothing would replay, is replayed too, with everything that was recorded.

Values from elsewhere (clocks, uuids, iteration order) differ by themselves from one replay to the
next. Handlers that imported single functions (`from random import random`) keep the real ones.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from steadfaas.machine.commands import COMMANDS
from steadfaas.machine.failure import JOURNAL_MISMATCH, describe_command
from steadfaas.testing.asgi import AsgiApp, Exchange
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode, encode
from steadfaas.wire.frame import Frame, FrameReader, encode_frame
from steadfaas.wire.messages import MessageType as T

# Those that end whatever they are given; `sample`, say, goes on until it likes what it gets.
_REPLACED: Final = (
    "random", "uniform", "randint", "randrange", "choice", "choices", "getrandbits", "randbytes",
)  # fmt: skip

# What chance gives in this exchange: True its highest, False its lowest values, None real ones.
_loaded: ContextVar[bool | None] = ContextVar("_loaded", default=None)


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a replay left the recorded way: both streams of commands, the last ones differing."""

    invocation: str
    index: int
    recorded: tuple[str, ...]
    issued: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        width = max(len("recorded"), *(len(text) for text in self.recorded), 10)
        lines = [
            f"{self.invocation} took another way when it was replayed (command {self.index}):",
            f"      {'recorded':<{width}}  replayed",
        ]
        for index in range(max(len(self.recorded), len(self.issued))):
            recorded = self.recorded[index] if index < len(self.recorded) else "-"
            issued = self.issued[index] if index < len(self.issued) else "-"
            mark = ">>" if index == self.index else "  "
            lines.append(f"  {mark}{index:>2} {recorded:<{width}}  {issued}")
        lines.append("Decide on random numbers, times and the like inside ctx.run, not outside.")
        return "\n".join(lines)


class Replayer:
    """Loads chance, replays last exchanges, and keeps what it found by invocation id."""

    def __init__(self) -> None:
        self.found: dict[str, Divergence] = {}
        self._high = False
        self._real: dict[str, Any] = {}

    def install(self) -> None:
        """Take over the functions of `random`, until `remove`. Outside exchanges they are real."""
        self._real = {name: getattr(random, name) for name in _REPLACED}
        for name, real in self._real.items():
            setattr(random, name, _choosing(name, real))

    def remove(self) -> None:
        """Give the functions of `random` back."""
        for name, real in self._real.items():
            setattr(random, name, real)
        self._real = {}

    @contextlib.contextmanager
    def odd_chances(self) -> Iterator[None]:
        """Within this exchange, `random` gives extremes: the other ones each time."""
        self._high = not self._high
        token = _loaded.set(self._high)
        try:
            yield
        finally:
            _loaded.reset(token)

    async def check(
        self,
        app: AsgiApp,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        frames: list[Frame],
    ) -> None:
        """Judge an answer: a mismatch is noted; a last exchange is replayed once more."""
        if not frames:
            return
        invocation = headers["x-restate-invocation-id"]
        sent = FrameReader().feed(body)
        if frames[-1].type == T.ERROR:
            self._note(invocation, sent, frames[-1])
        elif frames[-1].type == T.END:
            replayed = [*sent, *(frame for frame in frames if frame.type in COMMANDS)]
            with self.odd_chances():
                answer = await _replay(app, path, headers, replayed)
            if answer and answer[-1].type == T.ERROR:
                self._note(invocation, replayed, answer[-1])

    def _note(self, invocation: str, journal: list[Frame], frame: Frame) -> None:
        error = decode(m.Error, frame.payload)
        if error.code != JOURNAL_MISMATCH or invocation in self.found:
            return
        recorded = commands_of(journal)
        index = error.related_command_index
        index = len(recorded) if index is None else index
        issued = recorded[:index]
        if error.related_command_type is not None:
            issued += (describe_command(error.related_command_type, error.related_command_name),)
        self.found[invocation] = Divergence(invocation, index, recorded, issued, error.message)


def commands_of(journal: list[Frame]) -> tuple[str, ...]:
    """The commands of a journal as one reads them; the input is the first."""
    commands = []
    for frame in journal:
        if frame.type == T.INPUT:
            commands.append("Input")
        elif (row := COMMANDS.get(frame.type)) is not None:
            name = getattr(decode(row.message, frame.payload), "name", "")
            commands.append(describe_command(frame.type, name))
    return tuple(commands)


async def _replay(
    app: AsgiApp, path: str, headers: Mapping[str, str], journal: list[Frame]
) -> list[Frame]:
    """The app's answer to a whole journal: Start with the right count, and all entries."""
    start = decode(m.Start, journal[0].payload)
    start.known_entries = len(journal) - 1
    entries = [encode_frame(frame.type, frame.payload) for frame in journal[1:]]
    body = encode_frame(T.START, encode(start)) + b"".join(entries)
    reader, frames = FrameReader(), []
    exchange = Exchange(app, "POST", path, headers, body)
    try:
        if (await exchange.head()).status == 200:
            async for part in exchange.body():
                frames += reader.feed(part)
    except ConnectionError:
        pass  # not what is looked for here
    finally:
        await exchange.close()
    return frames


class _Extreme(random.Random):
    """Gives its lowest or its highest value, whatever it is asked for."""

    high = False

    def random(self) -> float:
        return 1 - 2**-53 if self.high else 0.0

    def getrandbits(self, k: int, /) -> int:
        return (1 << k) - 1 if self.high else 0

    def _randbelow(self, n: int) -> int:
        return n - 1 if self.high else 0


class _Highest(_Extreme):
    high = True


_EXTREMES: Final = {False: _Extreme(), True: _Highest()}


def _choosing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        high = _loaded.get()
        chosen = real if high is None else getattr(_EXTREMES[high], name)
        return chosen(*args, **kwargs)

    return function
