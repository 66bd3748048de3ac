"""Registering and removing deployments, over a real store and loopback endpoints."""

from __future__ import annotations

import asyncio

import pytest

from steadfaas import ids
from steadfaas.deployments import resolve
from steadfaas.deployments.adapters import Adapters
from steadfaas.deployments.catalog import Catalog
from steadfaas.deployments.register import Connection, Outcome, Registration
from steadfaas.errors import BadRequest, Conflict, DiscoveryError, NotFound, StoreError, Verdict
from steadfaas.machine.status import Status
from steadfaas.spi import ANYBODY, Access, Adapter, EndpointReference, Evidence, Promise
from tests.deployments.world import World, announce, run, service, serving, world


def shown(catalog: Catalog) -> list[tuple[str, int, str, list[str]]]:
    return [
        (known.name, known.revision, known.deployment_id, sorted(known.handlers))
        for known in catalog.services()
    ]


def same_after_restart(here: World) -> bool:
    reloaded = here.restarted()
    return reloaded.deployments() == here.catalog.deployments() and shown(reloaded) == shown(
        here.catalog
    )


# --- registering -------------------------------------------------------------------------------


def test_a_new_endpoint() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"), service("B"))) as one:
            request = Registration(
                one.uri.rstrip("/"),
                connection=Connection((("x-key", "v"),)),
                metadata={"commit": "3f2c"},
            )
            done = await here.registry.register(request)
            made = done.deployment
            assert done.outcome is Outcome.CREATED
            assert done.broken == ()
            assert made.uri == one.uri
            assert (made.adapter, made.http_version) == ("plain-http", "HTTP/1.1")
            assert (made.min_version, made.max_version) == (5, 7)
            assert made.sdk_version == "scripted/1.0"
            assert made.headers == (("x-key", "v"),)
            assert made.metadata == {"commit": "3f2c"}
            assert made.created_at == here.clock.time
            assert ids.deployment_created_at(ids.parse_deployment(made.id)) == made.created_at
            assert one.requests[0].headers["x-key"] == "v"
            assert here.catalog.deployment(made.id) is made
            assert shown(here.catalog) == [("A", 1, made.id, ["buy"]), ("B", 1, made.id, ["buy"])]
            assert same_after_restart(here)

    run(test())


def test_the_same_endpoint_again_changes_nothing_and_asks_nobody() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            first = await here.registry.register(Registration(one.uri))
            one.then(announce(service("Other")))
            again = await here.registry.register(
                Registration(one.uri, connection=Connection((("x-z", "1"),)), dry_run=True)
            )
            assert again.outcome is Outcome.UNCHANGED
            assert again.deployment is first.deployment
            assert len(one.requests) == 1

    run(test())


def test_a_routing_header_makes_another_endpoint() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            header = "cloudflare-workers-version-overrides"
            first = await here.registry.register(Registration(one.uri))
            second = await here.registry.register(
                Registration(one.uri, connection=Connection(((header, 'shop="1"'),)))
            )
            assert second.outcome is Outcome.CREATED
            assert second.deployment.id != first.deployment.id
            assert shown(here.catalog) == [("Shop", 2, second.deployment.id, ["buy"])]

    run(test())


def test_force_overwrites_and_keeps_the_id() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"), service("B"))) as one:
            first = (await here.registry.register(Registration(one.uri))).deployment
            one.then(announce(service("A", "sell")))
            done = await here.registry.register(Registration(one.uri, force=True))
            assert done.outcome is Outcome.OVERWRITTEN
            assert done.deployment.id == first.id
            assert done.deployment.created_at > first.created_at
            # Force implies breaking, and says what broke.
            assert len(done.broken) == 2
            assert "without the handler 'buy' of revision 1" in done.broken[0]
            assert done.broken[1] == "'B' is not served here any more: nobody serves it."
            assert shown(here.catalog) == [("A", 2, first.id, ["sell"])]
            assert same_after_restart(here)

    run(test())


def test_a_second_endpoint_takes_over_what_it_brings() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"), service("B"))) as one,
            serving(announce(service("A", "buy", "sell"))) as two,
        ):
            old = (await here.registry.register(Registration(one.uri))).deployment
            new = (await here.registry.register(Registration(two.uri))).deployment
            assert shown(here.catalog) == [
                ("A", 2, new.id, ["buy", "sell"]),
                ("B", 1, old.id, ["buy"]),
            ]
            assert old.services["A"].revision == 1
            assert same_after_restart(here)

    run(test())


def test_a_dry_run_stores_nothing() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            would = await here.registry.register(Registration(one.uri, dry_run=True))
            assert would.outcome is Outcome.CREATED
            assert would.deployment.services["Shop"].revision == 1
            assert here.catalog.deployments() == []
            assert here.restarted().deployments() == []
            made = await here.registry.register(Registration(one.uri))
            assert made.deployment.services["Shop"].revision == 1

    run(test())


