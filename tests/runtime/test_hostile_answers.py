"""A table of odd answers, all given at once to one engine.

Each row is an invocation whose handler answers oddly. All of them run together for a second, beside
well-behaved work. Then the engine is stopped and its store checked; then it starts again and the
endpoint behaves, and everything must come to an end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from steadfaas import ids
from steadfaas.machine.commands import COMMANDS
from steadfaas.wire import messages as m
from steadfaas.wire.fields import Message
from steadfaas.wire.frame import encode_frame
from steadfaas.wire.messages import MESSAGES
from steadfaas.wire.messages import MessageType as T
from tests.runtime.endpoint import (
    END,
    Endpoint,
    Exchange,
    Json,
    answers,
    complete,
    frame,
    output,
    run,
    suspension,
)
from tests.runtime.hostile_world import (
    FLOW,
    OBJECT,
    PLAIN,
    RETRIES,
    SERVICES,
    Control,
    Reply,
    World,
    attempts_of,
    check_store,
    fine,
    hostile,
    path_of,
    running,
)

# Over real sockets, in real time.
pytestmark = pytest.mark.e2e

MAX32, MAX64 = 2**32 - 1, 2**64 - 1
# The most exchanges in the first second that are still "a handful".
HANDFUL = 8
# Another attempt would be as large.
GIVEN_UP = {"RT0003", "RT0019"}
MOST_ATTEMPTS = RETRIES["retryPolicyMaxAttempts"]
NOBODY = ids.format_invocation(bytes(24))
DONE = output() + END
WAITING = "suspended"
COMPLETED = "completed"

Answer = bytes | Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Odd:
    """An odd answer, and what is to come of it: an RT code, WAITING or COMPLETED."""

    name: str
    answer: Answer
    expected: str
    kind: str = PLAIN
    handler: str = "run"
    result: bytes = b'"done"'  # in the end
    most: int = HANDFUL


def once(first: bytes, then: bytes | None = None) -> Answer:
    """This answer while the journal holds nothing but the input; afterwards another, or good."""

    async def script(exchange: Exchange) -> None:
        if len(exchange.journal) == 1:
            await exchange.answer(first)
        elif then is not None:
            await exchange.answer(then)
        else:
            await complete(exchange)

    return script


def kept(odd: bytes) -> Answer:
    """A good step before the odd frame: the step must stay, and come back with the retry."""

    async def script(exchange: Exchange) -> None:
        if exchange.start.retry_count_since_last_stored_entry == 0 and len(exchange.journal) == 1:
            await exchange.answer(STEP, odd)
        else:
            assert [each.type for each in exchange.journal] == [T.INPUT, T.RUN]
            await exchange.answer(odd)

    return script


def http(status: int = 200, **head: str | None) -> Answer:
    """An answer whose head is odd."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(status, **head)  # type: ignore[arg-type]
        await exchange.send(b"" if status == 204 else DONE)
        await exchange.end()

    return script


