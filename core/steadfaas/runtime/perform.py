"""What each command asks of the outside, done within the transaction that stores it.

One function a command, in the order of the protocol's table. Where an answer is due at once (a
value of state, a callee's id), it is appended to the journal right behind the command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from steadfaas import ids
from steadfaas.machine.invocation import END_OF_TIME, Invocation
from steadfaas.machine.status import Kind, kind_of
from steadfaas.runtime.work import Accepted, Request, Work
from steadfaas.store import invocations, keys, schedule
from steadfaas.wire import messages as m
from steadfaas.wire.codec import decode, encode
from steadfaas.wire.hot import input_payload
from steadfaas.wire.messages import MessageType as T

if TYPE_CHECKING:
    from steadfaas.runtime.ledger import Ledger


def _answer(
    ledger: Ledger, work: Work, inv: Invocation, frame_type: int, answer: m.Completion
) -> None:
    ledger.apply(work, inv, inv.complete(frame_type, answer, work.now))


def get_state(ledger: Ledger, work: Work, inv: Invocation, command: m.GetLazyStateCommand) -> None:
    value = keys.get_state(work.tx, inv.service, inv.key or "", command.key)
    answer = m.Completion(completion_id=command.result_completion_id)
    if value is None:
        answer.void = m.Void()
    else:
        answer.value = m.Value(content=value)
    _answer(ledger, work, inv, T.GET_LAZY_STATE_COMPLETION, answer)


def get_state_keys(
    ledger: Ledger, work: Work, inv: Invocation, command: m.GetLazyStateKeysCommand
) -> None:
    names = keys.state_names(work.tx, inv.service, inv.key or "")
    answer = m.Completion(
        completion_id=command.result_completion_id, state_keys=m.StateKeys(keys=names)
    )
    _answer(ledger, work, inv, T.GET_LAZY_STATE_KEYS_COMPLETION, answer)


def set_state(ledger: Ledger, work: Work, inv: Invocation, command: m.SetStateCommand) -> None:
    assert command.value is not None
    keys.set_state(work.tx, inv.service, inv.key or "", command.key, command.value.content)


def clear_state(ledger: Ledger, work: Work, inv: Invocation, command: m.ClearStateCommand) -> None:
    keys.clear_state(work.tx, inv.service, inv.key or "", command.key)


def clear_all_state(
    ledger: Ledger, work: Work, inv: Invocation, command: m.ClearAllStateCommand
) -> None:
    keys.clear_all_state(work.tx, inv.service, inv.key or "")


def get_promise(ledger: Ledger, work: Work, inv: Invocation, command: m.GetPromiseCommand) -> None:
    key, completion = inv.key or "", command.result_completion_id
    found = keys.get_promise(work.tx, inv.service, key, command.key)
    if found is None:
        keys.await_promise(work.tx, inv.service, key, command.key, inv.seq, completion)
    else:
        answer = _promised(completion, *found)
        _answer(ledger, work, inv, T.GET_PROMISE_COMPLETION, answer)


def peek_promise(
    ledger: Ledger, work: Work, inv: Invocation, command: m.PeekPromiseCommand
) -> None:
    found = keys.get_promise(work.tx, inv.service, inv.key or "", command.key)
    if found is None:
        answer = m.Completion(completion_id=command.result_completion_id, void=m.Void())
    else:
        answer = _promised(command.result_completion_id, *found)
    _answer(ledger, work, inv, T.PEEK_PROMISE_COMPLETION, answer)


def complete_promise(
    ledger: Ledger, work: Work, inv: Invocation, command: m.CompletePromiseCommand
) -> None:
    key, name = inv.key or "", command.key
    answer = m.Completion(completion_id=command.result_completion_id)
    if keys.get_promise(work.tx, inv.service, key, name) is not None:
        answer.failure = m.Failure(code=409, message="promise was already completed")
    else:
        answer.void = m.Void()
        result = command.completion_value or command.completion_failure
        assert result is not None
        failed = command.completion_value is None
        payload = encode(result)
        waiting = keys.complete_promise(
            work.tx, inv.service, key, name, failure=failed, payload=payload
        )
        for seq, completion in waiting:
            told = _promised(completion, failed, payload)
            ledger.complete(work, seq, T.GET_PROMISE_COMPLETION, told)
    _answer(ledger, work, inv, T.COMPLETE_PROMISE_COMPLETION, answer)


def sleep(ledger: Ledger, work: Work, inv: Invocation, command: m.SleepCommand) -> None:
    completion = command.result_completion_id
    if command.wake_up_time <= work.now:
        answer = m.Completion(completion_id=completion, void=m.Void())
        _answer(ledger, work, inv, T.SLEEP_COMPLETION, answer)
    else:
        ledger.arm(work, min(command.wake_up_time, END_OF_TIME), inv.seq, completion)


def call(ledger: Ledger, work: Work, inv: Invocation, command: m.CallCommand) -> None:
    accepted = _accept_call(ledger, work, inv, command, 0)
    _tell_id(ledger, work, inv, command.invocation_id_notification_idx, accepted.id)
    existing = accepted.existing
    completion = command.result_completion_id
    if existing is not None and _is_workflow_run(ledger, command):
        failure = m.Failure(code=409, message="the workflow method was already invoked")
        answer = m.Completion(completion_id=completion, failure=failure)
        _answer(ledger, work, inv, T.CALL_COMPLETION, answer)
    else:
        output = None if existing is None else existing.output
        _await_result(ledger, work, inv, accepted.seq, output, completion, T.CALL_COMPLETION)


def one_way_call(ledger: Ledger, work: Work, inv: Invocation, command: m.OneWayCallCommand) -> None:
    accepted = _accept_call(ledger, work, inv, command, command.invoke_time)
    _tell_id(ledger, work, inv, command.invocation_id_notification_idx, accepted.id)


def _is_workflow_run(ledger: Ledger, command: m.CallCommand) -> bool:
    kind = ledger.target_kind(command.service_name, command.handler_name)
    return kind is Kind.WORKFLOW_RUN


def _accept_call(
    ledger: Ledger,
    work: Work,
    inv: Invocation,
    command: m.CallCommand | m.OneWayCallCommand,
    not_before: int,
) -> Accepted:
    revision, handler = ledger.catalog.handler(command.service_name, command.handler_name)
    kind = kind_of(revision.type, handler.kind)
    request = Request(
        service=command.service_name,
        handler=command.handler_name,
        key=None if kind is Kind.SERVICE else command.key,
        kind=kind,
        options=handler.options,
        input=input_payload([(h.key, h.value) for h in command.headers], command.parameter),
        idempotency_key=command.idempotency_key,
        invoked_by=inv.id,
        invoked_by_target=inv.target,
        not_before=not_before,
    )
    return ledger.accept(work, request, ledger.id_for(request, work.now))


def _tell_id(ledger: Ledger, work: Work, inv: Invocation, completion: int, id: bytes) -> None:
    answer = m.Completion(completion_id=completion, invocation_id=ids.format_invocation(id))
    _answer(ledger, work, inv, T.CALL_INVOCATION_ID, answer)


def _await_result(
    ledger: Ledger,
    work: Work,
    inv: Invocation,
    target: int,
    output: bytes | None,
    completion: int,
    frame_type: int,
) -> None:
    """Answer with the target's result, now or when it is there."""
    if output is not None:
        _answer(ledger, work, inv, frame_type, completion_of(output, completion))
    else:
        schedule.listen(work.tx, target, inv.seq, completion, frame_type)


