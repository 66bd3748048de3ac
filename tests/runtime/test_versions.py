"""Requests for a version that the caller names by an id of its own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from steadfaas.deployments.register import Registration
from steadfaas.errors import Conflict
from steadfaas.runtime.engine import Tuning
from steadfaas.testing import InvocationFailed, Refused, Steadfaas
from tests.runtime.in_kit import get, idle, pin, post, result, told
from tests.runtime.releases import (
    NEVER,
    V1,
    V2,
    V3,
    VERSION,
    Other,
    Release,
    deploy,
    described,
)

pytestmark = pytest.mark.asyncio

short = pytest.mark.steadfaas(tuning=Tuning(version_wait=0, drain_seconds=0))


# --- it has landed -----------------------------------------------------------------------------


async def test_it_goes_to_the_version_that_it_names(steadfaas: Steadfaas) -> None:
    v1 = await deploy(steadfaas, Release("v1"), V1)
    v2 = await deploy(steadfaas, Release("v2"), V2)
    v3 = await deploy(steadfaas, Release("v3"))
    assert await steadfaas.call("Shop/buy", "lamp") == "v3"
    for version, expected in ((V1, v1), (V2, v2), ("team:web", v2)):
        one = await steadfaas.send("Shop/buy", "lamp", version=version)
        assert pin(one) == expected.id
        assert await one.result() == expected.name
    later = await steadfaas.send("Shop/buy", "lamp", version=V1, delay="1 day")
    assert pin(later) == v1.id, "pinned when it was accepted"
    assert described(steadfaas, later).version == 6
    assert steadfaas.drain(v1).counts["scheduled"] == 1
    assert steadfaas.drain(v3).unfinished == 0
    with pytest.raises(Conflict, match="1 scheduled"):
        await steadfaas.remove(v1)
    assert await later.result() == "v1"
    assert await steadfaas.call("Shop/buy", "lamp", version="team:web") == "v2"
    await steadfaas.promote(v1)
    assert await steadfaas.call("Shop/buy", "lamp", version="team:web") == "v1", (
        "newest is promoted"
    )
    await idle(steadfaas)


async def test_retries_and_restarts_stay_on_it(steadfaas: Steadfaas) -> None:
    v1 = await deploy(steadfaas, Release("v1"), V1)
    await deploy(steadfaas, Release("v2"), V2)
    outage_ends = steadfaas.fail(v1, times=None, status=502)
    one = await steadfaas.send("Shop/nap", version=V1)
    await steadfaas.advance("1 min")
    assert one.status == "backing-off"
    await steadfaas.crash()
    outage_ends()
    assert await one.result() == "v1"
    assert one.attempts.deployments == {v1}


async def test_it_stands_in_the_line_of_its_key(steadfaas: Steadfaas) -> None:
    ran: list[Any] = []
    await deploy(steadfaas, Release("v1", ran=ran), V1)
    await deploy(steadfaas, Release("v2", ran=ran), V2)
    sent = [
        await steadfaas.send("Cart/a/add", number, version=version)
        for number, version in enumerate([V2, V1, None, V1, "git:9", V2])
    ]
    await steadfaas.settle()
    assert [one.status for one in sent] == [
        "suspended", "pending", "pending", "pending", "scheduled", "pending",
    ]  # fmt: skip
    await deploy(steadfaas, Release("v3", ran=ran), "git:9")
    # One that named none goes to the newest when its turn comes, as ever.
    assert [await one.result() for one in sent] == ["v2", "v1", "v3", "v1", "v3", "v2"]
    assert ran == [("v2", 0), ("v1", 1), ("v3", 2), ("v1", 3), ("v2", 5), ("v3", 4)]


async def test_an_existing_invocation_wins_wherever_it_is(steadfaas: Steadfaas) -> None:
    v1 = await deploy(steadfaas, Release("v1"), V1)
    await deploy(steadfaas, Release("v2"), V2)
    first = await steadfaas.send("Shop/buy", "lamp", version=V1, idempotency_key="k")
    for version in (V1, V2, V3, None):
        again = await steadfaas.send("Shop/buy", "lamp", version=version, idempotency_key="k")
        assert again.id == first.id
        assert await again.result() == "v1"
    assert first.attempts.deployments == {v1}
    run = await steadfaas.send("Flow/w/run", version=V1)
    reply = await post(steadfaas, "Flow/w/run", x_steadfaas_version=V3)
    assert told(reply) == (409, "the workflow method was already invoked")
    assert await run.result() == "v1"


@short
async def test_an_existing_invocation_wins_over_a_version_that_may_not_be_waited_for(
    steadfaas: Steadfaas,
) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    first = await steadfaas.send("Shop/buy", "lamp", version=V1, idempotency_key="k")
    again = await steadfaas.send("Shop/buy", "lamp", version=V3, idempotency_key="k")
    assert again.id == first.id


async def test_handlers_call_the_newest_version_as_ever(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    await deploy(steadfaas, Release("v2"), V2)
    assert await steadfaas.call("Shop/order", "lamp", version=V1) == "v2"


async def test_a_request_is_checked_by_the_version_that_takes_it(steadfaas: Steadfaas) -> None:
    v1 = await deploy(steadfaas, Release("v1", raw=True, extra=True), V1)
    await deploy(steadfaas, Release("v2", private=True), V2, breaking=True)
    await deploy(steadfaas, Release("v3", sells=False, keyed=True), V3, breaking=True)
    raw = {"content-type": "image/png"}

    async def buy(version: str, path: str = "Shop/buy") -> tuple[int, str]:
        reply = await steadfaas.request("POST", path, b"\x00", {VERSION: version, **raw})
        await steadfaas.settle()
        return reply.status, reply.body.decode()

    task = asyncio.create_task(buy(V1))
    await steadfaas.settle()
    assert await task == (200, '"v1"')
    assert await steadfaas.call("Shop/extra", version=V1) == "extra v1"
    for version, path, status, message in (
        (V2, "Shop/buy", 400, "the invoked service is not public"),
        (V3, "Shop/k/nap", 400, "input validation error: this handler takes neither body"),
        (V3, "Shop/buy", 400, "bad path, expected either"),
        (V3, "Shop/k/buy", 404, "[SF0007] the deployment 'dp_"),
        (V1, "Shop/nope", 404, f"[SF0007] the deployment '{v1.id}', which carries {V1}, does not"
         " serve 'Shop/nope'; send it to a version that takes it, or without x-steadfaas-version"),
    ):  # fmt: skip
        answered, body = await buy(version, path)
        assert answered == status
        assert json.loads(body)["message"].startswith(message)


async def test_the_handler_sees_the_header(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    one = await steadfaas.send("Shop/buy", "lamp", version=V1)
    headers = {header.key: header.value for header in one.journal[0].message.headers}
    assert headers[VERSION] == V1


# --- it has not landed yet ---------------------------------------------------------------------


async def test_it_waits_for_its_version_and_starts_with_it(steadfaas: Steadfaas) -> None:
    v1 = await deploy(steadfaas, Release("v1"), V1)
    one = await steadfaas.send("Shop/buy", "lamp", version=V2)
    await steadfaas.advance("9 min")
    assert one.status == "scheduled"
    assert pin(one) is None
    assert steadfaas.unfinished() == [f"{one!r} waits for a deployment that carries {V2}"]
    assert steadfaas.drain(v1).unfinished == 0, "it needs no deployment"
    await deploy(steadfaas, Release("v3"), V3)
    assert one.status == "scheduled"
    v2 = await deploy(steadfaas, Release("v2"), V2)
    await steadfaas.settle()
    assert one.status == "completed", "without that any time passed"
    assert one.attempts.deployments == {v2}
    assert described(steadfaas, one).wants is None
    await steadfaas.advance("1 day")
    assert await one.result() == "v2"
    await idle(steadfaas)


async def test_a_call_waits_with_it(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    call = asyncio.create_task(
        post(steadfaas, "restate/call/Shop/buy", "x", x_steadfaas_version=V2)
    )
    get_call = asyncio.create_task(
        steadfaas.request("GET", "Shop/nap", headers={VERSION.upper(): V2})
    )
    await steadfaas.settle()
    assert not call.done()
    await deploy(steadfaas, Release("v2"), V2)
    await steadfaas.advance("1 h")
    assert result(await call) == "v2"
    assert result(await get_call) == "v2"


async def test_its_time_ends(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    call = asyncio.create_task(post(steadfaas, "Shop/buy", "lamp", x_steadfaas_version=V2))
    sent = await steadfaas.send("Shop/buy", "lamp", version=V2)
    with pytest.raises(InvocationFailed) as failed:
        await sent.result()
    assert (failed.value.code, failed.value.message) == (504, NEVER)
    assert told(await call) == (504, NEVER)
    assert list(sent.attempts) == []
    assert sent.last_failure is not None
    assert sent.last_failure.code == "SF0006"
    await deploy(steadfaas, release := Release("v2"), V2)
    await steadfaas.advance("1 day")
    assert release.ran == [], "what has ended does not begin"
    output = await get(steadfaas, f"restate/invocation/{sent.text_id}/output")
    assert told(output) == (504, NEVER), "whoever sent it can look it up"
    again = await sent.restart()
    assert await again.result() == "v2"
    await idle(steadfaas)


async def test_whoever_asks_may_wait_shorter_but_not_longer(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    begun = steadfaas.now()
    for wait, minutes in (("30s", 0.5), ("1 h", 10)):
        headers = {"x-steadfaas-version-wait": wait}
        one = await steadfaas.send("Shop/buy", "lamp", version=V2, headers=headers)
        assert described(steadfaas, one).wants_until == begun + minutes * 60_000
    with pytest.raises(Refused, match=r"504: \[SF0006\] no deployment that carries git:2222222"):
        await steadfaas.send(
            "Shop/buy", "lamp", version=V2, headers={"x-steadfaas-version-wait": "0s"}
        )


@short
async def test_nobody_need_wait(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    for target in ("Shop/buy", "Shop/extra", "Nope/buy"):
        with pytest.raises(Refused) as refused:
            await steadfaas.send(target, "lamp", version=V2)
        assert refused.value.status == 504
        assert "was registered yet; send it again" in refused.value.message
    assert await steadfaas.call("Shop/buy", "lamp", version=V1) == "v1"
    assert steadfaas.unfinished() == []
    later = await steadfaas.send("Shop/buy", "lamp", version=V2, delay="1 h")
    await steadfaas.advance("59 min")
    await deploy(steadfaas, Release("v2"), V2)
    assert await later.result() == "v2", "it must be there when it is to start, no sooner"


@short
async def test_a_delayed_one_that_may_not_wait_starts_at_its_time_and_no_sooner(
    steadfaas: Steadfaas,
) -> None:
    """The time to start and the end of the waiting are the same then."""
    release = Release("v1")
    await deploy(steadfaas, release, V1)
    landed = await steadfaas.send("Shop/buy", "landed", version=V1, delay="10s")
    awaited = await steadfaas.send("Shop/buy", "awaited", version=V2, delay="10s")
    missed = await steadfaas.send("Shop/buy", "missed", version=V3, delay="10s")
    far = await steadfaas.send("Shop/buy", "far", version=V2, delay="200000 d")
    v2 = await deploy(steadfaas, Release("v2", ran=release.ran), V2)
    await steadfaas.advance("9s")
    assert release.ran == []
    assert [pin(one) for one in (awaited, far)] == [v2.id, v2.id]
    await steadfaas.advance("1s")
    assert sorted(release.ran) == [("v1", "landed"), ("v2", "awaited")]
    assert (landed.status, far.status) == ("completed", "scheduled")
    with pytest.raises(InvocationFailed, match="SF0006"):
        await missed.result()


async def test_a_delayed_one_waits_from_the_time_when_it_would_start(
    steadfaas: Steadfaas,
) -> None:
    ran: list[Any] = []
    await deploy(steadfaas, Release("v1", ran=ran), V1)
    early = await steadfaas.send("Shop/buy", "early", version=V2, delay="1 h")
    late = await steadfaas.send("Shop/buy", "late", version=V3, delay="1 h")
    never = await steadfaas.send("Shop/buy", "never", version="git:4", delay="1 h")
    await steadfaas.advance("30 min")
    v2 = await deploy(steadfaas, Release("v2", ran=ran), V2)
    await steadfaas.settle()
    assert (early.status, pin(early)) == ("scheduled", v2.id), "pinned, and not before its time"
    assert steadfaas.drain(v2).counts["scheduled"] == 1
    await steadfaas.advance("35 min")
    assert (early.status, late.status) == ("completed", "scheduled")
    await steadfaas.crash()
    await deploy(steadfaas, Release("v3", ran=ran), V3)
    await steadfaas.settle()
    assert ran == [("v2", "early"), ("v3", "late")]
    await steadfaas.advance("4 min")
    assert never.status == "scheduled"
    await steadfaas.advance("1 min")
    with pytest.raises(InvocationFailed, match="within 1h 10m"):
        await never.result()


async def test_many_start_in_the_order_of_their_acceptance(steadfaas: Steadfaas) -> None:
    ran: list[Any] = []
    await deploy(steadfaas, Release("v1", ran=ran), V1)
    versions = [V2, "team:other", V3]
    for number in range(450):  # more than one page
        await steadfaas.send("Cart/a/add", number, version=versions[number % 3])
    key, _, value = V2.partition(":")
    other = Release("v2", ran=ran)
    await steadfaas.deploy(other.app, metadata={key: value, "team": "other"})
    await steadfaas.settle()
    await deploy(steadfaas, Release("v3", ran=ran), V3)
    await steadfaas.advance("2 h")
    expected = [("v2", number) for number in range(450) if number % 3 != 2]
    expected += [("v3", number) for number in range(450) if number % 3 == 2]
    assert ran == expected
    await idle(steadfaas)


async def test_what_waits_may_be_cancelled_killed_and_not_resumed(steadfaas: Steadfaas) -> None:
    await deploy(steadfaas, Release("v1"), V1)
    calls = [
        asyncio.create_task(post(steadfaas, "Shop/buy", "lamp", x_steadfaas_version=V2))
        for _ in range(2)
    ]
    cancelled = await steadfaas.send("Shop/buy", "lamp", version=V2)
    killed = await steadfaas.send("Cart/a/add", "lamp", version=V2, idempotency_key="k")
    for refused in (cancelled.pause, cancelled.resume, cancelled.purge, cancelled.restart):
        with pytest.raises(Refused):
            await refused()
    await cancelled.cancel()
    await killed.kill()
    assert (cancelled.status, killed.status) == ("unknown", "unknown"), "they never were"
    again = await steadfaas.send("Cart/a/add", "lamp", version=V1, idempotency_key="k")
    assert await again.result() == "v1"
    await deploy(steadfaas, release := Release("v2"), V2)
    assert [result(reply) for reply in await asyncio.gather(*calls)] == ["v2", "v2"]
    await steadfaas.advance("1 day")
    assert release.ran == [("v2", "lamp")] * 2
    await idle(steadfaas)


async def test_what_never_began_may_be_sent_again(steadfaas: Steadfaas) -> None:
    """An idempotency key and a workflow's key are taken by what has begun, or still may."""
    await deploy(steadfaas, Release("v1"), V1)
    first = await steadfaas.send("Shop/buy", "lamp", version=V2, idempotency_key="k")
    same = await steadfaas.send("Shop/buy", "lamp", version=V3, idempotency_key="k")
    run = await steadfaas.send("Flow/w/run", version=V2)
    assert same.id == first.id
    for missed in (first, run):
        with pytest.raises(InvocationFailed, match="SF0006"):
            await missed.result()
    v2 = await deploy(steadfaas, Release("v2"), V2)
    assert await steadfaas.call("Shop/buy", "lamp", version=V2, idempotency_key="k") == "v2"
    assert await steadfaas.call("Flow/w/run", version=V2) == "v2"
    assert first.attempts.deployments == {v2}
    await idle(steadfaas)


