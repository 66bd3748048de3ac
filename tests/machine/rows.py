"""Tables of frames: what an endpoint may send, and what it may not.

Numbers of frame types are written out here as the protocol's own table has them, so that the
machine's table is compared with something else than itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from steadfaas import ids
from steadfaas.machine.invocation import Entry
from steadfaas.machine.status import Kind
from steadfaas.wire import messages as m
from steadfaas.wire.fields import Message
from steadfaas.wire.messages import MessageType as T
from tests.machine.scenario import RAW_ID, completed, entry, output, value

EVERY_KIND: Final = frozenset(Kind)
KEYED: Final = EVERY_KIND - {Kind.SERVICE}
WRITERS: Final = frozenset({Kind.OBJECT_EXCLUSIVE, Kind.WORKFLOW_RUN})
WORKFLOW: Final = frozenset({Kind.WORKFLOW_RUN, Kind.WORKFLOW_SHARED})

OTHER: Final = ids.format_invocation(bytes(range(24, 48)))
AWAKEABLE: Final = ids.format_awakeable(RAW_ID, 17)
FAILURE: Final = m.Failure(code=409, message="no")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command that is taken.

    `completions` maps the ids that it issues to the frame types that complete them; `results` says
    what each completion may carry. `performs`: something happens besides that it is stored.
    """

    what: str
    message: Message
    performs: bool = True
    completions: dict[int, int] = field(default_factory=dict)
    kinds: frozenset[Kind] = EVERY_KIND


def _call(**fields: Any) -> m.CallCommand:
    names = {"service_name": "Greeter", "handler_name": "greet", **fields}
    return m.CallCommand(invocation_id_notification_idx=1, result_completion_id=2, **names)


def _send(**fields: Any) -> m.OneWayCallCommand:
    names = {"service_name": "Greeter", "handler_name": "greet", **fields}
    return m.OneWayCallCommand(invocation_id_notification_idx=1, **names)


def _signal(**fields: Any) -> m.SendSignalCommand:
    return m.SendSignalCommand(target_invocation_id=OTHER, **fields)


def _attach(**fields: Any) -> m.AttachInvocationCommand:
    return m.AttachInvocationCommand(result_completion_id=1, **fields)


_BY_KEY: Final = m.IdempotentRequestTarget(
    service_name="Greeter", handler_name="greet", idempotency_key="i"
)
_BY_WORKFLOW: Final = m.WorkflowTarget(workflow_name="Signup", workflow_key="k")