def send_signal(ledger: Ledger, work: Work, inv: Invocation, command: m.SendSignalCommand) -> None:
    signal = m.SignalNotification(
        idx=command.idx,
        signal_name=command.signal_name,
        void=command.void,
        value=command.value,
        failure=command.failure,
    )
    ledger.signal(work, ids.parse_invocation(command.target_invocation_id), signal)


def complete_awakeable(
    ledger: Ledger, work: Work, inv: Invocation, command: m.CompleteAwakeableCommand
) -> None:
    id, index = ids.parse_awakeable(command.awakeable_id)
    signal = m.SignalNotification(idx=index, value=command.value, failure=command.failure)
    ledger.signal(work, id, signal)


def attach(ledger: Ledger, work: Work, inv: Invocation, command: m.AttachInvocationCommand) -> None:
    completion = command.result_completion_id
    found = invocations.outline(work.tx, _target_id(command))
    if found is None:
        answer = m.Completion(
            completion_id=completion, failure=m.Failure(code=404, message="not found")
        )
        _answer(ledger, work, inv, T.ATTACH_INVOCATION_COMPLETION, answer)
    else:
        _await_result(
            ledger, work, inv, found.seq, found.output, completion, T.ATTACH_INVOCATION_COMPLETION
        )


def get_output(
    ledger: Ledger, work: Work, inv: Invocation, command: m.GetInvocationOutputCommand
) -> None:
    completion = command.result_completion_id
    found = invocations.outline(work.tx, _target_id(command))
    if found is None:
        answer = m.Completion(
            completion_id=completion, failure=m.Failure(code=404, message="not found")
        )
    elif found.output is None:
        answer = m.Completion(completion_id=completion, void=m.Void())
    else:
        answer = completion_of(found.output, completion)
    _answer(ledger, work, inv, T.GET_INVOCATION_OUTPUT_COMPLETION, answer)


def completion_of(output: bytes, completion: int) -> m.Completion:
    """The completion that tells a result."""
    result = decode(m.OutputCommand, output)
    return m.Completion(completion_id=completion, value=result.value, failure=result.failure)


def _promised(completion: int, failed: bool, payload: bytes) -> m.Completion:
    if failed:
        return m.Completion(completion_id=completion, failure=decode(m.Failure, payload))
    return m.Completion(completion_id=completion, value=decode(m.Value, payload))


def _target_id(command: m.AttachInvocationCommand | m.GetInvocationOutputCommand) -> bytes:
    if command.invocation_id is not None:
        return ids.parse_invocation(command.invocation_id)
    if command.workflow_target is not None:
        workflow = command.workflow_target
        return ids.workflow_invocation(workflow.workflow_name, workflow.workflow_key)
    target = command.idempotent_request_target
    assert target is not None
    return ids.idempotent_invocation(
        target.service_name, target.service_key, target.handler_name, target.idempotency_key
    )


# Any: each function takes the message of its row in machine.commands.
PERFORM: Final[dict[int, Callable[[Ledger, Work, Invocation, Any], None]]] = {
    int(T.GET_LAZY_STATE): get_state,
    int(T.GET_LAZY_STATE_KEYS): get_state_keys,
    int(T.SET_STATE): set_state,
    int(T.CLEAR_STATE): clear_state,
    int(T.CLEAR_ALL_STATE): clear_all_state,
    int(T.GET_PROMISE): get_promise,
    int(T.PEEK_PROMISE): peek_promise,
    int(T.COMPLETE_PROMISE): complete_promise,
    int(T.SLEEP): sleep,
    int(T.CALL): call,
    int(T.ONE_WAY_CALL): one_way_call,
    int(T.SEND_SIGNAL): send_signal,
    int(T.ATTACH_INVOCATION): attach,
    int(T.GET_INVOCATION_OUTPUT): get_output,
    int(T.COMPLETE_AWAKEABLE): complete_awakeable,
}