def to_itself(make: Callable[[str], Message], then: bytes) -> Answer:
    """A command that needs the invocation's own id."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(frame(make(exchange.start.debug_id)), then)

    return script


async def _cut(exchange: Exchange) -> None:
    await exchange.head()
    if len(exchange.journal) == 1:
        await exchange.send(STEP)
    await exchange.reset()


async def _silent(exchange: Exchange) -> None:
    await exchange.head()


def failure(code: int) -> bytes:
    return frame(m.OutputCommand(failure=m.Failure(code=code, message="on purpose"))) + END


def error(**fields: object) -> bytes:
    return frame(m.Error(**fields))  # type: ignore[arg-type]


def call(service: str = PLAIN, handler: str = "fine", **fields: object) -> bytes:
    given = {"invocation_id_notification_idx": 1, "result_completion_id": 2, **fields}
    return frame(m.CallCommand(service_name=service, handler_name=handler, **given))  # type: ignore[arg-type]


def send(service: str = PLAIN, handler: str = "fine", **fields: object) -> bytes:
    given = {"invocation_id_notification_idx": 1, **fields}
    return frame(m.OneWayCallCommand(service_name=service, handler_name=handler, **given))  # type: ignore[arg-type]


def sleep(at: int, completion: int = 1) -> bytes:
    return frame(m.SleepCommand(wake_up_time=at, result_completion_id=completion))


def propose(completion: int = 1, value: bytes | None = b"1") -> bytes:
    return frame(m.ProposeRunCompletion(result_completion_id=completion, value=value))


def set_state(key: bytes = b"k", value: bytes = b"v") -> bytes:
    return frame(m.SetStateCommand(key=key, value=m.Value(content=value)))


STEP = frame(m.RunCommand(result_completion_id=1, name="step"))
PAST_SLEEP = sleep(1)


# --- the table ---------------------------------------------------------------------------------


def closings() -> Iterator[Odd]:
    yield Odd("end without output", END, "RT0012")
    yield Odd("end without output, after a step", kept(END), "RT0012")
    yield Odd("empty answer", b"", "RT0007")
    yield Odd("no closing frame", kept(b""), "RT0007")
    yield Odd("output twice", output(b"1") + output(b"2") + END, COMPLETED, result=b"2")
    yield Odd("output, step, output", output(b"1") + STEP + output(b"2") + END, COMPLETED,
              result=b"2")  # fmt: skip
    yield Odd("output without end", once(output(b"7"), b""), "RT0007", result=b"7")
    yield Odd("output with nothing in it", frame(m.OutputCommand()), "RT0012")
    yield Odd(
        "output, then suspended",
        once(output(b"7") + sleep(MAX64) + suspension(1)),
        WAITING,
        result=b"7",
    )
    yield Odd("output, then an error", once(output(b"7") + error(), error()), "RT0007", result=b"7")
    yield Odd("end that is not empty", output() + encode_frame(T.END, b"\xff\xff"), COMPLETED)
    yield Odd("frames behind the end", DONE + STEP + END + b"\x00", COMPLETED)
    yield Odd("bad frames behind the end", DONE + encode_frame(0xFC00, b"x") * 3, COMPLETED)
    yield Odd("frames behind a suspension", sleep(MAX64) + suspension(1) + DONE, WAITING)
    yield Odd("ends inside a frame", kept(sleep(1, 9)[:-1]), "RT0012")
    yield Odd("ends inside a header", kept(b"\x04\x11"), "RT0012")
    yield Odd("empty output", output(b"") + END, COMPLETED, result=b"")


def unknown_frames() -> Iterator[Odd]:
    known_to_engine = {T.START, T.COMMAND_ACK, T.AWAITING_ON, T.PROPOSE_RUN_COMPLETION_ACK}
    strange = {0x0008, 0x00FF, 0x03FF, 0x040F, 0x0415, 0x0500, 0x7FFF, 0x8000, 0x800F, 0x8014,
               0xFBFE, 0xFC00, 0xFCFF, 0xFFFF}  # fmt: skip
    notifications = {each for each in MESSAGES if each >= 0x8000}
    for frame_type in sorted({*known_to_engine, *strange, *notifications, T.INPUT}):
        yield Odd(f"frame type {frame_type:#06x}", kept(encode_frame(frame_type, b"")), "RT0012")
    completion = m.Completion(completion_id=1, value=m.Value(content=b"forged"))
    yield Odd("forged run completion", kept(frame(completion, type=T.RUN_COMPLETION)), "RT0012")
    forged = m.SignalNotification(idx=1, void=m.Void())
    yield Odd("forged signal", kept(frame(forged)), "RT0012")
    flagged = b"".join(
        part[:2] + b"\xff\xff" + part[4:]
        for part in (STEP, propose(), frame(m.ClearAllStateCommand()), output(), END)
    )
    yield Odd("all flags set", flagged, COMPLETED, kind=OBJECT)


def malformed() -> Iterator[Odd]:
    faults = {
        "cut": b"\x0a\x7fx",
        "varint": b"\x58" + b"\xff" * 11,
        "wire type 7": b"\x0f",
        "open group": b"\xfb\x01",
        "field 0": b"\x00\x00",
    }
    types = [*COMMANDS, T.PROPOSE_RUN_COMPLETION, T.SUSPENSION, T.ERROR]
    for frame_type in types:
        for fault, payload in faults.items():
            yield Odd(
                f"malformed {T(frame_type).name}: {fault}",
                kept(encode_frame(frame_type, payload)),
                "RT0012",
            )
    yield Odd(
        "text that is not UTF-8", kept(encode_frame(T.RUN, b"\x58\x08\x62\x02\xc3\x28")), "RT0012"
    )


def kinds() -> Iterator[Odd]:
    writes: list[Message] = [
        m.SetStateCommand(key=b"k", value=m.Value()),
        m.ClearStateCommand(key=b"k"),
        m.ClearAllStateCommand(),
    ]
    reads: list[Message] = [
        m.GetLazyStateCommand(key=b"k", result_completion_id=1),
        m.GetLazyStateKeysCommand(result_completion_id=1),
        m.GetEagerStateCommand(key=b"k", void=m.Void()),
        m.GetEagerStateKeysCommand(value=m.StateKeys()),
    ]
    promises: list[Message] = [
        m.GetPromiseCommand(key="p", result_completion_id=1),
        m.PeekPromiseCommand(key="p", result_completion_id=1),
        m.CompletePromiseCommand(key="p", completion_value=m.Value(), result_completion_id=1),
    ]
    for each in [*writes, *reads, *promises]:
        name = type(each).__name__
        yield Odd(f"{name} from a plain service", frame(each) + DONE, "RT0017")
    for each in writes:
        for kind in (OBJECT, FLOW):
            yield Odd(f"{type(each).__name__} from a shared handler of {kind}",
                      frame(each) + DONE, "RT0017", kind, "look")  # fmt: skip
    for each in promises:
        yield Odd(f"{type(each).__name__} from an object", frame(each) + DONE, "RT0017", OBJECT)


def identifiers() -> Iterator[Odd]:
    zero: list[Message] = [
        m.RunCommand(),
        m.SleepCommand(wake_up_time=1),
        m.AttachInvocationCommand(invocation_id=NOBODY),
        m.GetInvocationOutputCommand(invocation_id=NOBODY),
    ]
    for each in zero:
        yield Odd(f"{type(each).__name__} with id 0", kept(frame(each)), "RT0012")
    yield Odd("call with id 0", kept(call(result_completion_id=0,
              invocation_id_notification_idx=9)), "RT0012")  # fmt: skip
    yield Odd("call whose ids are one", kept(call(result_completion_id=9,
              invocation_id_notification_idx=9)), "RT0012")  # fmt: skip
    yield Odd("send with id 0", kept(send(invocation_id_notification_idx=0)), "RT0012")
    yield Odd("id used twice", sleep(MAX64, 5) + sleep(MAX64, 5), "RT0012")
    yield Odd("id of a completed one used again", PAST_SLEEP + PAST_SLEEP, "RT0012")
    yield Odd("largest id", once(sleep(1, MAX32) + suspension(MAX32)), COMPLETED)
    yield Odd("id beyond 32 bits", once(encode_frame(T.SLEEP, b"\x58\x81\x80\x80\x80\x10")
              + suspension(1)), COMPLETED)  # fmt: skip
    yield Odd("attach to a malformed id", frame(m.AttachInvocationCommand(
              invocation_id="inv_1!", result_completion_id=1)), "RT0017")  # fmt: skip
    yield Odd("attach to nothing", frame(m.AttachInvocationCommand(result_completion_id=1)),
              "RT0012")  # fmt: skip
    yield Odd("attach to nobody", once(frame(m.AttachInvocationCommand(invocation_id=NOBODY,
              result_completion_id=1)) + suspension(1)), COMPLETED)  # fmt: skip
    yield Odd("attach to a strange workflow", once(frame(m.AttachInvocationCommand(
              workflow_target=m.WorkflowTarget(workflow_name="\x00", workflow_key="\uffff"),
              result_completion_id=1)) + suspension(1)), COMPLETED)  # fmt: skip
    yield Odd("output of an empty target", once(frame(m.GetInvocationOutputCommand(
              idempotent_request_target=m.IdempotentRequestTarget(), result_completion_id=1))
              + suspension(1)), COMPLETED)  # fmt: skip
    for text in ("", "inv_", "inv_1", "inv_2" + "0" * 33, "inv_1" + "0" * 34, "inv_1" + "é" * 33,
                 "inv_1" + "Z" * 33, "\x00", "x" * 100_000):  # fmt: skip
        yield Odd(f"signal to {text[:12]!a}/{len(text)}", frame(m.SendSignalCommand(
                  target_invocation_id=text, idx=17, void=m.Void())), "RT0017")  # fmt: skip
    for text in ("", "sign_1", "prom_1abc", "sign_1" + "A" * 38 + "=", "sign_1" + "é" * 38,
                 "sign_1" + "A" * 37, "sign_1" + "=" * 38, NOBODY):  # fmt: skip
        yield Odd(f"awakeable {text[:12]!a}/{len(text)}", frame(m.CompleteAwakeableCommand(
                  awakeable_id=text, value=m.Value())), "RT0017")  # fmt: skip
    yield Odd("awakeable of nobody", frame(m.CompleteAwakeableCommand(
              awakeable_id=ids.format_awakeable(bytes(24), MAX32), value=m.Value())) + DONE,
              COMPLETED)  # fmt: skip
    yield Odd("awakeable without a result", frame(m.CompleteAwakeableCommand(
              awakeable_id=ids.format_awakeable(bytes(24), 17))), "RT0012")  # fmt: skip
    yield Odd("signal to nobody", frame(m.SendSignalCommand(target_invocation_id=NOBODY,
              signal_name="\x00\uffff", value=m.Value())) + DONE, COMPLETED)  # fmt: skip
    yield Odd("signal without a name", frame(m.SendSignalCommand(
              target_invocation_id=NOBODY, void=m.Void())), "RT0012")  # fmt: skip
    yield Odd("signal without a result", frame(m.SendSignalCommand(
              target_invocation_id=NOBODY, idx=17)), "RT0012")  # fmt: skip


def suspensions() -> Iterator[Odd]:
    yield Odd("suspension without anything", kept(suspension(signals=())), "RT0012")
    yield Odd("suspension on an unknown id", kept(suspension(7)), "RT0012")
    yield Odd("suspension on id 0", kept(suspension(0)), "RT0012")
    yield Odd("suspension on an id and an unknown one", kept(suspension(1, 7)), "RT0012")
    yield Odd("suspension on an unproposed step", kept(suspension(1)), "RT0012")
    yield Odd("suspension on the past, again and again", once(PAST_SLEEP + suspension(1),
              suspension(1)), "RT0012")  # fmt: skip
    yield Odd("suspension as a tree", frame(m.Suspension(
              awaiting_on=m.Future(waiting_signals=[1]))), "RT0012")  # fmt: skip
    yield Odd("suspension on a thousand signals", suspension(signals=tuple(range(17, 1017))),
              WAITING)  # fmt: skip
    yield Odd("suspension on strange names", suspension(named=("", "\x00", "\uffff", "x" * 65536)),
              WAITING)  # fmt: skip
    yield Odd("suspension on the same id a thousand times", sleep(MAX64) + suspension(*[1] * 1000),
              WAITING)  # fmt: skip
    yield Odd("suspension of two megabytes", suspension(named=("x" * 2_000_000,)), "RT0012")
    yield Odd("suspension on signal 0", suspension(signals=(0,)), WAITING)
    yield Odd("suspension on the largest signal", suspension(signals=(MAX32,)), WAITING)


def proposals() -> Iterator[Odd]:
    yield Odd("proposal without a step", propose(), "RT0012")
    yield Odd("proposal with id 0", kept(propose(0)), "RT0012")
    yield Odd("proposal for another id", kept(propose(2)), "RT0012")
    yield Odd("proposal without a result", kept(propose(1, None)), "RT0012")
    yield Odd("proposal twice", once(STEP + propose() + propose(), propose()), "RT0012")
    yield Odd("proposal for a sleep", once(sleep(MAX64) + propose(), propose()), "RT0012")
    yield Odd("proposal of a failure", once(STEP + frame(m.ProposeRunCompletion(
              result_completion_id=1, failure=m.Failure(code=MAX32, message="\x00"))) +
              suspension(1)), COMPLETED)  # fmt: skip


def calls() -> Iterator[Odd]:
    yield Odd("call of an unknown service", call("Nowhere"), "RT0018")
    yield Odd("call of an unknown handler", call(handler="nothing"), "RT0018")
    yield Odd("call of a service without a name", call("", ""), "RT0018")
    yield Odd("call of a name with NUL", call("Plain\x00", "fine"), "RT0018")
    yield Odd("call of a name of a megabyte", call("x" * 1_000_000), "RT0018")
    yield Odd("send to an unknown service", send("Nowhere"), "RT0018")
    yield Odd("call of a plain service with a key", call(key="k"), "RT0017")
    yield Odd("call with an empty idempotency key", call(idempotency_key=""), "RT0017")
    yield Odd("call of a workflow with an idempotency key",
              call(FLOW, "run", key="w", idempotency_key="i"), "RT0017")  # fmt: skip
    yield Odd("call with a scope", call(scope="s"), "RT0024")
    yield Odd("call with an empty scope", call(scope=""), "RT0024")
    yield Odd("call with a limit key", call(limit_key="l"), "RT0024")
    yield Odd("send with a scope", send(scope="s"), "RT0024")
    for key in ("", "\x00", "a\x00b", "\uffff\U0010ffff\ufdd0", "/../%2F?#", "é" * 999,
                "k" * 65_536, "\r\nx: y"):  # fmt: skip
        yield Odd(f"call with the key {key[:9]!a}/{len(key)}",
                  once(call(OBJECT, key=key) + suspension(2)), COMPLETED)  # fmt: skip
    yield Odd("call with strange headers", once(call(headers=[m.Header(key="", value="\x00"),
              m.Header(key="host", value="a\r\nb: c"), m.Header(key="\uffff", value="x" * 99_999)])
              + suspension(2)), COMPLETED)  # fmt: skip
    yield Odd("call with a strange idempotency key", once(call(idempotency_key="\x00\uffff,1:a")
              + suspension(2)), COMPLETED)  # fmt: skip
    yield Odd("send at the end of time", send(invoke_time=MAX64) + DONE, COMPLETED)
    yield Odd("send at the largest signed time", send(invoke_time=2**63 - 1) + DONE, COMPLETED)
    yield Odd("send in the past", send(invoke_time=1) + DONE, COMPLETED)


def times() -> Iterator[Odd]:
    for at in (0, 1):
        yield Odd(f"sleep until {at}", once(sleep(at) + suspension(1)), COMPLETED)
    for at in (2**62, 2**63 - 1, 2**63, MAX64):
        yield Odd(f"sleep until {at}", sleep(at) + suspension(1), WAITING)


def errors() -> Iterator[Odd]:
    for code in (0, 200, 409, 500, 571, MAX32):
        yield Odd(f"error {code}", error(code=code, message="no"), "RT0007")
    yield Odd("error without anything", error(), "RT0007")
    yield Odd("error of another kind", error(code=570, related_command_index=MAX32,
              related_command_type=MAX32, related_command_name="\x00\uffff"), "RT0016")  # fmt: skip
    yield Odd("error about the input", error(code=570, related_command_index=0,
              related_command_type=T.INPUT), "RT0016")  # fmt: skip
    yield Odd("error with a huge text", error(message="m" * 3_000_000,
              stacktrace="\x00" * 3_000_000), "RT0007")  # fmt: skip
    yield Odd("error of an unknown behaviour", error(behavior=77), "RT0007")
    yield Odd("error with a delay without end", error(next_retry_delay=MAX64), "RT0007")
    yield Odd("something stored and an error, again and again", set_state() + error(), "RT0007",
              OBJECT)  # fmt: skip


def failures() -> Iterator[Odd]:
    for code in (0, 99, 100, 199, 200, 204, 304, 400, 404, 409, 500, 599, 999, 1000, MAX32):
        yield Odd(f"failure {code}", failure(code), COMPLETED)


def heads() -> Iterator[Odd]:
    for status, code in ((404, "RT0012"), (413, "RT0019"), (415, "RT0015"), (500, "RT0012"),
                         (502, "RT0010"), (504, "RT0010"), (429, "RT0023"), (503, "RT0023"),
                         (302, "RT0012"), (204, "RT0012")):  # fmt: skip
        yield Odd(f"status {status}", http(status), code)
    yield Odd("another content type", http(content_type="application/json"), "RT0012")
    yield Odd("no content type", http(content_type=None), "RT0012")
    yield Odd("retry after nothing", http(429, headers={"retry-after": "0"}), "RT0023")  # type: ignore[arg-type]
    yield Odd("cut after a step", _cut, "RT0010")
    yield Odd("silence", _silent, "RT0001", handler="hasty")
    # A kept connection that breaks at once is replaced within the attempt.
    yield Odd("reset", Exchange.reset, "RT0010", most=3 * HANDFUL)


def itself() -> Iterator[Odd]:
    yield Odd("attach to itself", to_itself(lambda id: m.AttachInvocationCommand(
              invocation_id=id, result_completion_id=1), suspension(1)), WAITING)  # fmt: skip
    yield Odd("output of itself", to_itself(lambda id: m.GetInvocationOutputCommand(
              invocation_id=id, result_completion_id=1), DONE), COMPLETED)  # fmt: skip
    yield Odd("attach to itself, and end", to_itself(lambda id: m.AttachInvocationCommand(
              invocation_id=id, result_completion_id=1), DONE), COMPLETED)  # fmt: skip
    yield Odd("signal to itself", to_itself(lambda id: m.SendSignalCommand(
              target_invocation_id=id, idx=17, void=m.Void()), DONE), COMPLETED)  # fmt: skip
    yield Odd("cancel itself", to_itself(lambda id: m.SendSignalCommand(
              target_invocation_id=id, idx=1, void=m.Void()), DONE), COMPLETED)  # fmt: skip
    yield Odd("workflow that calls itself", once(call(FLOW, "run", key="workflow that calls itself")
              + suspension(2)), COMPLETED, FLOW)  # fmt: skip


def state() -> Iterator[Odd]:
    for key in (b"", b"\x00", b"\xff\xfe", "\uffff".encode(), b"k" * 65_536):
        read = frame(m.GetLazyStateCommand(key=key, result_completion_id=1))
        yield Odd(f"state under {key[:6]!r}/{len(key)}",
                  once(set_state(key, b"\x00\xff") + read + suspension(1)), COMPLETED,
                  OBJECT)  # fmt: skip
    yield Odd("state without a value", frame(m.SetStateCommand(key=b"k")), "RT0012", OBJECT)
    yield Odd("state of a megabyte", set_state(value=bytes(1_000_000)) + DONE, COMPLETED, OBJECT)
    yield Odd("eager state that was never there", frame(m.GetEagerStateCommand(key=b"k",
              value=m.Value(content=b"invented"))) + DONE, COMPLETED, OBJECT)  # fmt: skip
    yield Odd("promise with a strange name", once(frame(m.CompletePromiseCommand(key="\x00\uffff",
              completion_failure=m.Failure(code=MAX32), result_completion_id=1)) + frame(
              m.GetPromiseCommand(key="\x00\uffff", result_completion_id=2)) + suspension(2)),
              COMPLETED, FLOW)  # fmt: skip
    yield Odd("promise without a result", frame(m.CompletePromiseCommand(key="p",
              result_completion_id=1)), "RT0012", FLOW)  # fmt: skip


TABLE = [
    *closings(), *unknown_frames(), *malformed(), *kinds(), *identifiers(), *suspensions(),
    *proposals(), *calls(), *times(), *errors(), *failures(), *heads(), *itself(), *state(),
]  # fmt: skip
ROWS = {odd.name: odd for odd in TABLE}
assert len(ROWS) == len(TABLE), "two rows have one name"


# --- playing it --------------------------------------------------------------------------------


@dataclass(slots=True)
class Story:
    """What became of a row: after a second and more, and after the restart."""

    id: str = ""
    after: Json = field(default_factory=dict)
    reply: Reply | None = None
    in_a_second: int = 0  # exchanges within a second of the first one
    end: Json = field(default_factory=dict)
    last_reply: Reply | None = None


async def play_row(exchange: Exchange) -> None:
    """Answer by the row that the request names."""
    if await fine(exchange):
        return
    answer = ROWS[exchange.input.decode()].answer
    await (answers(answer) if isinstance(answer, bytes) else answer)(exchange)


async def play(data_dir: Path) -> dict[str, Story]:
    """All rows at once, a restart, and an end."""
    stories = {name: Story() for name in ROWS}
    async with Endpoint(*SERVICES, script=play_row) as endpoint:
        async with hostile(data_dir, endpoint) as world:
            await give_all(world, stories)
            for story in stories.values():
                exchanges = attempts_of(endpoint, story.id)
                times = [each.at - exchanges[0].at for each in exchanges]
                story.in_a_second = sum(at <= 1 for at in times)
        check_store(data_dir)
        endpoint.script = complete
        async with running(data_dir) as world:
            await end_all(world, stories)
        check_store(data_dir)
    return stories


async def give_all(world: World, stories: dict[str, Story]) -> None:
    """Send them beside well-behaved work, and look at each when more than a second is over."""
    control = Control(world)
    async with control.beside():
        for name, row in ROWS.items():
            path = path_of(row.kind, name, row.handler)
            stories[name].id = await world.send(path, name.encode())
        await asyncio.sleep(1.2)
        for story in stories.values():
            story.after = await world.describe(story.id)
            story.reply = await world.output(story.id)
    assert control.calls > 10


async def end_all(world: World, stories: dict[str, Story]) -> None:
    """The endpoint behaves: whatever does not go on by itself soon is resumed."""
    for story in stories.values():
        now = await world.describe(story.id)
        waits = now["status"] in ("suspended", "paused")
        if waits or now.get("next_retry_at", "") > "2030":
            assert await world.act(story.id, "resume") == 200
    for story in stories.values():
        story.end = await world.until(story.id, COMPLETED)
        story.last_reply = await world.output(story.id)
    await Control(world).once()
    await world.until_idle()


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    return run(play(tmp_path_factory.mktemp("hostile")), seconds=240)


@pytest.mark.parametrize("name", ROWS)
def test_odd_answer(stories: dict[str, Story], name: str) -> None:
    row, story = ROWS[name], stories[name]
    assert 1 <= story.in_a_second <= row.most
    outcomes = {attempt["outcome"] for attempt in story.after["attempts"]}
    if row.expected == COMPLETED:
        assert story.after["status"] == COMPLETED, story.after
        assert outcomes <= {"suspended", COMPLETED}
    elif row.expected == WAITING:
        assert story.after["status"] == WAITING, story.after
        assert outcomes == {"suspended"}
        assert story.in_a_second == 1
    else:
        # On a slow machine the attempts of a row may be over before it is looked at.
        over = row.expected in GIVEN_UP or len(story.after["attempts"]) == MOST_ATTEMPTS
        going_on = ("paused",) if over else ("backing-off", "running")
        assert story.after["status"] in going_on, story.after
        assert story.after["last_failure"]["restate_code"] == row.expected, story.after
        assert outcomes - {"running", "suspended"} == {row.expected}
        assert len(str(story.after)) < 100_000


@pytest.mark.parametrize("name", ROWS)
def test_it_ends_when_the_endpoint_behaves(stories: dict[str, Story], name: str) -> None:
    row, story = ROWS[name], stories[name]
    assert story.end["status"] == COMPLETED
    assert story.last_reply is not None
    if row.expected == COMPLETED:
        assert story.reply is not None
        assert story.reply.body == story.last_reply.body
    if "failure" not in name:
        assert story.last_reply.status == 200
        assert story.last_reply.body == row.result


@pytest.mark.parametrize("code", [0, 99, 100, 199, 200, 204, 304, 999, 1000, MAX32, 400, 500])
def test_a_failure_is_always_told_as_one(stories: dict[str, Story], code: int) -> None:
    """Whatever number the handler chose: the body holds it, and the status is a final one."""
    reply = stories[f"failure {code}"].reply
    assert reply is not None
    assert reply.headers["x-restate-error-source"] == "invocation"
    document = json.loads(reply.body)
    assert (document["code"], document["message"]) == (code, "on purpose")
    assert 200 <= reply.status <= 999
    if 400 <= code <= 599:
        assert reply.status == code
    if code < 200 or code > 999 or code in (204, 304):
        assert reply.status == 500