# In the order of the protocol's table.
ACCEPTED: Final = [
    Accepted("output value", output(), performs=False),
    Accepted("output empty value", m.OutputCommand(value=m.Value()), performs=False),
    Accepted("output failure", m.OutputCommand(failure=FAILURE), performs=False),
    Accepted(
        "lazy state",
        m.GetLazyStateCommand(key=b"a", result_completion_id=1),
        completions={1: 0x8002},
        kinds=KEYED,
    ),
    Accepted("set state", m.SetStateCommand(key=b"a", value=value(b"1")), kinds=WRITERS),
    Accepted("set state to nothing", m.SetStateCommand(value=m.Value()), kinds=WRITERS),
    Accepted("clear state", m.ClearStateCommand(key=b"a"), kinds=WRITERS),
    Accepted("clear all state", m.ClearAllStateCommand(), kinds=WRITERS),
    Accepted(
        "lazy state keys",
        m.GetLazyStateKeysCommand(result_completion_id=1),
        completions={1: 0x8006},
        kinds=KEYED,
    ),
    Accepted(
        "eager state, absent",
        m.GetEagerStateCommand(key=b"a", void=m.Void()),
        performs=False,
        kinds=KEYED,
    ),
    Accepted(
        "eager state", m.GetEagerStateCommand(key=b"a", value=value(b"1")), False, kinds=KEYED
    ),
    Accepted(
        "eager state keys",
        m.GetEagerStateKeysCommand(value=m.StateKeys(keys=[b"a"])),
        performs=False,
        kinds=KEYED,
    ),
    Accepted(
        "get promise",
        m.GetPromiseCommand(key="p", result_completion_id=1),
        completions={1: 0x8009},
        kinds=WORKFLOW,
    ),
    Accepted(
        "peek promise",
        m.PeekPromiseCommand(key="p", result_completion_id=1),
        completions={1: 0x800A},
        kinds=WORKFLOW,
    ),
    Accepted(
        "resolve promise",
        m.CompletePromiseCommand(key="p", completion_value=value(b"1"), result_completion_id=1),
        completions={1: 0x800B},
        kinds=WORKFLOW,
    ),
    Accepted(
        "reject promise",
        m.CompletePromiseCommand(key="p", completion_failure=FAILURE, result_completion_id=1),
        completions={1: 0x800B},
        kinds=WORKFLOW,
    ),
    Accepted(
        "sleep",
        m.SleepCommand(wake_up_time=5, result_completion_id=1),
        completions={1: 0x800C},
    ),
    Accepted(
        "sleep for ever",
        m.SleepCommand(wake_up_time=2**64 - 1, result_completion_id=2**32 - 1),
        completions={2**32 - 1: 0x800C},
    ),
    Accepted("call", _call(parameter=b"1"), completions={1: 0x800E, 2: 0x800D}),
    Accepted(
        "call with a key",
        _call(service_name="Counter", handler_name="add", key="k", idempotency_key="i"),
        completions={1: 0x800E, 2: 0x800D},
    ),
    Accepted(
        "call with an empty key",
        _call(service_name="Counter", handler_name="get"),
        completions={1: 0x800E, 2: 0x800D},
    ),
    Accepted("send", _send(), completions={1: 0x800E}),
    Accepted("send at the end of time", _send(invoke_time=2**64 - 1), completions={1: 0x800E}),
    Accepted("signal void", _signal(idx=1, void=m.Void())),
    Accepted("signal value", _signal(signal_name="s", value=value(b"1"))),
    Accepted("signal failure", _signal(signal_name="", failure=FAILURE)),
    Accepted(
        "run", m.RunCommand(result_completion_id=1, name="step"), False, completions={1: 0x8011}
    ),
    Accepted("attach by id", _attach(invocation_id=OTHER), completions={1: 0x8012}),
    Accepted("attach by key", _attach(idempotent_request_target=_BY_KEY), completions={1: 0x8012}),
    Accepted("attach by workflow", _attach(workflow_target=_BY_WORKFLOW), completions={1: 0x8012}),
    Accepted(
        "get output",
        m.GetInvocationOutputCommand(invocation_id=OTHER, result_completion_id=1),
        completions={1: 0x8013},
    ),
    Accepted(
        "resolve awakeable", m.CompleteAwakeableCommand(awakeable_id=AWAKEABLE, value=value(b"1"))
    ),
    Accepted(
        "reject awakeable", m.CompleteAwakeableCommand(awakeable_id=AWAKEABLE, failure=FAILURE)
    ),
]


@dataclass(frozen=True, slots=True)
class Refused:
    """A frame that is not taken, the code it fails with, and words of the sentence."""

    what: str
    frame: Entry
    code: str = "RT0012"
    saying: str = ""
    kind: Kind = Kind.SERVICE
    journal: tuple[Entry, ...] = ()


_RUN: Final = entry(m.RunCommand(result_completion_id=1))
_SLEEP: Final = entry(m.SleepCommand(result_completion_id=1))
_SLEPT: Final = completed(0x800C, 1)
_RAN: Final = completed(0x8011, 1, value=value(b"1"))


def _wait(*completions: int, signals: tuple[int, ...] = (), names: tuple[str, ...] = ()) -> Entry:
    return entry(
        m.Suspension(
            waiting_completions=list(completions),
            waiting_signals=list(signals),
            waiting_named_signals=list(names),
        )
    )


def _propose(completion: int, **result: Any) -> Entry:
    return entry(m.ProposeRunCompletion(result_completion_id=completion, **result))


MALFORMED: Final = [
    Refused(f"{T(frame_type).name.lower()} cut short", (frame_type, b"\x0a\x05ab"), saying="read")
    for frame_type in (0x0001, 0x0002, 0x0005, 0x0401, 0x040C, 0x0414)
]

FORBIDDEN: Final = [
    Refused(f"frame {frame_type:#06x}", (frame_type, b""), saying="may not send")
    for frame_type in [
        # start, acks, what belongs to version 7, and the input
        *(0x0000, 0x0004, 0x0006, 0x0007, 0x0400),
        # numbers that nobody gave a meaning
        *(0x0008, 0x03FF, 0x040F, 0x0415, 0x7FFF, 0x8000, 0x8003, 0xFBFE, 0xFC00, 0xFFFF),
        # notifications
        *(0x8002, 0x8006, 0x8009, 0x800A, 0x800B, 0x800C, 0x800D, 0x800E),
        *(0x8011, 0x8012, 0x8013, 0xFBFF),
    ]
]

