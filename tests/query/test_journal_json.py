"""Journal entries as JSON, beside what the real server showed for the same bytes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steadfaas import ids
from steadfaas.machine.commands import COMMANDS
from steadfaas.machine.status import Kind
from steadfaas.query import journal_json
from steadfaas.query.journal_json import Callee, Facts, Surroundings
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from steadfaas.wire.fields import Message
from steadfaas.wire.messages import MessageType as T

RECORDED = Path(__file__).parents[1] / "data" / "journal" / "recorded.json"
JOURNALS: dict[str, list[dict[str, Any]]] = json.loads(RECORDED.read_text())
STORED = [T.INPUT, *COMMANDS, *(each for each in T if each >= 0x8000)]
FRAME_TYPES = {journal_json.entry_type(each): each for each in STORED}
HANDLERS = {
    ("Basic", "greet"): Kind.SERVICE,
    ("Raw", "other"): Kind.SERVICE,
    ("Counter", "add"): Kind.OBJECT_EXCLUSIVE,
    ("Mailbox", "put"): Kind.OBJECT_EXCLUSIVE,
    ("RawO", "sh"): Kind.OBJECT_SHARED,
    ("Signup", "run"): Kind.WORKFLOW_RUN,
    ("Signup", "verify"): Kind.WORKFLOW_SHARED,
}
CALLEE = "inv_10T5Thwsbi8d5pG3SV7MxGQ1nGGV23lwFb"


def callee(service: str, handler: str) -> Callee:
    """Every handler that the recorded journals call."""
    return Callee(HANDLERS[service, handler])


@pytest.mark.parametrize("name", JOURNALS)
def test_entries_are_shown_as_the_real_server_shows_them(name: str) -> None:
    journal = [(FRAME_TYPES[each["type"]], bytes.fromhex(each["raw"])) for each in JOURNALS[name]]
    around = Surroundings(journal_json.callee_ids(journal), callee)
    for (frame_type, payload), theirs in zip(journal, JOURNALS[name], strict=True):
        whole = json.loads(journal_json.entry_json(frame_type, payload, around))
        lite = json.loads(journal_json.entry_lite_json(frame_type, payload, around))
        # As text, so that the order of the fields is compared as well.
        assert json.dumps(whole) == json.dumps(_with_our_partitions(theirs["json"]))
        assert json.dumps(lite) == json.dumps(_with_our_partitions(theirs["lite"]))


def _with_our_partitions(entry: Any) -> Any:
    """The entry with the numbers that each engine works out by a hash of its own."""
    if isinstance(entry, dict):
        changed = {name: _with_our_partitions(value) for name, value in entry.items()}
        if "partition_key" in changed:
            key = changed.get("key") or changed.get("service_key") or changed["idempotency_key"]
            changed["partition_key"] = int.from_bytes(ids.key_partition(key), "little")
        return changed
    return entry


def test_the_record_holds_every_type_that_a_journal_can_hold() -> None:
    seen = {entry["type"] for journal in JOURNALS.values() for entry in journal}
    # No call of the Python SDK reads an output without waiting long enough to see the answer.
    assert FRAME_TYPES.keys() - seen == {"Notification: GetInvocationOutput"}


def test_every_stored_type_is_shown_without_its_fields_too() -> None:
    for name, frame_type in FRAME_TYPES.items():
        side, kind = name.split(": ")
        for text in (
            journal_json.entry_json(frame_type, b""),
            journal_json.entry_lite_json(frame_type, b""),
        ):
            inside = json.loads(text)[side]
            assert kind in json.dumps(inside)


def test_a_type_nobody_knows() -> None:
    assert journal_json.entry_type(0x04FF) == "Command: 0x04ff"
    assert journal_json.entry_type(0x90FF) == "Notification: 0x90ff"
    assert json.loads(journal_json.entry_json(0x04FF, b"")) == {"Command": {"0x04ff": {}}}
    assert json.loads(journal_json.entry_lite_json(0x04FF, b"")) == {"Command": {"0x04ff": {}}}
    assert journal_json.facts(0x04FF, b"") == Facts()


def test_a_damaged_payload_is_shown_as_such() -> None:
    damaged = b"\x0a\xff"
    for frame_type, side, kind in ((T.RUN, "Command", "Run"), (T.SIGNAL, "Notification", "Signal")):
        whole = json.loads(journal_json.entry_json(frame_type, damaged))
        assert "it ends inside a field" in whole[side][kind]["unreadable"]
        assert json.loads(journal_json.entry_lite_json(frame_type, damaged)) == {side: {kind: {}}}
        assert journal_json.facts(frame_type, damaged) == Facts()
    assert journal_json.callee_ids([(T.CALL_INVOCATION_ID, damaged)]) == {}


def test_bytes_that_are_no_text_do_not_hurt() -> None:
    command = m.SetStateCommand(key=b"\xffk", value=m.Value(content=b"\x00\xff"), name="n")
    assert json.loads(journal_json.entry_json(T.SET_STATE, encode(command))) == {
        "Command": {"SetState": {"key": "\ufffdk", "value": [0, 255], "name": "n"}}
    }


CALL = m.CallCommand(
    service_name="Counter",
    handler_name="get",
    key="k/1",
    invocation_id_notification_idx=4,
    result_completion_id=5,
    name="ask",
)


def test_a_call_among_its_surroundings() -> None:
    told = m.Completion(completion_id=4, invocation_id=CALLEE)
    journal = [(T.CALL, encode(CALL)), (T.CALL_INVOCATION_ID, encode(told))]
    known = Callee(Kind.OBJECT_SHARED, completion_retention=1500, journal_retention=0)
    around = Surroundings(journal_json.callee_ids(journal), lambda *_: known)
    shown = json.loads(journal_json.entry_json(T.CALL, encode(CALL), around))
    request = shown["Command"]["Call"]["request"]
    assert request["invocation_id"] == CALLEE
    assert request["invocation_target"]["VirtualObject"]["handler_ty"] == "Shared"
    assert request["completion_retention_duration"] == {"secs": 1, "nanos": 500_000_000}
    assert request["journal_retention_duration"] == {"secs": 0, "nanos": 0}


def test_a_call_of_which_nothing_is_known() -> None:
    shown = json.loads(journal_json.entry_json(T.CALL, encode(CALL)))
    request = shown["Command"]["Call"]["request"]
    assert request["invocation_id"] is None
    assert request["invocation_target"].keys() == {"VirtualObject"}


@pytest.mark.parametrize(
    ("frame_type", "command", "expected"),
    [
        (T.CALL, CALL, Facts("ask", CALLEE, "Counter/k/1/get")),
        (
            T.ONE_WAY_CALL,
            m.OneWayCallCommand(
                service_name="Basic", handler_name="greet", invocation_id_notification_idx=4
            ),
            Facts("", CALLEE, "Basic/greet"),
        ),
        (T.SLEEP, m.SleepCommand(wake_up_time=12, name="nap"), Facts("nap", sleep_wakeup_at=12)),
        (
            T.SLEEP,
            m.SleepCommand(wake_up_time=2**64 - 1),
            Facts("", sleep_wakeup_at=253_402_300_799_999),
        ),
        (T.GET_PROMISE, m.GetPromiseCommand(key="p"), Facts("", promise_name="p")),
        (T.PEEK_PROMISE, m.PeekPromiseCommand(key="p"), Facts("", promise_name="p")),
        (T.COMPLETE_PROMISE, m.CompletePromiseCommand(key="p"), Facts("", promise_name="p")),
        (T.RUN, m.RunCommand(name="charge"), Facts("charge")),
        (T.RUN_COMPLETION, m.Completion(completion_id=1), Facts()),
    ],
)
def test_facts(frame_type: T, command: Message, expected: Facts) -> None:
    around = Surroundings({4: CALLEE})
    assert journal_json.facts(frame_type, encode(command), around) == expected


def test_the_engine_can_use_it_without_arrow() -> None:
    code = (
        "import sys, steadfaas.query.journal_json;"
        "print([name for name in ('pyarrow', 'datafusion', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert ast.literal_eval(done.stdout) == []
