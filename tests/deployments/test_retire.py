"""Taking a deployment out of use in steps: from the first one on, nothing can come to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import EntryPoint
from typing import Any
from urllib.parse import urlsplit

import pytest

from steadfaas.deployments import audit
from steadfaas.deployments.adapters import GROUP, Adapters
from steadfaas.deployments.catalog import Deployment, Retirement
from steadfaas.deployments.drain import DrainState
from steadfaas.deployments.register import Connection, Modification, Outcome, Registration
from steadfaas.errors import Conflict, NotFound, Overloaded, RequestError, StoreError
from steadfaas.machine.status import Status
from steadfaas.spi import ANYBODY, Access, EndpointReference, Evidence, Promise, Version
from tests.deployments.audited import actions, entries
from tests.deployments.world import Endpoint, World, announce, run, service, serving, world


async def two(here: World, one: Endpoint, other: Endpoint) -> tuple[Deployment, Deployment]:
    """A drained deployment and the one that took over."""
    return await here.register(one.uri), await here.register(other.uri)


Test = Callable[[World, Endpoint, Deployment, Deployment], Awaitable[None]]


def between_two(test: Test) -> None:
    """Run a test with a drained deployment, its endpoint, and the one that took over."""

    async def whole() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as other,
        ):
            old, new = await two(here, one, other)
            await test(here, one, old, new)
            assert here.same_after_restart()

    run(whole())


# --- the steps ---------------------------------------------------------------------------------


def test_from_the_beginning_to_the_end() -> None:
    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        retire = here.registry.retirements
        begun = await retire.begin(old.id, {"policy": "keep 3"}, actor="ann\x1b@desk")
        assert begun.retiring == Retirement(begun.retiring.at, "ann?@desk")  # type: ignore[union-attr]
        assert here.catalog.deployment(old.id) is begun
        assert here.drain(old.id).state is DrainState.DRAINED
        assert here.same_after_restart()
        removed = await retire.artifact_removed(old.id, {"answer": 204}, actor="bob")
        assert removed.retiring is not None
        assert removed.retiring.artifact_removed_at is not None
        assert here.same_after_restart()
        await here.registry.remove(old.id, actor="cleo")
        with pytest.raises(NotFound):
            await here.registry.remove(old.id, actor="cleo")
        assert here.catalog.deployments() == [new]
        found = {
            "state": "drained",
            "active_services": [],
            "unfinished": 0,
            "counts": here.drain(new.id).counts,
        }
        what = {"uri": old.uri, "adapter": "plain-http", "services": {"A": 1}}
        assert [(each.actor, each.action, each.detail) for each in entries(here, old.id)[:3]] == [
            ("cleo", "removed", {**what, "forced": False, "found": found}),
            ("bob", "artifact removed", {"uri": old.uri, "evidence": {"answer": 204}}),
            (
                "ann?@desk",
                "retirement begun",
                {**what, "found": found, "evidence": {"policy": "keep 3"}},
            ),
        ]

    between_two(test)


def test_a_step_that_is_done_is_not_done_again() -> None:
    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        retire = here.registry.retirements
        for step in (retire.begin, retire.artifact_removed):
            done = await step(old.id, {"n": 1}, actor="ann")
            here.writer.asked.clear()
            assert await step(old.id, {"n": 2}, actor="bob") is done
            assert await step(old.id, dry_run=True) is done
            assert not here.writer.asked.is_set()
        # Begun again after its platform has the version no more: it stays as it was.
        assert await retire.begin(old.id) is done
        assert actions(here, old.id) == ["artifact removed", "retirement begun", "registered"]

    between_two(test)


def test_a_dry_run_judges_and_stores_nothing() -> None:
    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        retire = here.registry.retirements
        would = await retire.begin(old.id, dry_run=True, actor="ann")
        assert would.retiring is not None
        assert here.catalog.deployment(old.id) is old
        with pytest.raises(Conflict, match="it takes the new requests of A"):
            await retire.begin(new.id, dry_run=True)
        await retire.begin(old.id)
        would = await retire.artifact_removed(old.id, dry_run=True)
        assert would.retiring is not None
        assert would.retiring.artifact_removed_at is not None
        assert actions(here, old.id) == ["retirement begun", "registered"]

    between_two(test)


def test_while_its_platform_may_remove_it_nobody_takes_it_back() -> None:
    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        retire = here.registry.retirements
        with pytest.raises(Conflict, match="is not being retired"):
            await retire.removing(old.id)
        await retire.begin(old.id)
        would = await retire.removing(old.id, dry_run=True)
        assert would.retiring is not None
        assert would.retiring.removing_until is not None
        await retire.removing(old.id, {"by": "gc"}, actor="ann")
        assert here.same_after_restart()
        here.clock.time += 119_000
        with pytest.raises(Overloaded, match="may be about to remove its version") as refused:
            await retire.call_off(old.id)
        assert (refused.value.status, refused.value.retry_after) == (503, 1)
        here.clock.time += 1_000
        assert (await retire.call_off(old.id)).retiring is None
        await retire.begin(old.id)
        await retire.removing(old.id)
        assert (await retire.call_off(old.id, kept=True)).retiring is None, "it was refused there"
        await retire.begin(old.id)
        gone = await retire.artifact_removed(old.id)
        assert await retire.removing(old.id) is gone
        assert actions(here, old.id).count("removing artifact") == 2

    between_two(test)


def test_called_off() -> None:
    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        retire = here.registry.retirements
        assert await retire.call_off(old.id) is old
        assert actions(here, old.id) == ["registered"]
        await retire.begin(old.id)
        assert await retire.call_off(old.id, actor="bob") == old
        assert here.same_after_restart()
        assert (await here.registry.promote(old.id)).services == ("A",)
        assert [(each.actor, each.action) for each in entries(here, old.id)[:2]] == [
            ("", "promoted"), ("bob", "retirement called off"),
        ]  # fmt: skip
        await retire.begin(new.id)
        await retire.artifact_removed(new.id)
        with pytest.raises(Conflict, match="has its version no more"):
            await retire.call_off(new.id)

    between_two(test)


def test_what_is_needed_stays_with_the_words_of_a_removal() -> None:
    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        here.writer.add_invocation("A", Status.SUSPENDED, old.id)
        here.writer.add_invocation("A", Status.SCHEDULED, None, due_at=5)
        for id in (old.id, new.id):
            with pytest.raises(Conflict) as of_removal:
                await here.registry.remove(id)
            with pytest.raises(Conflict) as refused:
                await here.registry.retirements.begin(id)
            assert refused.value.message == of_removal.value.message
        assert here.catalog.deployments() == [old, new]
        assert actions(here) == ["registered", "registered"]

    between_two(test)


def test_no_artifact_is_removed_before_it_begins() -> None:
    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        for dry_run in (True, False):
            with pytest.raises(Conflict, match="is not being retired: begin with that"):
                await here.registry.retirements.artifact_removed(old.id, dry_run=dry_run)
        assert actions(here, old.id) == ["registered"]

    between_two(test)


def test_an_unknown_deployment() -> None:
    async def test() -> None:
        async with world() as here:
            retire = here.registry.retirements
            for step in (retire.begin, retire.artifact_removed, retire.call_off):
                with pytest.raises(NotFound, match="'dp_1nope' does not exist"):
                    await step("dp_1nope")

    run(test())


# --- nothing comes to it -----------------------------------------------------------------------


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    "attempt",
    [
        lambda here, id, uri: here.registry.promote(id),
        lambda here, id, uri: here.registry.promote(id, dry_run=True),
        lambda here, id, uri: here.registry.register(Registration(uri)),
        lambda here, id, uri: here.registry.register(Registration(uri, force=True)),
        lambda here, id, uri: here.registry.register(Registration(uri, force=True, dry_run=True)),
        lambda here, id, uri: here.registry.modify(Modification(id, metadata={"a": "b"})),
        lambda here, id, uri: here.registry.modify(Modification(id, overwrite=True, dry_run=True)),
    ],
)
def test_while_it_is_retired_nobody_gets_it_back(attempt: Any, gone: bool) -> None:
    async def test(here: World, one: Endpoint, old: Deployment, new: Deployment) -> None:
        begun = await here.registry.retirements.begin(old.id)
        if gone:
            begun = await here.registry.retirements.artifact_removed(old.id)
        asked = len(one.requests)
        with pytest.raises(Conflict) as refused:
            await attempt(here, old.id, one.uri)
        assert refused.value.message == (
            f"the deployment '{old.id}' is being retired: nothing can come to it any more. Use"
            " another deployment, or call that off first, while its platform still has the version"
            f" (DELETE /deployments/{old.id}/retirement)."
        )
        assert here.catalog.deployments() == [begun, new]
        assert len(one.requests) == asked, "its endpoint is not even asked"

    between_two(test)


def test_who_only_asks_for_it_sees_how_far_its_retirement_has_come() -> None:
    async def test(here: World, one: Endpoint, old: Deployment, new: Deployment) -> None:
        asked = len(one.requests)
        for step in (here.registry.retirements.begin, here.registry.retirements.artifact_removed):
            retiring = await step(old.id)
            told = await here.registry.register(Registration(one.uri, dry_run=True))
            assert (told.deployment, told.outcome) == (retiring, Outcome.UNCHANGED)
        assert len(one.requests) == asked

    between_two(test)


def test_a_registration_that_was_under_way_is_refused() -> None:
    async def test(here: World, one: Endpoint, old: Deployment, new: Deployment) -> None:
        one.gate = asyncio.Event()
        one.asked.clear()
        registering = asyncio.create_task(here.register(one.uri, force=True))
        await one.asked.wait()
        begun = await here.registry.retirements.begin(old.id)
        one.gate.set()
        with pytest.raises(Conflict, match="is being retired"):
            await registering
        assert here.catalog.deployment(old.id) is begun

    between_two(test)


def test_no_other_deployment_moves_to_its_address() -> None:
    async def test(here: World, one: Endpoint, old: Deployment, new: Deployment) -> None:
        await here.registry.retirements.begin(old.id)
        with pytest.raises(Conflict, match=f"'{old.id}' is being retired"):
            await here.registry.modify(Modification(new.id, target=one.uri))
        await here.registry.retirements.call_off(old.id)
        await here.registry.modify(Modification(new.id, target=one.uri))

    between_two(test)


def test_of_two_with_one_address_neither_is_retired() -> None:
    async def test(here: World, one: Endpoint, old: Deployment, new: Deployment) -> None:
        await here.registry.modify(Modification(new.id, target=one.uri))
        with pytest.raises(Conflict) as refused:
            await here.registry.retirements.begin(old.id)
        assert f"'{new.id}' leads to the same version at '{one.uri}'" in refused.value.message
        await here.registry.remove(old.id)
        # Headers that choose what answers make another endpoint.
        third = await here.register(one.uri, connection=Connection((("host", "else"),)))
        await here.registry.retirements.begin(new.id)
        assert here.catalog.latest("A") is third.services["A"]

    between_two(test)


# --- versions that several deployments lead to -------------------------------------------------


class _Platform:
    """Versions at hosts of their own, which it can remove; endpoints are mounted at any path."""

    name = "fleet"

    def claims(self, target: str) -> bool:
        return target.startswith("fleet:")

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        return EndpointReference(self.name, target.removeprefix("fleet:"), Evidence.GRAMMAR)

    def version_at(self, uri: str) -> str:
        return urlsplit(uri).netloc

    async def list_versions(self, target: str, access: Access = ANYBODY) -> list[Version]:
        raise AssertionError

    async def verify(self, reference: EndpointReference, access: Access = ANYBODY) -> list[str]:
        raise AssertionError

    async def retire(self, reference: EndpointReference, access: Access = ANYBODY) -> None:
        raise AssertionError


FLEET = _Platform()


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("b", {"adapter": "fleet"}),
        ("", {"adapter": "plain-http"}),
        ("b", {"adapter": "plain-http"}),
        ("", {"adapter": "fleet", "connection": Connection((("host", "else"),))}),
    ],
)
def test_what_another_deployment_leads_to_stays(path: str, more: dict[str, Any]) -> None:
    """At another path, through another adapter, with headers that choose what answers: the platform
    would remove what all of them lead to."""

    async def test() -> None:
        adapters = Adapters(
            [
                EntryPoint("fleet", f"{__name__}:FLEET", GROUP),
                EntryPoint("plain-http", "steadfaas_adapters.plain_http:ADAPTER", GROUP),
            ]
        )
        async with (
            world(adapters=adapters) as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as other,
        ):
            old = await here.register(one.uri, adapter="fleet")
            beside = await here.register(one.uri + path, **more)
            new = await here.register(other.uri, adapter="fleet")
            assert beside.id != old.id
            for known, twin in ((old, beside), (beside, old)):
                if known.adapter == "plain-http":
                    continue  # nobody removes anything there
                with pytest.raises(Conflict) as refused:
                    await here.registry.retirements.begin(known.id)
                assert f"'{twin.id}' leads to the same version" in refused.value.message
            await here.registry.remove(beside.id)
            await here.registry.retirements.begin(old.id)
            for dry_run in (True, False):
                with pytest.raises(Conflict, match=f"'{old.id}' is being retired"):
                    await here.register(one.uri + path, dry_run=dry_run, force=not dry_run, **more)
            assert here.catalog.deployments()[1:] == [new]

    run(test())


def test_it_never_takes_over_by_a_removal() -> None:
    async def test(here: World, one: Endpoint, old: Deployment, new: Deployment) -> None:
        retire = here.registry.retirements
        async with serving(announce(service("A"))) as another:
            newest = await here.register(another.uri)
            await retire.begin(new.id)
            await here.registry.remove(newest.id, force=True)
            assert here.catalog.latest("A") is old.services["A"]
            # The numbers of what is still there are taken.
            again = await here.register(another.uri)
            assert again.services["A"].revision == 3
            assert (await here.registry.promote(old.id)).deployment.services["A"].revision == 4
            await here.registry.remove(old.id, force=True)
            await here.registry.remove(again.id, force=True)
            assert here.catalog.latest("A") is None
            assert here.same_after_restart()
            # Called off, it is what it would have been all along.
            back = await retire.call_off(new.id)
            assert here.catalog.latest("A") is back.services["A"]

    between_two(test)


def test_a_promotion_takes_no_number_of_what_is_being_retired() -> None:
    async def test(here: World, one: Endpoint, old: Deployment, new: Deployment) -> None:
        async with (
            serving(announce(service("A"))) as three,
            serving(announce(service("A"))) as four,
        ):
            third, fourth = await two(here, three, four)
            await here.registry.retirements.begin(third.id)
            await here.registry.remove(fourth.id, force=True)
            assert here.catalog.latest("A") is new.services["A"]
            promoted = (await here.registry.promote(old.id)).deployment.services["A"]
            assert (promoted.revision, third.services["A"].revision) == (4, 3)

    between_two(test)


def test_what_an_overwriting_registration_gives_up_goes_to_nobody_retired() -> None:
    async def test(here: World, one: Endpoint, old: Deployment, new: Deployment) -> None:
        async with serving(announce(service("A"))) as another:
            await here.register(another.uri)
            await here.registry.retirements.begin(new.id)
            another.then(announce(service("B")))
            done = await here.registry.register(Registration(another.uri, force=True))
            assert done.broken == (
                f"'A' is not served here any more: revision 1 of {old.id} takes its new requests.",
            )
            assert here.catalog.latest("A") is old.services["A"]

    between_two(test)


# --- stored and shown as one -------------------------------------------------------------------


def test_what_could_not_be_stored_is_not_shown() -> None:
    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        retire = here.registry.retirements
        steps: list[Callable[[str], Awaitable[Deployment]]] = [
            *(retire.begin, retire.removing, retire.artifact_removed, retire.call_off)
        ]
        for number, step in enumerate(steps):
            before, told = here.catalog.deployment(old.id), actions(here)
            here.writer.broken = True
            with pytest.raises(StoreError):
                await step(old.id)
            assert here.catalog.deployment(old.id) is before
            assert actions(here) == told
            here.writer.broken = False
            if number == 0:
                await step(old.id)

    between_two(test)


def test_a_promotion_and_a_retirement_at_once() -> None:
    """Whichever comes first, the other is refused."""

    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        for promote_first in (True, False):
            pair = [here.registry.promote(old.id), here.registry.retirements.begin(old.id)]
            if not promote_first:
                pair.reverse()
            first, second = await asyncio.gather(*pair, return_exceptions=True)
            assert isinstance(first, object)
            assert not isinstance(first, BaseException)
            assert isinstance(second, Conflict)
            known = here.catalog.deployment(old.id)
            assert known is not None
            takes = here.catalog.active_services(old.id) != []
            assert (takes, known.retiring is not None) == (promote_first, not promote_first)
            await here.registry.retirements.call_off(old.id)
            await here.registry.promote(new.id)

    between_two(test)


def test_words_of_actions_are_told_apart() -> None:
    assert len(set(audit.ACTIONS)) == len(audit.ACTIONS)


def test_every_refusal_says_what_to_do() -> None:
    """The sentences of this page end with a step that a reader can take."""

    async def test(here: World, _: Endpoint, old: Deployment, new: Deployment) -> None:
        refusals: list[RequestError] = []
        retire = here.registry.retirements
        for step in (retire.artifact_removed(old.id), retire.begin(new.id)):
            with pytest.raises(Conflict) as refused:
                await step
            refusals.append(refused.value)
        assert all(each.status == 409 and each.message.endswith(".") for each in refusals)

    between_two(test)