def test_two_registrations_of_one_endpoint_at_once() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            one.gate = asyncio.Event()
            both = [
                asyncio.create_task(here.registry.register(Registration(one.uri))) for _ in range(2)
            ]
            await one.asked.wait()
            one.gate.set()
            first, second = await asyncio.gather(*both)
            assert {first.outcome, second.outcome} == {Outcome.CREATED, Outcome.UNCHANGED}
            assert first.deployment is second.deployment
            assert len(one.requests) == 1

    run(test())


def test_registrations_of_one_service_at_once_get_different_revisions() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service())) as one,
            serving(announce(service())) as two,
        ):
            done = await asyncio.gather(
                *(here.registry.register(Registration(each.uri)) for each in (one, two))
            )
            assert sorted(each.deployment.services["Shop"].revision for each in done) == [1, 2]
            assert same_after_restart(here)

    run(test())


def test_a_caller_that_goes_away_leaves_no_half_registration() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            here.writer.gate = asyncio.Event()
            task = asyncio.create_task(here.registry.register(Registration(one.uri)))
            await here.writer.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            here.writer.gate.set()
            again = await here.registry.register(Registration(one.uri, force=True))
            assert again.outcome is Outcome.OVERWRITTEN
            assert again.deployment.services["Shop"].revision == 2
            assert same_after_restart(here)

    run(test())


def test_what_could_not_be_stored_is_not_shown() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            here.writer.broken = True
            with pytest.raises(StoreError):
                await here.registry.register(Registration(one.uri))
            assert here.catalog.deployments() == []
            here.writer.broken = False
            assert (await here.registry.register(Registration(one.uri))).outcome is Outcome.CREATED

    run(test())


def test_a_bad_target_and_an_unknown_adapter() -> None:
    async def test() -> None:
        async with world() as here:
            with pytest.raises(BadRequest) as refused:
                await here.registry.register(Registration("localhost:9080"))
            assert refused.value.message == (
                "The request field 'uri' is invalid. Reason: The provided uri localhost:9080 is"
                " not absolute, only absolute URIs can be used."
            )

    run(test())


class Latest:
    """An adapter for addresses that follow whatever is deployed last."""

    name = "plain-http"

    def claims(self, target: str) -> bool:
        return True

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        return EndpointReference(self.name, target, Evidence.MUTABLE)


class Following(Adapters):
    """Only that adapter is installed."""

    def names(self) -> list[str]:
        return [Latest.name]

    def get(self, name: str) -> Adapter:
        return Latest()


def test_an_address_that_may_change_is_refused() -> None:
    async def test() -> None:
        async with world(adapters=Following()) as here:
            with pytest.raises(BadRequest, match="may lead to another version later"):
                await here.registry.register(Registration("http://127.0.0.1:1/"))

    run(test())


class Silent(Latest):
    """Never says what a target means."""

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


def test_a_platform_that_says_nothing_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolve, "_RESOLVE_SECONDS", 0.01)
    monkeypatch.setattr(Following, "get", lambda *_: Silent())

    async def test() -> None:
        async with world(adapters=Following()) as here:
            with pytest.raises(DiscoveryError, match="did not tell within") as raised:
                await here.registry.register(Registration("http://127.0.0.1:1/"))
            assert (raised.value.status, raised.value.verdict) == (503, Verdict.RETRY)

    run(test())


# --- what is recorded --------------------------------------------------------------------------


def test_force_is_recorded_with_its_actor_and_survives_a_restart() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"), service("B"))) as one:
            first = await here.register(one.uri, actor="ann@desk")
            assert first.changes == ()
            planned = await here.register(one.uri, force=True, dry_run=True, actor="ann@desk")
            assert planned.changes == ()
            again = await here.register(one.uri, force=True, actor="bob\x1b[2J@desk")
            assert [(each.by, each.what, each.detail) for each in again.changes] == [
                ("bob?[2J@desk", "registered again by force", "A 1 -> 2, B 1 -> 2")
            ]
            assert again.changes[0].at == again.created_at
            assert same_after_restart(here)

    run(test())


def test_the_latest_twenty_changes_are_kept() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"))) as one:
            await here.register(one.uri)
            for number in range(25):
                last = await here.register(one.uri, force=True, actor=f"{number}" * 500)
            assert [each.detail for each in last.changes] == [
                f"A {revision} -> {revision + 1}" for revision in range(6, 26)
            ]
            assert {len(each.by) for each in last.changes} == {200}
            assert same_after_restart(here)

    run(test())


def test_a_record_from_before_changes_were_kept() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"))) as one:
            await here.register(one.uri)
            here.writer.connection.execute(
                "UPDATE deployment SET record = json_remove(record, '$.changes')"
            )
            assert same_after_restart(here)

    run(test())


# --- compatibility -----------------------------------------------------------------------------