# An id of each command that has one: absent, taken by a command still open, taken and done.
COMPLETION_IDS: Final = [
    refused
    for accepted in ACCEPTED
    for at, completion in enumerate(accepted.completions)
    for refused in [
        Refused(
            f"{accepted.what}, id {at} again",
            entry(accepted.message),
            saying=f"{completion} is used twice",
            kind=min(accepted.kinds),
            journal=(entry(m.RunCommand(result_completion_id=completion)),),
        ),
        Refused(
            f"{accepted.what}, id {at} again, done",
            entry(accepted.message),
            saying=f"{completion} is used twice",
            kind=min(accepted.kinds),
            journal=(
                entry(m.RunCommand(result_completion_id=completion)),
                completed(0x8011, completion, value=value(b"1")),
            ),
        ),
    ]
]

NO_IDS: Final = [
    Refused(what, entry(message), saying="no completion id", kind=kind)
    for what, message, kind in [
        ("lazy state", m.GetLazyStateCommand(key=b"a"), Kind.OBJECT_SHARED),
        ("lazy keys", m.GetLazyStateKeysCommand(), Kind.OBJECT_SHARED),
        ("get promise", m.GetPromiseCommand(key="p"), Kind.WORKFLOW_RUN),
        ("peek promise", m.PeekPromiseCommand(key="p"), Kind.WORKFLOW_RUN),
        (
            "resolve promise",
            m.CompletePromiseCommand(key="p", completion_value=m.Value()),
            Kind.WORKFLOW_RUN,
        ),
        ("sleep", m.SleepCommand(wake_up_time=1), Kind.SERVICE),
        ("run", m.RunCommand(name="step"), Kind.SERVICE),
        ("attach", m.AttachInvocationCommand(invocation_id=OTHER), Kind.SERVICE),
        ("get output", m.GetInvocationOutputCommand(invocation_id=OTHER), Kind.SERVICE),
        (
            "call without any",
            m.CallCommand(service_name="Greeter", handler_name="greet"),
            Kind.SERVICE,
        ),
        (
            "call without the callee's",
            m.CallCommand(service_name="Greeter", handler_name="greet", result_completion_id=1),
            Kind.SERVICE,
        ),
        (
            "call without the result's",
            m.CallCommand(
                service_name="Greeter", handler_name="greet", invocation_id_notification_idx=1
            ),
            Kind.SERVICE,
        ),
        ("send", m.OneWayCallCommand(service_name="Greeter", handler_name="greet"), Kind.SERVICE),
    ]
]

PRECONDITIONS: Final = [
    Refused("call of nobody", entry(_call(service_name="Gone")), "RT0018", "'Gone/greet'"),
    Refused("call of no handler", entry(_call(handler_name="gone")), "RT0018", "'Greeter/gone'"),
    Refused("send to nobody", entry(_send(service_name="Gone")), "RT0018", "'Gone/greet'"),
    Refused("call with a key too many", entry(_call(key="k")), "RT0017", "takes no key"),
    Refused("send with a key too many", entry(_send(key="k")), "RT0017", "takes no key"),
    Refused("call, empty key", entry(_call(idempotency_key="")), "RT0017", "is empty"),
    Refused("send, empty key", entry(_send(idempotency_key="")), "RT0017", "is empty"),
    Refused(
        "call of a workflow with an idempotency key",
        entry(_call(service_name="Signup", handler_name="run", key="k", idempotency_key="i")),
        "RT0017",
        "takes no idempotency key",
    ),
    Refused("call with a scope", entry(_call(scope="s")), "RT0024"),
    Refused("call with a limit key", entry(_call(limit_key="")), "RT0024"),
    Refused("send with a scope", entry(_send(scope="")), "RT0024"),
    Refused(
        "both ids of a call alike",
        entry(
            m.CallCommand(
                service_name="Greeter",
                handler_name="greet",
                invocation_id_notification_idx=3,
                result_completion_id=3,
            )
        ),
        saying="3 is used twice",
    ),
    Refused("attach to nothing", entry(_attach()), saying="names no invocation"),
    Refused("attach to no id", entry(_attach(invocation_id="inv_1")), "RT0017", "inv_1"),
    Refused(
        "output of no id",
        entry(m.GetInvocationOutputCommand(invocation_id="", result_completion_id=1)),
        "RT0017",
    ),
    Refused(
        "signal to no id",
        entry(m.SendSignalCommand(target_invocation_id="dp_1", idx=1, void=m.Void())),
        "RT0017",
        "dp_1",
    ),
    Refused("signal without a name", entry(_signal(void=m.Void())), saying="neither an index nor"),
    Refused("signal without a result", entry(_signal(idx=17)), saying="no result"),
    Refused(
        "awakeable of no id",
        entry(m.CompleteAwakeableCommand(awakeable_id="sign_1", value=m.Value())),
        "RT0017",
    ),
    Refused(
        "awakeable that would cancel",
        entry(
            m.CompleteAwakeableCommand(
                awakeable_id=ids.format_awakeable(RAW_ID, 1), value=m.Value()
            )
        ),
        "RT0017",
        "signal 1 is reserved",
    ),
    Refused(
        "awakeable without a result",
        entry(m.CompleteAwakeableCommand(awakeable_id=AWAKEABLE)),
        saying="neither a value nor a failure",
    ),
    Refused(
        "promise without a result",
        entry(m.CompletePromiseCommand(key="p", result_completion_id=1)),
        saying="neither a value nor a failure",
        kind=Kind.WORKFLOW_RUN,
    ),
    Refused(
        "state without a value",
        entry(m.SetStateCommand(key=b"a")),
        saying="neither a value nor a failure",
        kind=Kind.OBJECT_EXCLUSIVE,
    ),
    Refused("output of nothing", entry(m.OutputCommand()), saying="neither a value nor a failure"),
]