@pytest.mark.parametrize(
    ("options", "target", "status", "message"),
    [
        ({"sells": False}, "Shop/buy", 404, "does not serve 'Shop/buy'"),
        ({"keyed": True}, "Shop/buy", 400, "serves 'Shop/buy' as another kind of handler"),
        ({"private": True}, "Shop/buy", 400, "does not offer it to the ingress"),
        ({"raw": False}, "Shop/nap", 400, "does not take it: input validation error"),
    ],
)
async def test_a_version_that_cannot_take_it_says_so_at_once(
    steadfaas: Steadfaas, options: dict[str, Any], target: str, status: int, message: str
) -> None:
    v1 = await deploy(steadfaas, Release("v1", raw=True), V1)
    one = await steadfaas.send(target, b"bytes", version=V2)
    v2 = await deploy(steadfaas, Release("v2", **options), V2, breaking=True)
    await steadfaas.settle()
    assert one.status == "completed"
    with pytest.raises(InvocationFailed) as failed:
        await one.result()
    assert failed.value.code == status
    assert failed.value.message.startswith(
        f"[SF0007] the deployment '{v2.id}', which carries {V2}, {message}"
    )
    assert steadfaas.drain(v1).unfinished == steadfaas.drain(v2).unfinished == 0
    await idle(steadfaas)


