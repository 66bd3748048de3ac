"""Operators change the state of a key: at once, or in its turn behind those who use the key."""

from __future__ import annotations

import json

import pytest
import restate

from steadfaas.errors import BadRequest, NotFound, StoreError
from steadfaas.store import keys
from steadfaas.store.state import StateChange
from steadfaas.store.state_version import state_version
from steadfaas.testing import Steadfaas
from tests.runtime.books import check_books
from tests.runtime.in_kit import idle
from tests.runtime.test_batches import Refusing
from tests.runtime.yard import Yard, check_whole, counts, dump, operate, operators

pytestmark = pytest.mark.asyncio


def _total(value: int) -> dict[bytes, bytes]:
    return {b"total": json.dumps(value).encode()}


async def _change(
    kit: Steadfaas, target: str, state: dict[bytes, bytes], version: str | None = None
) -> None:
    service, _, key = target.partition("/")
    change = StateChange(state, version)
    await kit._host.asked(operators(kit).change_state(service, key, change))
    await kit.settle()


def _version(kit: Steadfaas, target: str) -> str:
    service, _, key = target.partition("/")
    reader = kit._host.running.store.reader
    return state_version(keys.all_state(reader, service, key, 10**6)[0])


async def test_a_free_key_changes_at_once(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    await _change(steadfaas, "Cart/new", _total(7))
    assert steadfaas.state("Cart/new") == {"total": 7}
    assert await steadfaas.call("Cart/new/add", 1) == 8
    await _change(steadfaas, "Cart/new", {b"other": b'"x"'})
    assert steadfaas.state("Cart/new") == {"other": "x"}, "the whole state is another"
    assert await steadfaas.call("Cart/new/look") is None
    await _change(steadfaas, "Cart/new", {})
    assert steadfaas.state("Cart/new") == {}
    await idle(steadfaas)


@pytest.mark.parametrize("crash", [False, True])
async def test_it_waits_behind_who_holds_the_key(steadfaas: Steadfaas, crash: bool) -> None:
    await steadfaas.deploy(Yard().app)
    holder = await steadfaas.send("Cart/k/put", 1)
    await steadfaas.settle()
    await _change(steadfaas, "Cart/k", _total(100))
    assert steadfaas.state("Cart/k") == {"total": 1}
    queued = await steadfaas.send("Cart/k/add", 10)
    await steadfaas.settle()
    assert counts(steadfaas)["state_change"] == 1
    check_books(steadfaas._host.running)
    check_whole(steadfaas)
    if crash:
        await steadfaas.crash()
    assert await steadfaas.call("Cart/k/look") == 1, "shared handlers do not wait for it"
    assert [await holder.result(), await queued.result()] == [1, 110]
    assert "state_change" not in counts(steadfaas)
    await idle(steadfaas)


async def test_changes_and_invocations_keep_their_order(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    await steadfaas.send("Cart/k/put", 1)
    await _change(steadfaas, "Cart/k", _total(100))
    await _change(steadfaas, "Cart/k", _total(200))
    first = await steadfaas.send("Cart/k/put", 1)
    await _change(steadfaas, "Cart/k", {})
    second = await steadfaas.send("Cart/k/add", 5)
    third = await steadfaas.send("Cart/k/add", 5)
    await _change(steadfaas, "Cart/k", _total(1000))
    assert steadfaas.state("Cart/k") == {"total": 1}
    assert counts(steadfaas)["inbox"] == 8
    check_whole(steadfaas)
    assert [await one.result() for one in (first, second, third)] == [201, 5, 10]
    assert steadfaas.state("Cart/k") == {"total": 1000}
    assert set(counts(steadfaas)) == {"invocation", "journal", "attempt", "state"}
    await idle(steadfaas)


@pytest.mark.parametrize("end", ["cancel", "kill"])
async def test_it_is_made_however_the_holder_ends(steadfaas: Steadfaas, end: str) -> None:
    await steadfaas.deploy(Yard().app)
    holder = await steadfaas.send("Cart/k/put", 1)
    await steadfaas.settle()
    await _change(steadfaas, "Cart/k", _total(100))
    queued = await steadfaas.send("Cart/k/put", 10)
    last = await steadfaas.send("Cart/k/add", 1)
    await _change(steadfaas, "Cart/k", _total(7))
    # One that gives up its place further back leaves the changes around it as they are.
    await operate(steadfaas, queued, end)
    assert steadfaas.state("Cart/k") == {"total": 1}
    await operate(steadfaas, holder, end)
    assert await last.result() == 101
    assert steadfaas.state("Cart/k") == {"total": 7}
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_it_waits_for_one_that_is_paused_and_for_one_that_retries(
    steadfaas: Steadfaas,
) -> None:
    await steadfaas.deploy(Yard().app)
    holder = await steadfaas.send("Cart/k/put", 1)
    await steadfaas.settle()
    await operate(steadfaas, holder, "pause")
    await _change(steadfaas, "Cart/k", _total(100))
    await steadfaas.advance("1 day")
    assert steadfaas.state("Cart/k") == {"total": 1}
    back = steadfaas.fail(times=None)
    await operate(steadfaas, holder, "resume")
    await steadfaas.advance("5 min")
    assert (holder.status, steadfaas.state("Cart/k")) == ("backing-off", {"total": 1})
    back()
    assert await holder.result() == 1
    assert steadfaas.state("Cart/k") == {"total": 100}


async def test_a_change_that_comes_too_late_is_dropped(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    await steadfaas.call("Cart/k/add", 1)
    looked_at = _version(steadfaas, "Cart/k")
    await _change(steadfaas, "Cart/k", _total(2), looked_at)
    assert steadfaas.state("Cart/k") == {"total": 2}
    await _change(steadfaas, "Cart/k", _total(3), looked_at)
    assert steadfaas.state("Cart/k") == {"total": 2}
    # In its turn, what counts is the state of that moment.
    holder = await steadfaas.send("Cart/k/put", 10)
    await steadfaas.settle()
    after_it = _version(steadfaas, "Cart/k")
    await _change(steadfaas, "Cart/k", _total(100), looked_at)
    await _change(steadfaas, "Cart/k", _total(200), after_it)
    await _change(steadfaas, "Cart/k", _total(300), after_it)
    assert await holder.result() == 12
    assert steadfaas.state("Cart/k") == {"total": 200}
    check_whole(steadfaas)


async def test_it_waits_for_the_run_of_a_workflow(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    await _change(steadfaas, "Sign/k", {b"who": b'"Eve"'})
    assert steadfaas.state("Sign/k") == {"who": "Eve"}, "nobody has run it yet"
    run = await steadfaas.send("Sign/k/run", "Ada")
    await steadfaas.settle()
    await _change(steadfaas, "Sign/k", {b"who": b'"Bob"'})
    await _change(steadfaas, "Sign/k", {b"who": b'"Cy"'}, _version(steadfaas, "Sign/k"))
    assert steadfaas.state("Sign/k") == {"who": "Ada"}
    check_whole(steadfaas)
    await steadfaas.crash()
    await steadfaas.call("Sign/k/click", "yes")
    assert await run.result() == "Ada yes"
    assert steadfaas.state("Sign/k") == {"who": "Bob"}
    await _change(steadfaas, "Sign/k", {b"who": b'"Dot"'})
    assert steadfaas.state("Sign/k") == {"who": "Dot"}
    check_whole(steadfaas)
    await operate(steadfaas, run, "purge")
    assert steadfaas.state("Sign/k") == {}
    await idle(steadfaas)


async def test_the_line_goes_on_over_a_change_when_the_head_leaves_before_it_began(
    steadfaas: Steadfaas,
) -> None:
    await steadfaas.deploy(Yard().app)
    steadfaas.delay(by="1 hour")
    holder = await steadfaas.send("Cart/k/put", 1)
    await steadfaas.settle()
    await _change(steadfaas, "Cart/k", _total(100))
    queued = await steadfaas.send("Cart/k/add", 1)
    await operate(steadfaas, holder, "kill")
    assert await queued.result() == 101
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_what_has_no_state_has_none_to_change(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    before = dump(steadfaas)
    with pytest.raises(NotFound, match="'Nothing' does not exist"):
        await _change(steadfaas, "Nothing/k", {})
    with pytest.raises(BadRequest, match="service type Service"):
        await _change(steadfaas, "Job/k", {})
    assert dump(steadfaas) == before


@pytest.mark.parametrize("statement", ["COMMIT", "DELETE FROM state", "INSERT INTO state"])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_change_that_cannot_be_stored_has_not_happened(
    steadfaas: Steadfaas, statement: str, busy: bool
) -> None:
    await steadfaas.deploy(Yard().app)
    holder = await steadfaas.send("Cart/k/put", 1)
    if not busy:
        await holder.result()
    await steadfaas.settle()
    before = dump(steadfaas)
    refusing = Refusing(steadfaas, lambda sql: sql.startswith(statement))
    if busy and statement == "DELETE FROM state":
        await _change(steadfaas, "Cart/k", _total(100))
        # The holder's end is refused with it; it is asked again, and then all is stored.
        await steadfaas.advance("11 min")
        assert "interrupted" in holder.attempts.outcomes
    else:
        with pytest.raises(StoreError):
            await _change(steadfaas, "Cart/k", _total(100))
        assert dump(steadfaas) == before
        await _change(steadfaas, "Cart/k", _total(100))
    assert refusing.left == 0
    await holder.result()
    assert steadfaas.state("Cart/k") == {"total": 100}
    check_whole(steadfaas)
    await idle(steadfaas)


async def test_an_object_that_is_now_a_workflow_keeps_its_line(steadfaas: Steadfaas) -> None:
    """The change waits where the old handlers stand, or is made for the new ones; none is lost."""
    await steadfaas.deploy(Yard().app)
    holder = await steadfaas.send("Cart/k/put", 1)
    await steadfaas.settle()
    await _change(steadfaas, "Cart/k", _total(100))
    flow = restate.Workflow("Cart")

    @flow.main()
    async def run(ctx: restate.WorkflowContext) -> int | None:
        return await ctx.get("total", type_hint=int)

    await steadfaas.deploy(restate.app([flow]), breaking=True)
    assert await holder.result() == 1
    assert steadfaas.state("Cart/k") == {"total": 100}
    check_whole(steadfaas)
    await idle(steadfaas)
