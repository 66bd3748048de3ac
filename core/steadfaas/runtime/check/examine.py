"""Decides what to ask an endpoint next, and what its answers mean together."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from steadfaas.runtime.check.answers import Answer, Ended, Escaped, Failed, Issued, Waits
from steadfaas.runtime.check.findings import Findings
from steadfaas.runtime.check.recording import Recording

# Yields where the barrier is to stand, is sent the answer, and returns what it means.
Examination = Generator[int, Answer, Findings]
_WAITS: Final = "waits for something"


def examine(recording: Recording) -> Examination:
    """Examine the code of one deployment."""
    answer = yield recording.end
    match answer:
        case Issued(index) if index < recording.end:
            return _diverges(recording, index, answer)
        case Issued() if recording.output is None:
            return _through(f"then it goes on with {answer.command}")
        case Issued():
            return (yield from _result(recording, answer))
        case Waits():
            return (yield from _locate(recording))
        case _:
            return _cannot_tell(answer)


def _result(recording: Recording, answer: Issued) -> Examination:
    """It issued something in the place of the result: the result, and the same one?"""
    if not answer.is_output:
        return _diverges(recording, recording.end, answer)
    with_result = yield recording.end + 1
    match with_result:
        case Issued(index) if index == recording.end and recording.completed:
            return _through("then it ends, though with another result than the recorded one")
        case Issued(index) if index == recording.end:
            return _diverges(recording, index, with_result)
        case Ended() | Failed(code=571):  # what SDKs say of one that ends while they still replay
            return _through("then it ends, with the same result")
        case _ if recording.completed:
            return _through("then it ends")
        case _:
            return _cannot_tell(with_result)


def _locate(recording: Recording) -> Examination:
    """It waits. Find the last command that it issues before that."""
    # It issues `low`, and does not issue `high`.
    low, high = 0, recording.end
    probe = high - 1
    while low < high - 1:
        answer = yield probe
        match answer:
            case Issued(index) if index == probe:
                low = probe
            case Waits():
                high = probe
            case Issued():
                return Findings(
                    "cannot-tell", "it takes another way each time, though its journal is the same"
                )
            case _:
                return _cannot_tell(answer)
        probe = (low + high) // 2
    if high == recording.end and recording.output is None:
        return _through("then it waits for what has not come yet")
    recorded = recording.describe(high)
    return Findings(
        "diverges",
        f"where command {high} was recorded ({recorded}), it waits for what has not come yet",
        high,
        recorded,
        _WAITS,
    )


def _through(then: str) -> Findings:
    return Findings("compatible", f"it issues every recorded command again; {then}")


def _diverges(recording: Recording, index: int, answer: Issued) -> Findings:
    recorded = recording.describe(index)
    reason = f"command {index} was recorded as {recorded}, and it issues {answer.command}"
    if answer.difference:
        reason += f" ({answer.difference})"
    return Findings("diverges", reason, index, recorded, answer.command)


def _cannot_tell(answer: Answer) -> Findings:
    match answer:
        case Failed(why, None):
            reason = f"the exchange failed: {why}"
        case Failed(why):
            reason = f"its code fails when the journal is replayed: {why}"
        case Escaped(what):
            reason = (
                f"it did not keep to the replay and sent {what}, which was dropped; its SDK cannot"
                " be used for checks, and a step may have run"
            )
        case _:
            reason = "it ended without issuing its result"
    return Findings("cannot-tell", reason)
