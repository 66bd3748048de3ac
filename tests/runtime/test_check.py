"""The check of a journal against other code: what it says, and that nothing comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import pytest
import pytest_asyncio
import restate

from steadfaas import ids
from steadfaas.errors import AttemptFailure, BadRequest, NotFound
from steadfaas.machine.invocation import Entry
from steadfaas.runtime.check import Findings, check
from steadfaas.runtime.check.answers import Answer, Ended, Escaped, Failed, Issued, Listener, Waits
from steadfaas.runtime.check.examine import examine
from steadfaas.runtime.check.recording import Recording, barred
from steadfaas.testing import Deployment, Invocation, Steadfaas
from steadfaas.wire import messages as m
from steadfaas.wire.codec import encode
from steadfaas.wire.frame import Frame, encode_frame
from steadfaas.wire.messages import MessageType as T
from tests.runtime.check_cases import CASES, LONG, Case, Moves
from tests.runtime.in_kit import until
from tests.services import script_app

_INPUT: Final = (int(T.INPUT), b"input")
_RESULT: Final = (int(T.OUTPUT), encode(m.OutputCommand(value=m.Value(content=b"1"))))
_BARRIER: Final = (int(T.INPUT), b"")


def _run(number: int) -> Entry:
    step = m.RunCommand(result_completion_id=number, name=f"r{number}")
    return int(T.RUN), encode(step)


def _done(number: int) -> Entry:
    return int(T.RUN_COMPLETION), encode(m.Completion(completion_id=number, void=m.Void()))


def _recording(steps: int, *, result: bool = False, completed: bool = False) -> Recording:
    """The input, so many steps with their results, and perhaps a result of its own."""
    journal = [_INPUT]
    for number in range(1, steps + 1):
        journal += [_run(number), _done(number)]
    return Recording.of([*journal, _RESULT] if result else journal, completed=completed)


# --- the journal with a barrier ------------------------------------------------------------------


def test_the_barrier_stands_behind_all_commands() -> None:
    recording = _recording(2)
    assert recording.end == 3
    assert barred(recording, 3) == [_INPUT, _run(1), _done(1), _run(2), _done(2), _BARRIER]


def test_the_barrier_takes_the_place_of_commands_and_keeps_notifications() -> None:
    assert barred(_recording(2), 2) == [_INPUT, _run(1), _done(1), _done(2), _BARRIER]
    assert barred(_recording(2), 1) == [_INPUT, _done(1), _done(2), _BARRIER]


def test_the_barrier_takes_the_place_of_the_result_or_stands_behind_it() -> None:
    recording = _recording(1, result=True)
    assert barred(recording, 2) == [_INPUT, _run(1), _done(1), _BARRIER]
    assert barred(recording, 3) == [_INPUT, _run(1), _done(1), _RESULT, _BARRIER]


def test_a_journal_that_is_not_kept() -> None:
    assert Recording.of([], completed=True).end == 0


# --- answers -------------------------------------------------------------------------------------


def _error(code: int = 570, **fields: Any) -> Frame:
    return Frame(int(T.ERROR), encode(m.Error(code=code, message="what it says", **fields)))


def _heard(*frames: Frame, failure: AttemptFailure | None = None, barrier: int = 3) -> Answer:
    listener = Listener()
    for frame in frames:
        listener.take([frame])
    return listener.answer(failure, _recording(2), barrier)


def test_a_command_at_the_barrier_or_before() -> None:
    at_barrier = _error(related_command_index=3, related_command_type=int(T.SLEEP))
    assert _heard(at_barrier) == Issued(3, "Sleep", False, "")
    before = _error(
        related_command_index=1, related_command_type=int(T.RUN), related_command_name="other"
    )
    assert _heard(before) == Issued(1, "Run other", False, "")
    result = _error(related_command_index=2, related_command_type=int(T.OUTPUT))
    assert _heard(result) == Issued(2, "Output", True, "")


def test_a_step_that_agrees_is_one_that_is_waited_for() -> None:
    agrees = _error(
        related_command_index=2, related_command_type=int(T.RUN), related_command_name="r2"
    )
    assert _heard(agrees) == Waits()
    assert _heard(agrees, barrier=2) == Issued(2, "Run r2", False, "")


def test_waiting() -> None:
    assert _heard(_error()) == Waits()
    assert _heard(Frame(int(T.SUSPENSION), b"")) == Waits()


@pytest.mark.parametrize("index", [0, 4, 1000])
def test_an_index_that_cannot_be_is_no_answer(index: int) -> None:
    odd = _error(related_command_index=index, related_command_type=int(T.RUN))
    assert isinstance(_heard(odd), Failed)


def test_an_index_without_a_command_is_no_answer() -> None:
    assert isinstance(_heard(_error(related_command_index=3)), Failed)


def test_failures() -> None:
    assert _heard(_error(code=500)) == Failed("what it says", 500)
    broken = AttemptFailure("RT0010", "it broke")
    assert _heard(failure=broken) == Failed("[RT0010] it broke")
    assert isinstance(_heard(), Failed)
    assert isinstance(_heard(Frame(int(T.ERROR), b"\xff\xff")), Failed)


@pytest.mark.parametrize("sent", [T.RUN, T.OUTPUT, T.PROPOSE_RUN_COMPLETION, 0xFC01])
def test_who_leaves_the_replay_is_not_believed(sent: int) -> None:
    at_barrier = _error(related_command_index=3, related_command_type=int(T.SLEEP))
    assert isinstance(_heard(Frame(int(sent), b""), at_barrier), Escaped)
    assert isinstance(_heard(Frame(int(sent), b"")), Escaped)
    behind = _heard(at_barrier, Frame(int(sent), b""))
    assert isinstance(behind, Issued), "what follows the closing frame says nothing"


def test_an_end_is_no_result() -> None:
    assert _heard(Frame(int(T.END), b"")) == Ended()


# --- what to ask, and what it means --------------------------------------------------------------


class _Code:
    """An endpoint by the book: it issues the recorded commands up to a point, and waits there."""

    def __init__(self, waits_behind: int) -> None:
        self.waits_behind = waits_behind
        self.barriers: list[int] = []

    def __call__(self, barrier: int) -> Answer:
        self.barriers.append(barrier)
        if barrier <= self.waits_behind:
            return Issued(barrier, "Run", False, "")
        return Waits()


def _examined(recording: Recording, answer: Callable[[int], Answer]) -> Findings:
    examination = examine(recording)
    barrier = next(examination)
    try:
        while True:
            barrier = examination.send(answer(barrier))
    except StopIteration as over:
        findings: Findings = over.value
        return findings


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 100])
def test_where_it_waits_is_found(steps: int) -> None:
    for waits_behind in range(steps + 1):
        code = _Code(waits_behind)
        found = _examined(_recording(steps), code)
        if waits_behind == steps:
            assert (found.verdict, found.index) == ("compatible", None)
            assert code.barriers == [steps + 1, steps]
        else:
            expected = ("diverges", waits_behind + 1, f"Run r{waits_behind + 1}")
            assert (found.verdict, found.index, found.recorded) == expected
            assert len(code.barriers) <= 3 + steps.bit_length()


def test_what_changes_its_mind_is_not_believed() -> None:
    answers: list[Answer] = [Waits(), Issued(1, "Sleep", False, "")]
    found = _examined(_recording(3), lambda _: answers.pop(0))
    assert (found.verdict, "another way" in found.reason) == ("cannot-tell", True)


@pytest.mark.parametrize("answer", [Failed("x"), Failed("x", 500), Escaped("Run"), Ended()])
def test_nothing_is_claimed_without_an_answer(answer: Answer) -> None:
    assert _examined(_recording(2), lambda _: answer).verdict == "cannot-tell"
    later: list[Answer] = [Waits(), answer]
    assert _examined(_recording(2), lambda _: later.pop(0)).verdict == "cannot-tell"


def _ending(behind_result: Answer) -> Callable[[int], Answer]:
    return lambda barrier: Issued(2, "Output", True, "") if barrier == 2 else behind_result


@pytest.mark.parametrize(
    ("behind_result", "completed", "verdict", "says"),
    [
        (Failed("x", 571), True, "compatible", "same result"),
        (Failed("x", 571), False, "compatible", "same result"),
        (Ended(), True, "compatible", "same result"),
        (Issued(2, "Output", True, ""), True, "compatible", "another result"),
        (Issued(2, "Output", True, ""), False, "diverges", "Output"),
        (Failed("x", 500), True, "compatible", "then it ends"),
        (Waits(), True, "compatible", "then it ends"),
        (Failed("x", 500), False, "cannot-tell", "x"),
        (Waits(), False, "cannot-tell", ""),
    ],
)
def test_the_result(behind_result: Answer, completed: bool, verdict: str, says: str) -> None:
    recording = _recording(1, result=True, completed=completed)
    found = _examined(recording, _ending(behind_result))
    assert (found.verdict, says in found.reason) == (verdict, True)
    assert ("same" in found.reason) == (says == "same result")


# --- with the Python SDK, in the kit -------------------------------------------------------------


@pytest_asyncio.fixture
async def old(steadfaas: Steadfaas) -> AsyncIterator[Deployment]:
    """The old code, deployed; side effects are counted from here on."""
    script_app.EFFECTS.clear()
    yield await steadfaas.deploy(script_app.serving("old"))
    script_app.EFFECTS.clear()


async def _recorded(kit: Steadfaas, case: Case) -> Invocation:
    """An invocation that has done what the old code does."""
    target = case.target if case.target == "Script/play" else case.target.replace("/", "/k/")
    sent = await kit.send(target, {"old": case.old, "new": case.new})
    await kit.settle()
    if case.cancel:
        await sent.cancel()
    return sent


def _stored(sent: Invocation) -> Any:
    """All that a check could have changed."""
    attempts = [(one.number, one.outcome, one.deployment) for one in sent.attempts]
    return sent.status, [str(entry) for entry in sent.journal], attempts, str(sent.last_failure)


def _steps() -> int:
    return sum(kind == "run" for kind, _, _ in script_app.EFFECTS)


def _told(found: Findings) -> tuple[str, int | None, str | None, str | None]:
    return found.verdict, found.index, found.recorded, found.issued


@pytest.mark.asyncio
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_case(steadfaas: Steadfaas, old: Deployment, case: Case) -> None:
    sent = await _recorded(steadfaas, case)
    new = await steadfaas.deploy(script_app.serving("new"))
    stored, steps = _stored(sent), _steps()
    found = await sent.check(new)
    assert (_told(found), case.next in found.reason) == (case.expected, True), found.reason
    assert (await sent.check(old)).verdict == "compatible"
    assert _steps() == steps, "no step runs"
    assert _stored(sent) == stored, "nothing is stored"
    assert (found.target, found.deployment_id) == (sent.target, new.id)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["waits for a step", "waits early", "completed", "another key"])
async def test_protocol_version_5(steadfaas: Steadfaas, old: Deployment, name: str) -> None:
    case = CASES[name]
    catalog = (await steadfaas._host.engine()).catalog
    known = catalog.deployment(old.id)
    assert known is not None
    catalog.put(replace(known, max_version=5))
    sent = await _recorded(steadfaas, case)
    new = await steadfaas.deploy(script_app.serving("new"))
    assert _told(await sent.check(new)) == case.expected


@pytest.mark.asyncio
async def test_code_outside_of_steps_runs_and_that_is_said(
    steadfaas: Steadfaas, old: Deployment
) -> None:
    moves = [["outside", "o"], ["run", "a"], ["awakeable"]]
    sent = await _recorded(steadfaas, Case(moves, moves))
    script_app.EFFECTS.clear()
    found = await sent.check(old)
    assert script_app.EFFECTS == [("outside", "o", "old")] * 2
    assert "called 2 times" in found.reason
    assert found.commands == 1


@pytest.mark.asyncio
async def test_a_result_that_was_not_acknowledged(steadfaas: Steadfaas, old: Deployment) -> None:
    """The answer broke off behind the result: the next attempt must give the same."""
    moves = [["return", 1]]
    steadfaas.cut(after=1)
    sent = await _recorded(steadfaas, Case(moves, [["return", 2]]))
    assert sent.status == "backing-off"
    new = await steadfaas.deploy(script_app.serving("new"))
    assert _told(await sent.check(new)) == ("diverges", 1, "Output", "Output")
    assert "same result" in (await sent.check(old)).reason


@pytest.mark.asyncio
async def test_replays_of_checks_are_not_reported(steadfaas: Steadfaas, old: Deployment) -> None:
    steadfaas.replay_always()
    sent = await _recorded(steadfaas, CASES["another type last"])
    new = await steadfaas.deploy(script_app.serving("new"))
    assert (await sent.check(new)).verdict == "diverges"
    steadfaas.check_replays()


@pytest.mark.asyncio
async def test_it_goes_on_where_the_check_says_so(steadfaas: Steadfaas, old: Deployment) -> None:
    moves: Moves = [["run", "a"], ["sleep", LONG]]
    sent = await _recorded(steadfaas, Case(moves, [*moves, ["run", "b"], ["return", "new"]]))
    new = await steadfaas.deploy(script_app.serving("new"))
    await sent.pause()
    await sent.resume(new, check=True)
    assert await sent.result() == "new"
    assert [name for _, name, _ in script_app.EFFECTS] == ["a", "b"]
    assert (await sent.check(new)).verdict == "compatible"
    assert _told(await sent.check(old)) == ("diverges", 3, "Run b", "Output")


# --- in any state --------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_while_it_runs(steadfaas: Steadfaas) -> None:
    """The journal is taken as it is stored."""
    entered, gate = asyncio.Event(), asyncio.Event()

    def version(step: str) -> Any:
        service = restate.Service("Held")

        @service.handler()
        async def hold(ctx: restate.Context) -> str:
            await ctx.run_typed(step, lambda: None)
            if not gate.is_set():
                entered.set()
                await gate.wait()
            return step

        return restate.app([service])

    one = await steadfaas.deploy(version("one"))
    sent = asyncio.create_task(steadfaas.call("Held/hold"))
    await entered.wait()
    held = steadfaas.sent[0]
    two = await steadfaas.deploy(version("two"))
    assert held.status == "running"
    engine = await steadfaas._host.engine()
    gate_for_checks = asyncio.create_task(check(engine, held.id, two.id))
    assert _told(await gate_for_checks) == ("diverges", 1, "Run one", "Run two")
    gate.set()
    assert await sent == "one"
    assert held.attempts.deployments == {one}


@pytest.mark.asyncio
async def test_before_it_has_begun(steadfaas: Steadfaas, old: Deployment) -> None:
    sent = await steadfaas.send("Script/play", {}, delay="1 day")
    found = await sent.check()
    assert (found.verdict, found.deployment_id, found.commands) == ("compatible", old.id, 0)
    assert script_app.EFFECTS == []


@pytest.mark.asyncio
async def test_without_a_journal(steadfaas: Steadfaas, old: Deployment) -> None:
    sent = await _recorded(steadfaas, CASES["completed"])
    engine = await steadfaas._host.engine()
    await engine.operators.purge_journal(sent.id)
    found = await sent.check(old)
    assert (found.verdict, "not kept" in found.reason) == ("cannot-tell", True)


@pytest.mark.asyncio
async def test_once_it_was_killed(steadfaas: Steadfaas, old: Deployment) -> None:
    """The engine gave the result, not the code: only what the code did is compared."""
    sent = await _recorded(steadfaas, CASES["waits for a sleep"])
    await sent.kill()
    assert (await sent.check(old)).verdict == "compatible"


# --- deployments that cannot be asked ------------------------------------------------------------


@pytest.mark.asyncio
async def test_unknown_ids(steadfaas: Steadfaas, old: Deployment) -> None:
    sent = await _recorded(steadfaas, CASES["waits for a sleep"])
    engine = await steadfaas._host.engine()
    with pytest.raises(NotFound, match="does not exist"):
        await check(engine, bytes(24), old.id)
    with pytest.raises(BadRequest, match="'dp_1nobody' does not exist"):
        await check(engine, sent.id, "dp_1nobody")
    assert ids.format_invocation(sent.id) == sent.text_id


@pytest.mark.asyncio
async def test_keep_and_latest(steadfaas: Steadfaas, old: Deployment) -> None:
    sent = await _recorded(steadfaas, CASES["another type last"])
    new = await steadfaas.deploy(script_app.serving("new"))
    engine = await steadfaas._host.engine()
    kept = await check(engine, sent.id, "keep")
    latest = await check(engine, sent.id, "latest")
    assert (kept.verdict, kept.deployment_id) == ("compatible", old.id)
    assert (latest.verdict, latest.deployment_id) == ("diverges", new.id)


@pytest.mark.asyncio
async def test_who_does_not_serve_the_handler(steadfaas: Steadfaas, old: Deployment) -> None:
    sent = await _recorded(steadfaas, CASES["waits for a sleep"])
    other = await steadfaas.deploy(restate.app([restate.Service("Other")]))
    found = await sent.check(other)
    assert (found.verdict, "does not serve" in found.reason) == ("diverges", True)


@pytest.mark.asyncio
async def test_who_serves_another_kind_of_handler(steadfaas: Steadfaas, old: Deployment) -> None:
    sent = await _recorded(steadfaas, CASES["waits for a sleep"])
    thing = restate.VirtualObject("Script")
    thing.handler("play")(script_app.thing_play)
    other = await steadfaas.deploy(restate.app([thing]), breaking=True)
    found = await sent.check(other)
    assert (found.verdict, "another kind" in found.reason) == ("diverges", True)


@pytest.mark.asyncio
async def test_who_speaks_other_versions(steadfaas: Steadfaas, old: Deployment) -> None:
    sent = await _recorded(steadfaas, CASES["waits for a sleep"])
    catalog = (await steadfaas._host.engine()).catalog
    known = catalog.deployment(old.id)
    assert known is not None
    catalog.put(replace(known, max_version=5))
    found = await sent.check(old)
    assert (found.verdict, "must be 6" in found.reason) == ("diverges", True)


@pytest.mark.asyncio
async def test_who_is_down(steadfaas: Steadfaas, old: Deployment) -> None:
    sent = await _recorded(steadfaas, CASES["waits for a sleep"])
    steadfaas.fail(old, status=502)
    found = await sent.check()
    assert (found.verdict, "RT0010" in found.reason) == ("cannot-tell", True)


def _answering(answer: Callable[[bytes, Any], Awaitable[None]]) -> Any:
    """The new code, except for checks: `answer` gets their content type and `send`."""
    app = script_app.serving("new")

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        if b"x-steadfaas-check" in headers:
            await answer(headers[b"content-type"], send)
        else:
            await app(scope, receive, send)

    return wrapped


@pytest.mark.asyncio
async def test_an_endpoint_that_leaves_the_replay(steadfaas: Steadfaas, old: Deployment) -> None:
    """What it sends is dropped, and it is not believed."""
    frames = [Frame(*_run(9)), Frame(*_RESULT), Frame(int(T.END), b"")]

    async def answer(content_type: bytes, send: Any) -> None:
        head = [(b"content-type", content_type)]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        body = b"".join(encode_frame(frame.type, frame.payload) for frame in frames)
        await send({"type": "http.response.body", "body": body})

    sent = await _recorded(steadfaas, CASES["waits for a sleep"])
    stored = _stored(sent)
    found = await sent.check(await steadfaas.deploy(_answering(answer)))
    assert (found.verdict, "a step may have run" in found.reason) == ("cannot-tell", True)
    assert "no step did" not in found.reason
    assert _stored(sent) == stored


@pytest.mark.asyncio
async def test_an_endpoint_that_does_not_answer(steadfaas: Steadfaas, old: Deployment) -> None:
    async def answer(content_type: bytes, send: Any) -> None:
        await asyncio.get_running_loop().create_future()

    sent = await _recorded(steadfaas, CASES["waits for a sleep"])
    silent = await steadfaas.deploy(_answering(answer))
    found = await check(await steadfaas._host.engine(), sent.id, silent.id, seconds=0.05)
    assert (found.verdict, "0.05 s" in found.reason) == ("cannot-tell", True)


@pytest.mark.asyncio
async def test_few_checks_are_under_way_at_once(steadfaas: Steadfaas, old: Deployment) -> None:
    gate = asyncio.Event()
    begun: list[bytes] = []

    async def answer(content_type: bytes, send: Any) -> None:
        begun.append(content_type)
        await gate.wait()

    sent = await _recorded(steadfaas, CASES["waits for a sleep"])
    slow = await steadfaas.deploy(_answering(answer))
    engine = await steadfaas._host.engine()
    asked = [asyncio.create_task(check(engine, sent.id, slow.id)) for _ in range(10)]
    await until(lambda: len(begun) == 4)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(begun) == 4
    gate.set()
    found = await asyncio.gather(*asked)
    assert {one.verdict for one in found} == {"cannot-tell"}
    assert len(begun) == 10