WRONG_KIND: Final = [
    Refused(
        f"{accepted.what} in {kind.name.lower()}",
        entry(accepted.message),
        "RT0017",
        f"not allowed in a handler of kind {kind.name}",
        kind,
    )
    for accepted in ACCEPTED
    for kind in sorted(EVERY_KIND - accepted.kinds)
]

CLOSINGS: Final = [
    Refused("end without output", entry(m.End()), saying="without any output"),
    Refused("wait for nothing", _wait(), saying="waits for nothing"),
    Refused(
        "wait for a tree of version 7",
        entry(m.Suspension(awaiting_on=m.Future(waiting_signals=[1]))),
        saying="waits for nothing",
    ),
    Refused("wait for id 7", _wait(7, signals=(1,)), saying="7, which was never issued"),
    Refused("wait for id 0", _wait(0, signals=(1,)), saying="0, which was never issued"),
    Refused(
        "wait for 1 and 7", _wait(1, 7, signals=(1,)), saying="never issued", journal=(_SLEEP,)
    ),
    Refused(
        "wait for a run nobody proposed",
        _wait(1, signals=(1,)),
        saying="only for run steps",
        journal=(_RUN,),
    ),
    Refused(
        "wait for runs nobody proposed",
        _wait(1, 2),
        saying="only for run steps",
        journal=(_RUN, entry(m.RunCommand(result_completion_id=2))),
    ),
    Refused("wait for what is there", _wait(1), saying="already showed", journal=(_SLEEP, _SLEPT)),
    Refused(
        "wait for any, all are there",
        _wait(1, signals=(1, 17)),
        saying="already showed",
        journal=(_SLEEP, _SLEPT, entry(m.SignalNotification(idx=17, value=m.Value()))),
    ),
    Refused(
        "wait for a signal that is there",
        _wait(signals=(17, 1)),
        saying="already showed",
        journal=(entry(m.SignalNotification(idx=17, value=m.Value())),),
    ),
    Refused(
        "wait for a name that is there",
        _wait(signals=(1,), names=("n",)),
        saying="already showed",
        journal=(entry(m.SignalNotification(signal_name="n", void=m.Void())),),
    ),
    Refused(
        "a wait set of a megabyte",
        _wait(names=("n" * 1024 * 1024,)),
        saying="larger than 1048576 bytes",
    ),
    Refused("an error", entry(m.Error(code=500, message="boom")), "RT0007", "boom"),
    Refused("a mismatch", entry(m.Error(code=570, message="other")), "RT0016", "other"),
]

PROPOSALS: Final = [
    Refused("proposal for nobody", _propose(1, value=b"1"), saying="waits for completion id 1"),
    Refused("proposal for id 0", _propose(0, value=b"1"), saying="waits for completion id 0"),
    Refused(
        "proposal for a sleep",
        _propose(1, value=b"1"),
        saying="no run step waits",
        journal=(_SLEEP,),
    ),
    Refused(
        "second proposal",
        _propose(1, value=b"2"),
        saying="no run step waits",
        journal=(_RUN, _RAN),
    ),
    Refused("empty proposal", _propose(1), saying="carries no result", journal=(_RUN,)),
]

REFUSED: Final = [
    *MALFORMED,
    *FORBIDDEN,
    *COMPLETION_IDS,
    *NO_IDS,
    *PRECONDITIONS,
    *WRONG_KIND,
    *CLOSINGS,
    *PROPOSALS,
]
