"""The commands a handler may issue: one row each, in the order of the protocol's table.

A row says how the message is decoded, whether a completion answers it, and which kinds of handler
may issue it. Checks that need to know what is registered go through `Directory`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from steadfaas import ids
from steadfaas.errors import ProtocolViolation
from steadfaas.machine.status import HAS_PROMISES, READS_STATE, WRITES_STATE, Kind
from steadfaas.wire import messages as m
from steadfaas.wire.messages import MessageType as T


class Directory(Protocol):
    """What the machine needs to know of the registered services."""

    def target_kind(self, service: str, handler: str) -> Kind | None:
        """The kind of a handler in its service's newest revision; None if not registered."""
        ...


_EVERYBODY: Final = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Row:
    """How one command type is treated."""

    message: type
    completion: int | None = None  # frame type of the completion, if the command is completable
    kinds: frozenset[Kind] = _EVERYBODY
    check: Callable[[Any, Directory], None] | None = None
    perform: bool = True  # False: recorded only, nothing happens outside


def _refuse(message: str, code: str = "RT0017") -> ProtocolViolation:
    return ProtocolViolation(message, code=code, http_code=500)


def _check_invocation_id(text: str) -> None:
    try:
        ids.parse_invocation(text)
    except ids.InvalidId as error:
        raise _refuse(f"invalid invocation id '{text[:80]}': {error}") from None


def _check_call(command: m.CallCommand | m.OneWayCallCommand, directory: Directory) -> None:
    service, handler = command.service_name, command.handler_name
    kind = directory.target_kind(service, handler)
    if kind is None:
        raise _refuse(f"the called handler '{service}/{handler}' is not registered", "RT0018")
    if kind is Kind.SERVICE and command.key:
        raise _refuse(f"'{service}' is a plain service and takes no key")
    if command.idempotency_key is not None:
        if not command.idempotency_key:
            raise _refuse("the idempotency key of a call is empty")
        if kind is Kind.WORKFLOW_RUN:
            raise _refuse(f"'{service}/{handler}' is a workflow and takes no idempotency key")
    if command.scope is not None or command.limit_key is not None:
        raise _refuse("scopes and limit keys are not supported", "RT0024")


def _check_target(
    command: m.AttachInvocationCommand | m.GetInvocationOutputCommand, directory: Directory
) -> None:
    if command.invocation_id is not None:
        _check_invocation_id(command.invocation_id)
    elif command.idempotent_request_target is None and command.workflow_target is None:
        raise ProtocolViolation("the command names no invocation to attach to")


def _check_signal(command: m.SendSignalCommand, directory: Directory) -> None:
    _check_invocation_id(command.target_invocation_id)
    if command.idx is None and command.signal_name is None:
        raise ProtocolViolation("the signal has neither an index nor a name")
    if command.void is None and command.value is None and command.failure is None:
        raise ProtocolViolation("the signal carries no result")


def _check_awakeable(command: m.CompleteAwakeableCommand, directory: Directory) -> None:
    try:
        _, index = ids.parse_awakeable(command.awakeable_id)
    except ids.InvalidId as error:
        raise _refuse(f"invalid awakeable id: {error}") from None
    if index < ids.FIRST_AWAKEABLE_SIGNAL:
        # Otherwise whoever can complete an awakeable could cancel what it belongs to.
        raise _refuse(f"invalid awakeable id: signal {index} is reserved")
    _check_result(command.value, command.failure)


def _check_promise(command: m.CompletePromiseCommand, directory: Directory) -> None:
    _check_result(command.completion_value, command.completion_failure)


def _check_output(command: m.OutputCommand, directory: Directory) -> None:
    _check_result(command.value, command.failure)


def _check_set_state(command: m.SetStateCommand, directory: Directory) -> None:
    _check_result(command.value, None)


def _check_result(value: m.Value | None, failure: m.Failure | None) -> None:
    if value is None and failure is None:
        raise ProtocolViolation("the command carries neither a value nor a failure")


COMMANDS: Final[dict[int, Row]] = {
    T.OUTPUT: Row(m.OutputCommand, check=_check_output, perform=False),
    T.GET_LAZY_STATE: Row(m.GetLazyStateCommand, T.GET_LAZY_STATE_COMPLETION, READS_STATE),
    T.SET_STATE: Row(m.SetStateCommand, None, WRITES_STATE, _check_set_state),
    T.CLEAR_STATE: Row(m.ClearStateCommand, None, WRITES_STATE),
    T.CLEAR_ALL_STATE: Row(m.ClearAllStateCommand, None, WRITES_STATE),
    T.GET_LAZY_STATE_KEYS: Row(
        m.GetLazyStateKeysCommand, T.GET_LAZY_STATE_KEYS_COMPLETION, READS_STATE
    ),
    T.GET_EAGER_STATE: Row(m.GetEagerStateCommand, None, READS_STATE, perform=False),
    T.GET_EAGER_STATE_KEYS: Row(m.GetEagerStateKeysCommand, None, READS_STATE, perform=False),
    T.GET_PROMISE: Row(m.GetPromiseCommand, T.GET_PROMISE_COMPLETION, HAS_PROMISES),
    T.PEEK_PROMISE: Row(m.PeekPromiseCommand, T.PEEK_PROMISE_COMPLETION, HAS_PROMISES),
    T.COMPLETE_PROMISE: Row(
        m.CompletePromiseCommand, T.COMPLETE_PROMISE_COMPLETION, HAS_PROMISES, _check_promise
    ),
    T.SLEEP: Row(m.SleepCommand, T.SLEEP_COMPLETION),
    T.CALL: Row(m.CallCommand, T.CALL_COMPLETION, check=_check_call),
    T.ONE_WAY_CALL: Row(m.OneWayCallCommand, check=_check_call),
    T.SEND_SIGNAL: Row(m.SendSignalCommand, check=_check_signal),
    T.RUN: Row(m.RunCommand, T.RUN_COMPLETION, perform=False),
    T.ATTACH_INVOCATION: Row(
        m.AttachInvocationCommand, T.ATTACH_INVOCATION_COMPLETION, check=_check_target
    ),
    T.GET_INVOCATION_OUTPUT: Row(
        m.GetInvocationOutputCommand, T.GET_INVOCATION_OUTPUT_COMPLETION, check=_check_target
    ),
    T.COMPLETE_AWAKEABLE: Row(m.CompleteAwakeableCommand, check=_check_awakeable),
}
