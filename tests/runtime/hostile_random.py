"""Random answers: valid commands, captured frames, and what becomes of both when they are damaged.

Everything follows from the random generator that is passed in, so that a seed tells an answer
again, apart from the ids of invocations and the timing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from steadfaas import ids
from steadfaas.wire import messages as m
from steadfaas.wire.fields import Message
from steadfaas.wire.frame import HEADER_SIZE, encode_frame
from steadfaas.wire.messages import MESSAGES
from tests.runtime.endpoint import END, Exchange, complete, frame
from tests.runtime.hostile_world import FLOW, OBJECT, PLAIN
from tests.wire.samples import frames as captured_frames

# Called handlers with this input behave; otherwise calls would multiply without end.
BEHAVE: Final = b'"behave"'
_CAPTURED: Final = sorted({sample.raw for sample in captured_frames()})
_TYPES: Final = sorted(MESSAGES)
_ODD_TYPES: Final = [0x0008, 0x040F, 0x0415, 0x8014, 0xFBFE, 0xFC00, 0xFFFF]
_TEXTS: Final = ["", "a", "k1", "\x00", "\uffff", "é/%", "x" * 300]
_NUMBERS: Final = [0, 1, 2, 17, 2**31, 2**32 - 1]
_TIMES: Final = [0, 1, 2**62, 2**63, 2**64 - 1]


class Fuzz:
    """Makes answers. `peers` are invocations that were seen: targets for signals and the like."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.peers: list[str] = []

    async def __call__(self, exchange: Exchange) -> None:
        """A script: a random answer, which is a good one now and then."""
        start = exchange.start
        if exchange.input == BEHAVE:
            await complete(exchange)
            return
        self.peers.append(start.debug_id)
        del self.peers[:-200]
        name = exchange.input.decode("utf-8", "replace")
        count = f"{len(exchange.journal)}/{start.retry_count_since_last_stored_entry}"
        random = Random(f"{self._seed}/{name}/{count}")
        if random.random() < 0.2:
            await complete(exchange)
        else:
            await deliver(random, exchange, self._answer(random, exchange))

    def _answer(self, random: Random, exchange: Exchange) -> list[bytes]:
        fresh = 1 + sum(len(each.payload) > 0 for each in exchange.journal) * 2
        issued: list[int] = []
        parts: list[bytes] = []
        for _ in range(random.choice((0, 0, 1, 1, 2, 3, 8))):
            choice = random.random()
            if choice < 0.75:
                part = self._command(random, exchange, fresh, issued)
                fresh += 2
            elif choice < 0.9:
                part = random.choice(_CAPTURED)
            else:
                frame_type = random.choice([*_TYPES, *_ODD_TYPES])
                part = encode_frame(frame_type, random.randbytes(random.randrange(40)))
            parts.append(damage(random, part) if random.random() < 0.1 else part)
        closing = self._closing(random, issued)
        parts.append(damage(random, closing) if random.random() < 0.1 else closing)
        if random.random() < 0.1:
            parts.append(random.choice(_CAPTURED))
        return parts

    def _command(self, random: Random, exchange: Exchange, fresh: int, issued: list[int]) -> bytes:
        completion = fresh if random.random() < 0.95 else random.choice(_NUMBERS)
        text = random.choice(_TEXTS)
        makers = _COMMANDS[: _ANYWHERE if f"/{PLAIN}/" in exchange.path else None]
        maker = random.choice(makers if random.random() < 0.95 else _COMMANDS)
        message = maker(random, completion, text, self._peer(random))
        issued.append(completion)
        made = frame(message)
        if isinstance(message, m.RunCommand) and random.random() < 0.8:
            made += frame(m.ProposeRunCompletion(result_completion_id=completion, value=b"1"))
        return made

    def _peer(self, random: Random) -> str:
        if random.random() < 0.8 and self.peers:
            return random.choice(self.peers)
        return ids.format_invocation(bytes(24)) if random.random() < 0.8 else random.choice(_TEXTS)

    def _closing(self, random: Random, issued: list[int]) -> bytes:
        choice = random.random()
        if choice < 0.35:
            return frame(
                m.Suspension(
                    waiting_completions=random.sample(issued, random.randint(0, len(issued))),
                    waiting_signals=random.choice(([1], [1, 17], [], [99])),
                    waiting_named_signals=random.choice(([], [], ["k1"])),
                )
            )
        if choice < 0.6:
            given = m.Value(content=random.randbytes(5))
            failed = m.Failure(code=random.choice([*_NUMBERS, 409, 500]), message="no")
            last = m.OutputCommand(value=given) if choice < 0.5 else m.OutputCommand(failure=failed)
            return frame(last) + END
        if choice < 0.8:
            wait = random.choice((None, None, 30, 100))
            code = random.choice((0, 500, 570, 2**32 - 1))
            index = random.choice((None, 0, 1, 2**32 - 1))
            return frame(
                m.Error(code=code, message="no", next_retry_delay=wait, related_command_index=index)
            )
        return END if choice < 0.9 else b""


_Maker = Callable[[Random, int, str, str], Message]