async def test_what_the_newest_version_hides_or_refuses_another_may_take(
    steadfaas: Steadfaas,
) -> None:
    await deploy(steadfaas, Release("v1", private=True), V1)
    headers = {VERSION: V2, "content-type": "image/png"}
    call = asyncio.create_task(steadfaas.request("POST", "Shop/buy", b"bytes", headers))
    await steadfaas.settle()
    assert not call.done()
    await deploy(steadfaas, Release("v2", raw=True, output="text/x-v2"), V2)
    reply = await call
    assert (reply.status, reply.headers["content-type"]) == (200, "text/x-v2")
    assert (await post(steadfaas, "Shop/buy", "x", x_steadfaas_version=V1)).status == 400


async def test_only_a_deployment_of_the_service_counts(steadfaas: Steadfaas) -> None:
    """One commit may make several deployments; which comes first is chance."""
    await deploy(steadfaas, Release("v1"), V1)
    one = await steadfaas.send("Shop/buy", "lamp", version=V2)
    await deploy(steadfaas, Other(), V2)
    await steadfaas.settle()
    assert one.status == "scheduled"
    await deploy(steadfaas, Release("v2"), V2)
    assert await one.result() == "v2"


async def test_metadata_that_changes_is_looked_at_anew(steadfaas: Steadfaas) -> None:
    release = Release("v1")
    await deploy(steadfaas, release, V1)
    one = await steadfaas.send("Shop/buy", "lamp", version=V2)
    registry = await steadfaas._host.registry()
    await registry.register(
        Registration(target="http://d1.steadfaas.test/", force=True, metadata={"git": "2222222"})
    )
    await steadfaas.settle()
    assert one.status == "completed"
    assert await steadfaas.call("Shop/buy", "lamp", version=V2) == "v1"
    with pytest.raises(InvocationFailed, match="SF0006"):
        await steadfaas.call("Shop/buy", "lamp", version=V1)


async def test_it_outlives_the_version_that_was_newest(steadfaas: Steadfaas) -> None:
    v1 = await deploy(steadfaas, Release("v1"), V1)
    one = await steadfaas.send("Shop/buy", "lamp", version=V2)
    await steadfaas.remove(v1, force=True)
    await steadfaas.advance("5 min")
    assert one.status == "scheduled"
    await steadfaas.crash()
    await deploy(steadfaas, Release("v2"), V2)
    assert await one.result() == "v2"
