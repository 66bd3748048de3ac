"""Giving the new requests back to an older deployment."""

from __future__ import annotations

import asyncio

import pytest

from steadfaas.deployments.drain import DrainState
from steadfaas.deployments.register import Modification, Promoted
from steadfaas.errors import NotFound, StoreError
from tests.deployments.world import announce, run, service, serving, world


def test_its_services_become_newest_where_they_are_not() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"), service("B"), service("C"))) as one,
            serving(announce(service("A"), service("B"))) as two,
            serving(announce(service("A"))) as three,
        ):
            old = await here.register(one.uri)
            middle = await here.register(two.uri)
            new = await here.register(three.uri)
            asked = len(one.requests)
            done = await here.registry.promote(old.id, actor="ann")
            assert done.services == ("A", "B")
            assert done.lost == ()
            assert {name: one.revision for name, one in done.deployment.services.items()} == {
                "A": 4,
                "B": 3,
                "C": 1,
            }
            assert done.deployment.created_at == old.created_at
            assert [known.deployment_id for known in here.catalog.services()] == [old.id] * 3
            assert [(each.by, each.what, each.detail) for each in done.deployment.changes] == [
                ("ann", "promoted", "A 1 -> 4, B 1 -> 3")
            ]
            assert len(one.requests) == asked  # nothing is discovered
            assert here.drain(middle.id).state is DrainState.DRAINED
            assert here.drain(new.id).state is DrainState.DRAINED
            assert here.same_after_restart()
            # What is registered next is newer again.
            again = await here.register(three.uri, force=True)
            assert again.services["A"].revision == 5

    run(test())


def test_newest_of_everything_already() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            known = await here.register(one.uri)
            here.writer.asked.clear()
            done = await here.registry.promote(known.id)
            assert done == Promoted(known)
            assert not here.writer.asked.is_set()
            assert here.catalog.deployment(known.id) is known

    run(test())


def test_what_callers_lose_is_told_and_allowed() -> None:
    async def test() -> None:
        private = {"name": "peek", "ingressPrivate": True}
        async with (
            world() as here,
            serving(announce(service("A", "buy", private), service("B", ty="WORKFLOW"))) as one,
            serving(announce(service("A", "buy", "peek", "sell", "swap"), service("B"))) as two,
        ):
            old = await here.register(one.uri)
            await here.register(two.uri, breaking=True)
            lost = (
                "'A' loses the handlers 'sell', 'swap' of revision 2: requests for them are"
                " refused, and those that wait for their start fail until somebody serves them"
                " again.",
                "'A' hides 'peek' from the ingress: private in the promoted version.",
                "'B' becomes a WORKFLOW again, it was a SERVICE in revision 2: requests must be"
                " sent as the older version expects them.",
            )
            would = await here.registry.promote(old.id, dry_run=True)
            assert would.lost == lost
            assert would.services == ("A", "B")
            assert would.deployment.services["A"].revision == 3
            assert would.deployment.changes == ()
            assert here.catalog.deployment(old.id) is old
            assert here.same_after_restart()
            done = await here.registry.promote(old.id)
            assert done.lost == lost
            assert here.catalog.latest("A") is done.deployment.services["A"]

    run(test())


def test_an_unknown_deployment() -> None:
    async def test() -> None:
        async with world() as here:
            for dry_run in (True, False):
                with pytest.raises(NotFound) as refused:
                    await here.registry.promote("dp_1nope", dry_run=dry_run)
                assert refused.value.message == (
                    "The requested deployment 'dp_1nope' does not exist"
                )

    run(test())


def test_everything_at_once_ends_with_one_newest_and_no_number_twice() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
            serving(announce(service("A"))) as three,
        ):
            first = await here.register(one.uri)
            second = await here.register(two.uri)
            await asyncio.gather(
                here.registry.promote(first.id),
                here.registry.promote(second.id),
                here.register(three.uri),
                here.register(two.uri, force=True),
                here.registry.modify(Modification(first.id, overwrite=True)),
                here.registry.promote(first.id),
            )
            numbers = [known.revision for known in here.catalog.revisions("A")]
            assert numbers == sorted(set(numbers), reverse=True)
            assert len(numbers) == 3
            changes = [each for known in here.catalog.deployments() for each in known.changes]
            raised = sorted(int(each.detail.split(" -> ")[1]) for each in changes)
            assert len(set(raised)) == len(raised)
            assert numbers[0] >= max(raised)
            assert here.same_after_restart()

    run(test())


def test_a_removal_of_what_is_being_promoted_waits_and_is_refused() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
        ):
            old = await here.register(one.uri)
            new = await here.register(two.uri)
            here.writer.gate, here.writer.asked = asyncio.Event(), asyncio.Event()
            promoting = asyncio.create_task(here.registry.promote(old.id))
            await here.writer.asked.wait()
            removing = [asyncio.create_task(here.registry.remove(each.id)) for each in (old, new)]
            here.writer.gate.set()
            await promoting
            of_old, of_new = await asyncio.gather(*removing, return_exceptions=True)
            assert "it takes the new requests of A" in str(of_old)
            assert of_new is None
            assert [known.id for known in here.catalog.deployments()] == [old.id]
            assert here.same_after_restart()

    run(test())


def test_what_could_not_be_stored_is_not_shown() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
        ):
            old = await here.register(one.uri)
            new = await here.register(two.uri)
            here.writer.broken = True
            with pytest.raises(StoreError):
                await here.registry.promote(old.id)
            assert here.catalog.deployments() == [old, new]
            assert here.catalog.latest("A") is new.services["A"]
            assert here.same_after_restart()

    run(test())