def _call(random: Random, completion: int, text: str, _: str) -> Message:
    service, handler, key = random.choice(
        ((PLAIN, "run", ""), (OBJECT, "run", text), (OBJECT, "look", text), (FLOW, "run", text),
         (FLOW, "look", text), ("Nowhere", "run", ""), (PLAIN, "run", text))
    )  # fmt: skip
    once = random.choice((None, None, None, "", "once"))
    if random.random() < 0.5:
        return m.OneWayCallCommand(
            service_name=service, handler_name=handler, parameter=BEHAVE, key=key,
            invoke_time=random.choice(_TIMES), idempotency_key=once,
            invocation_id_notification_idx=completion,
        )  # fmt: skip
    return m.CallCommand(
        service_name=service, handler_name=handler, parameter=BEHAVE, key=key,
        idempotency_key=once, invocation_id_notification_idx=completion + 1 & 0xFFFFFFFF,
        result_completion_id=completion,
    )  # fmt: skip


def _signal(random: Random, _: int, text: str, peer: str) -> Message:
    index = random.choice((1, 17, 99, None))
    return m.SendSignalCommand(
        target_invocation_id=peer,
        idx=index,
        signal_name=None if index is not None else text,
        void=m.Void() if random.random() < 0.9 else None,
    )


def _awakeable(random: Random, _: int, text: str, peer: str) -> Message:
    try:
        id = ids.format_awakeable(ids.parse_invocation(peer), random.choice((0, 1, 17, 99)))
    except ids.InvalidId:
        id = text
    return m.CompleteAwakeableCommand(awakeable_id=id, value=m.Value(content=b"woken"))


_COMMANDS: Final[list[_Maker]] = [
    _call,
    _signal,
    _awakeable,
    lambda random, completion, text, peer: m.RunCommand(result_completion_id=completion, name=text),
    lambda random, completion, text, peer: m.SleepCommand(
        wake_up_time=random.choice(_TIMES), result_completion_id=completion
    ),
    lambda random, completion, text, peer: m.AttachInvocationCommand(
        invocation_id=peer, result_completion_id=completion
    ),
    lambda random, completion, text, peer: m.GetInvocationOutputCommand(
        invocation_id=peer, result_completion_id=completion
    ),
    lambda random, completion, text, peer: m.OutputCommand(value=m.Value(content=text.encode())),
    lambda random, completion, text, peer: m.SetStateCommand(
        key=text.encode(), value=m.Value(content=random.randbytes(9))
    ),
    lambda random, completion, text, peer: m.ClearStateCommand(key=text.encode()),
    lambda random, completion, text, peer: m.ClearAllStateCommand(),
    lambda random, completion, text, peer: m.GetLazyStateCommand(
        key=text.encode(), result_completion_id=completion
    ),
    lambda random, completion, text, peer: m.GetLazyStateKeysCommand(
        result_completion_id=completion
    ),
    lambda random, completion, text, peer: m.GetPromiseCommand(
        key=text, result_completion_id=completion
    ),
    lambda random, completion, text, peer: m.PeekPromiseCommand(
        key=text, result_completion_id=completion
    ),
    lambda random, completion, text, peer: m.CompletePromiseCommand(
        key=text, completion_value=m.Value(), result_completion_id=completion
    ),
]
# The first ones may be issued by any handler; the others need state or promises.
_ANYWHERE: Final = 8


# --- damage ------------------------------------------------------------------------------------


def damage(random: Random, raw: bytes) -> bytes:
    """A frame that something happened to."""
    payload = bytearray(raw[HEADER_SIZE:])
    kind = random.randrange(8)
    if kind == 0 and payload:
        for _ in range(random.randint(1, 4)):
            payload[random.randrange(len(payload))] ^= 1 << random.randrange(8)
    elif kind == 1:
        del payload[random.randint(0, len(payload)) :]
    elif kind == 2:
        payload += random.randbytes(random.randint(1, 9))
    elif kind == 3 and payload:
        start = random.randrange(len(payload))
        del payload[start : start + random.randint(1, 4)]
    elif kind == 4:
        payload *= 2
    elif kind == 5:  # a length that lies
        length = random.choice((0, len(payload) + 1, len(payload) + 200, 2**31, 2**32 - 1))
        return raw[:4] + length.to_bytes(4, "big") + bytes(payload)
    elif kind == 6:
        return raw[: random.randint(0, len(raw))]
    else:
        raw = random.choice(_TYPES).to_bytes(2, "big") + random.randbytes(2) + raw[4:]
    return raw[:4] + len(payload).to_bytes(4, "big") + bytes(payload)


# --- delivery ----------------------------------------------------------------------------------


async def deliver(random: Random, exchange: Exchange, parts: list[bytes]) -> None:
    """Send an answer in random pieces, with pauses; now and then cut it, or spoil its head."""
    if random.random() < 0.05:
        status = random.choice((100, 204, 302, 404, 413, 415, 429, 500, 502, 503, 999))
        await exchange.head(status, headers={"content-length": "0"}, chunked=False)
        if status >= 200:
            exchange.finished = True
        else:
            await exchange.close()
        return
    data = b"".join(parts)
    cut = random.random() < 0.1
    if cut:
        data = data[: random.randint(0, len(data))]
    wrong = "text/html" if random.random() < 0.02 else ""
    await exchange.head(content_type=wrong, chunked=random.random() < 0.9)
    while data:
        size = random.choice((1, 7, 8, 9, 50, len(data)))
        await exchange.send(data[:size])
        data = data[size:]
        if random.random() < 0.2:
            await asyncio.sleep(random.random() * 0.005)
    if cut and random.random() < 0.5:
        await exchange.reset()
    elif cut:
        await exchange.close()
    else:
        await exchange.end()
        if not exchange.chunked:
            await exchange.close()