def test_strict_refuses_lost_handlers_and_lists_every_finding() -> None:
    async def test() -> None:
        before = announce(service("A", "buy", "sell", "swap"), service("B"))
        after = announce(service("A", "swap", "give"), service("B", ty="VIRTUAL_OBJECT"))
        async with world() as here, serving(before) as one, serving(after) as two:
            await here.registry.register(Registration(one.uri))
            for dry_run in (True, False):
                with pytest.raises(DiscoveryError) as refused:
                    await here.registry.register(Registration(two.uri, dry_run=dry_run))
                assert (refused.value.code, refused.value.status) == ("META0006", 409)
                assert "'A' without the handlers 'buy', 'sell'" in refused.value.message
                assert "'B' changing the service type from SERVICE" in refused.value.message
                assert "--breaking" in refused.value.message
            done = await here.registry.register(Registration(two.uri, breaking=True))
            assert done.outcome is Outcome.CREATED
            assert len(done.broken) == 2

    run(test())


def test_restate_1_7_refuses_a_changed_type_only() -> None:
    async def test() -> None:
        async with (
            world(compatibility="restate-1.7") as here,
            serving(announce(service("A", "buy", "sell"))) as one,
            serving(announce(service("A", "buy"))) as two,
            serving(announce(service("A", "buy", ty="WORKFLOW"))) as three,
        ):
            await here.registry.register(Registration(one.uri))
            done = await here.registry.register(Registration(two.uri))
            assert (done.outcome, done.broken) == (Outcome.CREATED, ())
            with pytest.raises(DiscoveryError, match="changing the service type"):
                await here.registry.register(Registration(three.uri))

    run(test())


# --- removing ----------------------------------------------------------------------------------


def test_a_deployment_that_takes_requests_is_not_drained() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"), service("B"))) as one:
            id = (await here.registry.register(Registration(one.uri))).deployment.id
            here.writer.add_invocation("A", Status.SCHEDULED, None)
            here.writer.add_invocation("Elsewhere", Status.SCHEDULED, None)
            here.writer.add_invocation("A", Status.COMPLETED, id)
            with pytest.raises(Conflict) as refused:
                await here.registry.remove(id)
            assert "it takes the new requests of A, B; 1 unfinished" in refused.value.message
            assert "1 unfinished invocation needs it (1 scheduled)" in refused.value.message
            assert "register a newer deployment" in refused.value.message
            assert here.catalog.deployment(id) is not None
            assert same_after_restart(here)

    run(test())


def test_an_old_deployment_goes_once_nothing_unfinished_is_pinned_to_it() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service())) as one,
            serving(announce(service())) as two,
        ):
            old = (await here.registry.register(Registration(one.uri))).deployment.id
            new = (await here.registry.register(Registration(two.uri))).deployment.id
            for status in (Status.SUSPENDED, Status.SUSPENDED, Status.BACKING_OFF):
                here.writer.add_invocation("Shop", status, old)
            here.writer.add_invocation("Shop", Status.RUNNING, new)
            here.writer.add_invocation("Shop", Status.SCHEDULED, None)
            with pytest.raises(Conflict) as refused:
                await here.registry.remove(old)
            assert "3 unfinished invocations need it" in refused.value.message
            assert "(1 retrying, 2 suspended)" in refused.value.message
            assert "resume them on another deployment" in refused.value.message
            assert "takes the new requests" not in refused.value.message
            here.writer.connection.execute("UPDATE invocation SET status = 100")
            await here.registry.remove(old)
            assert here.catalog.deployment(old) is None
            assert shown(here.catalog) == [("Shop", 2, new, ["buy"])]
            assert same_after_restart(here)

    run(test())


def test_force_removes_and_brings_the_older_revision_back() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"), service("B"))) as two,
        ):
            old = (await here.registry.register(Registration(one.uri))).deployment.id
            new = (await here.registry.register(Registration(two.uri))).deployment.id
            here.writer.add_invocation("A", Status.RUNNING, new)
            await here.registry.remove(new, force=True)
            assert shown(here.catalog) == [("A", 1, old, ["buy"])]
            assert same_after_restart(here)
            # The next registration goes on from the revision that is active now.
            again = await here.registry.register(Registration(two.uri))
            assert again.deployment.services["A"].revision == 2

    run(test())


def test_an_unknown_deployment() -> None:
    async def test() -> None:
        async with world() as here:
            for force in (True, False):
                with pytest.raises(NotFound) as refused:
                    await here.registry.remove("dp_1nope", force=force)
                assert "not found in the schema registry: deployment with id 'dp_1nope'" in (
                    refused.value.message
                )

    run(test())


def test_a_removal_that_could_not_be_stored_is_not_shown() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            id = (await here.registry.register(Registration(one.uri))).deployment.id
            here.writer.broken = True
            with pytest.raises(StoreError):
                await here.registry.remove(id, force=True)
            assert here.catalog.deployment(id) is not None
            assert same_after_restart(here)

    run(test())


# --- stored records ----------------------------------------------------------------------------


def test_a_record_of_another_make_is_named() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            id = (await here.registry.register(Registration(one.uri))).deployment.id
            for record in ("{}", "nonsense", '{"uri":1}'):
                here.writer.connection.execute("UPDATE deployment SET record = ?", (record,))
                with pytest.raises(StoreError, match=id):
                    here.restarted()

    run(test())
