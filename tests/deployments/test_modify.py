"""Changing how a deployment is reached, and what it serves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from steadfaas.deployments.register import Connection, Modification, Modified, Registration
from steadfaas.errors import BadRequest, Conflict, DiscoveryError, NotFound, StoreError
from steadfaas.machine.status import Status
from tests.deployments.world import Answer, World, announce, run, service, serving, world


async def modify(here: World, id: str, **fields: Any) -> Modified:
    return await here.registry.modify(Modification(id, **fields))


def history(modified: Modified) -> list[tuple[str, str, str]]:
    return [(each.by, each.what, each.detail) for each in modified.deployment.changes]


# --- the connection ----------------------------------------------------------------------------


def test_another_address_keeps_everything_but_the_connection() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A", "buy"), service("B"))) as one,
            serving(announce(service("A", "sell"), service("C"), maxProtocolVersion=6)) as two,
        ):
            before = await here.register(
                one.uri, connection=Connection((("x-key", "s3cret"),)), metadata={"a": "b"}
            )
            done = await modify(here, before.id, target=two.uri.upper(), actor="ann")
            after = done.deployment
            assert after == replace(before, uri=two.uri, max_version=6, changes=after.changes)
            assert after.services["A"] is before.services["A"]
            assert here.catalog.deployment(before.id) is after
            assert two.requests[0].headers["x-key"] == "s3cret"
            assert history(done) == [("ann", "address changed", f"{one.uri} -> {two.uri}")]
            assert done.warnings == (
                "the new address serves 'A' without the handler 'buy'.",
                "the new address does not serve 'B', which this deployment has.",
            )
            assert here.same_after_restart()

    run(test())


def test_a_type_that_differs_there_is_told() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A", ty="VIRTUAL_OBJECT"))) as two,
        ):
            id = (await here.register(one.uri)).id
            done = await modify(here, id, target=two.uri)
            assert done.warnings == (
                "the new address serves 'A' as a VIRTUAL_OBJECT, this deployment has it as a"
                " SERVICE.",
            )

    run(test())


def test_headers_are_replaced_as_a_whole_and_never_told() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            given = (("authorization", "old-s3cret"), ("x-a", "1"), ("x-b", "2"))
            before = await here.register(one.uri, connection=Connection(given))
            wanted = (("authorization", "new-s3cret"), ("x-b", "2"), ("x-c", "3"))
            done = await modify(here, before.id, headers=wanted, actor="ann")
            assert done.deployment.headers == wanted
            assert history(done) == [
                ("ann", "headers changed", "set: authorization, x-c; removed: x-a")
            ]
            assert "s3cret" not in repr(done.deployment.changes)
            assert len(one.requests) == 1  # secrets can be renewed while the endpoint is down
            assert (await modify(here, before.id, headers=())).deployment.headers == ()
            assert here.same_after_restart()

    run(test())


def test_notes_are_replaced_as_a_whole_and_nobody_is_asked() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            before = await here.register(one.uri, metadata={"team": "web", "commit": "1", "a": "b"})
            wanted = {"team": "web", "commit": "2", "c": "d"}
            would = await modify(here, before.id, metadata=wanted, dry_run=True)
            assert would.deployment == replace(before, metadata=wanted)
            assert here.catalog.deployment(before.id) is before
            done = await modify(here, before.id, metadata=wanted, actor="ann")
            after = done.deployment
            assert after == replace(before, metadata=wanted, changes=after.changes)
            assert history(done) == [("ann", "metadata changed", "set: c, commit; removed: a")]
            assert after.services is before.services
            assert len(one.requests) == 1
            here.writer.asked.clear()
            assert (await modify(here, before.id, metadata=dict(wanted))).deployment is after
            assert not here.writer.asked.is_set()
            assert (await modify(here, before.id, metadata={})).deployment.metadata == {}
            assert here.same_after_restart()

    run(test())


def test_secret_headers_are_replaced_as_a_whole() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            secrets = (("x-a", "env:A"), ("x-b", "env:B"))
            before = await here.register(one.uri)
            done = await modify(here, before.id, secret_headers=secrets)
            assert done.deployment.secret_headers == secrets
            done = await modify(here, before.id, secret_headers=())
            assert done.deployment.secret_headers == ()
            assert [each[2] for each in history(done)] == ["set: x-a, x-b", "removed: x-a, x-b"]
            with pytest.raises(BadRequest, match="plain-http knows no protection"):
                await modify(here, before.id, protection=("env:A",))
            assert (await modify(here, before.id, protection=())).deployment is done.deployment
            assert here.same_after_restart()

    run(test())


def test_nothing_asked_for_changes_nothing_and_writes_nothing() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            before = await here.register(one.uri, connection=Connection((("x-a", "1"),)))
            here.writer.asked.clear()
            for fields in ({}, {"target": one.uri}, {"headers": (("x-a", "1"),)}):
                done = await modify(here, before.id, **fields)
                assert done == Modified(before)
                assert done.deployment is before
            assert not here.writer.asked.is_set()
            assert len(one.requests) == 1

    run(test())


def test_a_dry_run_tells_and_stores_nothing() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A", "sell"))) as two,
        ):
            before = await here.register(one.uri)
            for overwrite in (False, True):
                would = await modify(
                    here, before.id, target=two.uri, overwrite=overwrite, dry_run=True
                )
                assert would.deployment.uri == two.uri
                assert would.deployment.services["A"].revision == (2 if overwrite else 1)
                assert len(would.warnings) == 1
                assert would.deployment.changes == ()
                assert here.catalog.deployment(before.id) is before
                assert here.same_after_restart()

    run(test())


def test_the_address_of_another_deployment_is_allowed_and_the_newest_is_meant() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
        ):
            old = await here.register(one.uri)
            new = await here.register(two.uri)
            await modify(here, old.id, target=two.uri)
            assert (await here.register(two.uri)).id == new.id
            await modify(here, new.id, target=one.uri)
            assert (await here.register(two.uri)).id == old.id

    run(test())


# --- what is refused ---------------------------------------------------------------------------


def test_unknown_deployments_and_bad_targets() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            with pytest.raises(NotFound) as unknown:
                await modify(here, "dp_1nope", target=one.uri)
            assert unknown.value.message == "The requested deployment 'dp_1nope' does not exist"
            before = await here.register(one.uri)
            for target in ("localhost:9080", "arn:aws:lambda:eu-central-1:1:function:f:1"):
                with pytest.raises(BadRequest, match="field 'uri' is invalid"):
                    await modify(here, before.id, target=target)
            assert here.catalog.deployment(before.id) is before

    run(test())


def test_an_endpoint_that_cannot_be_used_is_refused() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service())) as one,
            serving(Answer(status=404)) as two,
        ):
            before = await here.register(one.uri)
            for overwrite in (False, True):
                with pytest.raises(DiscoveryError) as refused:
                    await modify(here, before.id, target=two.uri, overwrite=overwrite)
                assert refused.value.code == "META0003"
            assert here.catalog.deployment(before.id) is before

    run(test())


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_unfinished_must_be_able_to_go_on_there(dry_run: bool) -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"), maxProtocolVersion=5)) as two,
        ):
            before = await here.register(one.uri)
            for version, status in ((5, Status.RUNNING), (6, Status.PAUSED), (6, Status.SUSPENDED)):
                here.writer.add_invocation("A", status, before.id, version=version)
            here.writer.add_invocation("A", Status.COMPLETED, before.id, version=7)
            here.writer.add_invocation("A", Status.RUNNING, "dp_other", version=7)
            with pytest.raises(Conflict) as refused:
                await modify(here, before.id, target=two.uri, dry_run=dry_run)
            assert refused.value.message == (
                f"the endpoint at '{two.uri}' speaks protocol versions 5 to 5, but this deployment"
                " began 2 unfinished invocations with version 6: they could not go on there. Use an"
                " endpoint that speaks it, or wait until they have finished."
            )
            assert here.catalog.deployment(before.id) is before
            assert here.same_after_restart()
            # Whoever overwrites has to know: it is told, not refused.
            done = await modify(here, before.id, target=two.uri, overwrite=True, dry_run=dry_run)
            assert "2 unfinished invocations with version 6" in done.warnings[0]
            here.writer.connection.execute("UPDATE invocation SET status = 100 WHERE version = 6")
            done = await modify(here, before.id, target=two.uri, dry_run=dry_run)
            assert done.warnings == ()

    run(test())


def test_what_cannot_go_on_anyway_does_not_stand_in_the_way() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service())) as one,
            serving(announce(service())) as two,
        ):
            id = (await here.register(one.uri)).id
            here.writer.add_invocation("Shop", Status.PAUSED, id, version=4)
            assert (await modify(here, id, headers=(("x-a", "1"),))).warnings == ()
            assert (await modify(here, id, target=two.uri)).warnings == ()

    run(test())


# --- what it serves ----------------------------------------------------------------------------


def test_overwrite_takes_services_and_settings_from_the_new_discovery() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A", "buy"), service("B"))) as one,
            serving(announce(service("A", "sell", ty="VIRTUAL_OBJECT", abortTimeout=7))) as two,
        ):
            before = await here.register(one.uri, metadata={"commit": "1"})
            done = await modify(here, before.id, target=two.uri, overwrite=True, actor="ann")
            after = done.deployment
            assert (after.id, after.created_at) == (before.id, before.created_at)
            assert (after.uri, after.metadata) == (two.uri, before.metadata)
            assert list(after.services) == ["A"]
            assert after.services["A"].revision == 2
            assert after.services["A"].options.abort_timeout == 7
            assert here.catalog.latest("B") is None
            assert history(done) == [
                ("ann", "address changed", f"{one.uri} -> {two.uri}"),
                ("ann", "services overwritten", "A 1 -> 2"),
            ]
            assert [text.split(".")[0] for text in done.warnings] == [
                "detected a new service revision for 'A' changing the service type from SERVICE"
                " (revision 1) to VIRTUAL_OBJECT",
                "detected a new service revision for 'A' without the handler 'buy' of revision 1",
                "'B' is not served here any more: nobody serves it",
            ]
            assert here.same_after_restart()

    run(test())


def test_overwrite_without_an_address_asks_the_present_one_again() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"))) as one:
            before = await here.register(one.uri)
            one.then(announce(service("A", "buy", "sell"), service("B")))
            done = await modify(here, before.id, overwrite=True)
            assert (done.deployment.uri, done.warnings) == (one.uri, ())
            assert history(done) == [("", "services overwritten", "A 1 -> 2, B 1")]
            assert sorted(done.deployment.services["A"].handlers) == ["buy", "sell"]
            assert here.same_after_restart()

    run(test())


def test_overwriting_an_old_deployment_makes_it_newest_as_force_does() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
        ):
            old = await here.register(one.uri)
            await here.register(two.uri)
            done = await modify(here, old.id, overwrite=True)
            assert done.deployment.services["A"].revision == 3
            assert here.catalog.latest("A") is done.deployment.services["A"]

    run(test())


# --- at the same time --------------------------------------------------------------------------


def test_two_moves_at_once_are_both_recorded_and_one_address_holds() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service())) as one,
            serving(announce(service())) as two,
            serving(announce(service())) as three,
        ):
            id = (await here.register(one.uri)).id
            await asyncio.gather(
                modify(here, id, target=two.uri), modify(here, id, target=three.uri)
            )
            known = here.catalog.deployment(id)
            assert known is not None
            first, second = known.changes
            assert first.detail.split(" -> ")[1] == second.detail.split(" -> ")[0]
            assert second.detail.split(" -> ")[1] == known.uri
            assert here.same_after_restart()

    run(test())


def test_the_same_move_at_once_is_made_once() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service())) as one,
            serving(announce(service())) as two,
        ):
            id = (await here.register(one.uri)).id
            both = await asyncio.gather(*(modify(here, id, target=two.uri) for _ in range(2)))
            assert [len(each.deployment.changes) for each in both] == [1, 1]
            assert both[0].deployment is both[1].deployment

    run(test())


def test_an_overwrite_whose_address_moves_meanwhile_is_refused() -> None:
    """It must not store what the address before answered beside the address after."""

    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
        ):
            id = (await here.register(one.uri)).id
            one.gate, one.asked = asyncio.Event(), asyncio.Event()
            overwriting = asyncio.create_task(modify(here, id, overwrite=True))
            await one.asked.wait()
            moved = await modify(here, id, target=two.uri)
            one.gate.set()
            with pytest.raises(Conflict, match=f"at the same time, to '{two.uri}'"):
                await overwriting
            assert here.catalog.deployment(id) is moved.deployment
            assert here.same_after_restart()

    run(test())


def test_a_removal_meanwhile_is_noticed() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
        ):
            id = (await here.register(one.uri)).id
            two.gate = asyncio.Event()
            moving = asyncio.create_task(modify(here, id, target=two.uri))
            await two.asked.wait()
            await here.registry.remove(id, force=True)
            two.gate.set()
            with pytest.raises(NotFound):
                await moving
            assert here.catalog.deployments() == here.restarted().deployments() == []

    run(test())


def test_a_registration_of_an_address_that_another_moves_to_meanwhile_overwrites_nothing() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("B"))) as two,
        ):
            id = (await here.register(one.uri)).id
            two.gate = asyncio.Event()
            registering = asyncio.create_task(here.registry.register(Registration(two.uri)))
            await two.asked.wait()
            two.asked.clear()
            moving = asyncio.create_task(modify(here, id, target=two.uri))
            await two.asked.wait()
            here.writer.gate = asyncio.Event()
            two.gate.set()
            here.writer.gate.set()
            registered, moved = await asyncio.gather(registering, moving)
            known = here.catalog.deployment(id)
            assert known is not None
            assert list(known.services) == ["A"]  # whoever was first, nothing was overwritten
            assert known.uri == two.uri
            assert moved.deployment.id == id
            assert registered.deployment.uri == two.uri
            assert here.same_after_restart()

    run(test())


def test_a_caller_that_goes_away_leaves_no_half_change() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
        ):
            id = (await here.register(one.uri)).id
            here.writer.gate, here.writer.asked = asyncio.Event(), asyncio.Event()
            moving = asyncio.create_task(modify(here, id, target=two.uri))
            await here.writer.asked.wait()
            moving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await moving
            here.writer.gate.set()
            await modify(here, id, headers=(("x-a", "1"),))  # behind it
            known = here.catalog.deployment(id)
            assert known is not None
            assert known.uri == two.uri
            assert here.same_after_restart()

    run(test())


def test_what_could_not_be_stored_is_not_shown() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A", "sell"))) as two,
        ):
            before = await here.register(one.uri)
            here.writer.broken = True
            for overwrite in (False, True):
                with pytest.raises(StoreError):
                    await modify(here, before.id, target=two.uri, overwrite=overwrite)
                assert here.catalog.deployments() == [before]
                assert here.catalog.latest("A") is before.services["A"]
                assert here.same_after_restart()

    run(test())
