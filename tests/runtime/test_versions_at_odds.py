"""Versions that are named before anybody serves them: held requests, crashes, races."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from steadfaas.errors import Conflict
from steadfaas.store import invocations
from steadfaas.testing import InvocationFailed, Steadfaas
from tests.runtime.in_kit import crash_for, idle, pin, post, result, told
from tests.runtime.releases import NEVER, V1, V2, V3, VERSION, Release, deploy

pytestmark = pytest.mark.asyncio

# --- nobody serves it yet ----------------------------------------------------------------------


async def test_a_request_for_an_unknown_handler_is_held(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    tasks = [
        asyncio.create_task(post(steadfaas, path, x_steadfaas_version=V2))
        for path in ("Shop/extra", "Shop/extra/send", "Other/k/work", "Shop/nap2")
    ]
    await steadfaas.settle()
    held = steadfaas._host.running.held
    assert len(held) == 4
    await deploy(steadfaas, Release("v3"), V3)
    await steadfaas.settle()
    assert not any(task.done() for task in tasks)
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    assert len(held) == 3, "whoever goes away is not waited for"
    await deploy(steadfaas, Release("v2", extra=True), V2)
    await steadfaas.settle()
    assert result(await tasks[0]) == "extra v2"
    assert (await tasks[1]).status == 202
    assert told(await tasks[3])[0] == 404, "its version is there, without the handler"
    assert "SF0007" in told(await tasks[3])[1]
    assert len(held) == 0
    await idle(steadfaas)


async def test_a_request_that_is_held_is_stored_as_soon_as_its_handler_is_known(
    steadfaas: Steadfaas,
) -> None:
    task = asyncio.create_task(post(steadfaas, "Shop/extra/send", x_steadfaas_version=V2))
    await steadfaas.advance("1 min")
    v1 = await deploy(steadfaas, Release("v1", extra=True), V1)
    reply = await task
    assert reply.status == 202
    found = invocations.unfinished(steadfaas._host.running.store.reader, 0, 10)
    assert [one.wants for one in found] == [V2]
    await steadfaas.crash()
    await deploy(steadfaas, Release("v2", extra=True), V2)
    await steadfaas.settle()
    assert steadfaas.unfinished() == []
    assert steadfaas.drain(v1).unfinished == 0


async def test_the_time_of_one_that_is_held_ends(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    task = asyncio.create_task(post(steadfaas, "Shop/extra", x_steadfaas_version=V2))
    await steadfaas.advance("599 s")
    assert not task.done()
    await steadfaas.advance("1 s")
    assert told(await task) == (504, NEVER)
    assert len(steadfaas._host.running.held) == 0


async def test_few_are_held(steadfaas: Steadfaas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steadfaas.runtime.held.MOST", 2)
    monkeypatch.setattr("steadfaas.runtime.held.MOST_BYTES", 10)
    await deploy(steadfaas, Release("v1"), V1)
    big = await steadfaas.request("POST", "Shop/extra", b"x" * 11, {VERSION: V2})
    assert big.status == 429
    tasks = [
        asyncio.create_task(post(steadfaas, "Shop/extra", x_steadfaas_version=V2)) for _ in range(2)
    ]
    await steadfaas.settle()
    refused = await post(steadfaas, "Shop/extra", x_steadfaas_version=V2)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    stored = await post(steadfaas, "Shop/buy/send", "x", x_steadfaas_version=V2)
    assert stored.status == 202, "what is stored needs no place"
    await deploy(steadfaas, Release("v2", extra=True), V2)
    assert [result(await task) for task in tasks] == ["extra v2"] * 2


async def test_what_is_held_is_refused_when_the_engine_stops(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    task = asyncio.create_task(post(steadfaas, "Shop/extra", x_steadfaas_version=V2))
    await steadfaas.settle()
    await steadfaas._host.running.stop()
    assert told(await task) == (503, "the engine is shutting down; try again")


# --- crashes -----------------------------------------------------------------------------------


async def test_a_version_that_landed_just_before_a_crash_is_not_missed(
    steadfaas: Steadfaas,
) -> None:
    """The registration is stored, the engine dies before it looks who waits."""
    await deploy(steadfaas, Release("v1"), V1)
    sent = [await steadfaas.send("Shop/buy", "lamp", version=V2) for _ in range(3)]
    later = await steadfaas.send("Shop/buy", "lamp", version=V2, delay="1 h")
    steadfaas._host.running._landing.stop()
    v2 = await deploy(steadfaas, Release("v2"), V2)
    await steadfaas.settle()
    assert {one.status for one in sent} == {"scheduled"}
    await steadfaas.crash()
    await steadfaas.settle()
    assert [one.status for one in sent] == ["completed"] * 3
    assert (later.status, pin(later)) == ("scheduled", v2.id)
    await steadfaas.crash()
    assert [await one.result() for one in (*sent, later)] == ["v2"] * 4


async def test_before_its_time_is_over_it_looks_once_more(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    one = await steadfaas.send("Shop/buy", "lamp", version=V2)
    steadfaas._host.running._landing.stop()
    await deploy(steadfaas, Release("v2"), V2)
    assert await one.result() == "v2"


async def test_a_landing_that_cannot_be_stored_is_tried_again(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    one = await steadfaas.send("Shop/buy", "lamp", version=V2)
    engine = steadfaas._host.running
    submit = engine._landing._submit
    failures: list[int] = []

    def fail_once(change: Any, failed: Any) -> None:
        def broken(work: Any) -> None:
            change(work)
            raise RuntimeError("the disk is full")

        if not failures:
            failures.append(1)
            submit(broken, failed)
        else:
            submit(change, failed)

    engine._landing._submit = fail_once
    await deploy(steadfaas, Release("v2"), V2)
    await steadfaas.settle()
    assert one.status == "scheduled"
    await steadfaas.advance("1 s")
    assert one.status == "completed"
    assert await one.result() == "v2"
    await idle(steadfaas)


async def test_a_deadline_that_passes_while_the_engine_is_down(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    one = await steadfaas.send("Shop/buy", "lamp", version=V2)
    await crash_for(steadfaas, "1 day")
    await steadfaas.settle()
    with pytest.raises(InvocationFailed, match="SF0006"):
        await one.result()


# --- races between acceptance, registration and removal ----------------------------------------


async def test_acceptance_and_registration_at_the_same_moment(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    replies = [
        asyncio.create_task(post(steadfaas, "Shop/buy", n, x_steadfaas_version=V2))
        for n in range(3)
    ]
    deployed = asyncio.create_task(deploy(steadfaas, Release("v2"), V2))
    for number in range(3, 40):
        replies.append(
            asyncio.create_task(post(steadfaas, "Shop/buy", number, x_steadfaas_version=V2))
        )
        await asyncio.sleep(0)
    await deployed
    await steadfaas.settle()
    assert [result(await reply) for reply in replies] == ["v2"] * 40
    await idle(steadfaas)


async def test_acceptance_and_removal_at_the_same_moment(steadfaas: Steadfaas) -> None:
    """It is pinned, and the version stays; or the version has gone, and it waits."""
    v1 = await deploy(steadfaas, Release("v1"), V1)
    await deploy(steadfaas, Release("v2"), V2)
    sends = []
    removal = asyncio.create_task(steadfaas.remove(v1))
    for number in range(20):
        await asyncio.sleep(0)
        sends.append(
            asyncio.create_task(steadfaas.send("Shop/buy", number, version=V1, delay="1 h"))
        )
    sent = [await one for one in sends]
    try:
        await removal
    except Conflict:
        assert {pin(one) for one in sent} >= {v1.id}
    else:
        assert {pin(one) for one in sent} == {None}
        await deploy(steadfaas, Release("v1"), V1)
    assert [await one.result() for one in sent] == ["v1"] * 20
