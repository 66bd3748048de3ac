"""Settings of a service that operators change."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from steadfaas.deployments.options import MAX_DURATION
from steadfaas.deployments.register import Modification, ServiceChanges
from steadfaas.errors import BadRequest, NotFound, StoreError
from steadfaas.machine.retry import OnMaxAttempts, RetryPolicy
from steadfaas.wire.manifest import OnExhausted, RetryOptions
from tests.deployments.world import announce, run, service, serving, world

WORKFLOW = service("Signup", {"name": "run", "ty": "WORKFLOW"}, ty="WORKFLOW")


def test_what_is_given_changes_and_the_rest_stays() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("Shop", abortTimeout=9))) as one:
            before = (await here.register(one.uri)).services["Shop"]
            after = await here.registry.configure(
                "Shop",
                ServiceChanges(
                    idempotency_retention=1,
                    journal_retention=0,
                    inactivity_timeout=3,
                    retry=RetryOptions(max_attempts=4, on_max_attempts=OnExhausted.KILL),
                ),
            )
            assert after.options == replace(
                before.options,
                idempotency_retention=1,
                journal_retention=0,
                inactivity_timeout=3,
                retry=RetryPolicy(max_attempts=4, on_max_attempts=OnMaxAttempts.KILL),
            )
            assert after.options.abort_timeout == 9
            assert after.handlers["buy"].options == after.options
            assert (after.revision, after.deployment_id) == (1, before.deployment_id)
            assert here.catalog.latest("Shop") is after
            assert here.same_after_restart()
            retry = RetryOptions(initial_interval=70, factor=3, max_interval=80)
            more = await here.registry.configure("Shop", ServiceChanges(retry=retry))
            assert more.options.retry == RetryPolicy(70, 3.0, 80, 4, OnMaxAttempts.KILL)
            assert here.same_after_restart()

    run(test())


def test_public_and_private() -> None:
    async def test() -> None:
        hidden = {"name": "audit", "ingressPrivate": True}
        async with world() as here, serving(announce(service("Shop", "buy", hidden))) as one:
            await here.register(one.uri)
            for public in (False, True):
                after = await here.registry.configure("Shop", ServiceChanges(public=public))
                assert after.public is after.handlers["buy"].public is public
                # Its author hid this one: an operator who opens the service does not open it.
                assert not after.handlers["audit"].public
                assert here.same_after_restart()

    run(test())


def test_what_a_handler_sets_itself_keeps_precedence() -> None:
    async def test() -> None:
        own = {"name": "own", "abortTimeout": 5, "retryPolicyMaxAttempts": 6}
        async with world() as here, serving(announce(service("Shop", "buy", own))) as one:
            await here.register(one.uri)
            changes = ServiceChanges(abort_timeout=7, retry=RetryOptions(max_attempts=8))
            handlers = (await here.registry.configure("Shop", changes)).handlers
            assert (
                handlers["buy"].options.abort_timeout,
                handlers["own"].options.abort_timeout,
            ) == (
                7,
                5,
            )
            assert handlers["buy"].options.retry.max_attempts == 8
            assert handlers["own"].options.retry.max_attempts == 6

    run(test())


@pytest.mark.parametrize("announced", [None, 5])
def test_how_long_a_workflows_result_is_kept(announced: int | None) -> None:
    async def test() -> None:
        handler = {"name": "run", "ty": "WORKFLOW"}
        if announced is not None:
            handler["workflowCompletionRetention"] = announced  # type: ignore[assignment]
        shared = {"name": "status", "ty": "SHARED"}
        document = service("Signup", handler, shared, ty="WORKFLOW")
        async with world() as here, serving(announce(document)) as one:
            await here.register(one.uri)
            changes = ServiceChanges(workflow_completion_retention=77)
            after = await here.registry.configure("Signup", changes)
            assert after.handlers["run"].options.workflow_retention == 77
            assert here.same_after_restart()

    run(test())


@pytest.mark.parametrize(
    ("ty", "name"), [("SERVICE", "Service"), ("VIRTUAL_OBJECT", "VirtualObject")]
)
def test_only_workflows_have_such_a_retention(ty: str, name: str) -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("Shop", ty=ty))) as one:
            before = await here.register(one.uri)
            changes = ServiceChanges(public=False, workflow_completion_retention=1)
            with pytest.raises(BadRequest) as refused:
                await here.registry.configure("Shop", changes)
            assert refused.value.message == (
                f"modifying retention time for service type {name} is unsupported"
            )
            assert here.catalog.deployments() == [before]  # the other half neither

    run(test())


def test_unknown_services() -> None:
    async def test() -> None:
        async with world() as here:
            with pytest.raises(NotFound) as refused:
                await here.registry.configure("x", ServiceChanges())
            assert refused.value.message == "The requested service 'x' does not exist"

    run(test())


@pytest.mark.parametrize(
    "changes",
    [
        ServiceChanges(abort_timeout=-1),
        ServiceChanges(retry=RetryOptions(factor=float("nan"))),
        ServiceChanges(retry=RetryOptions(factor=float("inf"))),
        ServiceChanges(retry=RetryOptions(factor=0.5)),
        ServiceChanges(retry=RetryOptions(max_attempts=0)),
        ServiceChanges(retry=RetryOptions(initial_interval=-1)),
    ],
)
def test_values_that_make_no_sense_are_refused(changes: ServiceChanges) -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            before = await here.register(one.uri)
            with pytest.raises(BadRequest, match=r"is invalid\. Reason: expected"):
                await here.registry.configure("Shop", changes)
            assert here.catalog.deployments() == [before]

    run(test())


def test_absurd_values_are_cut_so_that_they_can_be_read_again() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(WORKFLOW)) as one:
            await here.register(one.uri)
            huge = 2**80
            after = await here.registry.configure(
                "Signup",
                ServiceChanges(
                    idempotency_retention=huge,
                    workflow_completion_retention=huge,
                    journal_retention=huge,
                    inactivity_timeout=huge,
                    abort_timeout=huge,
                    retry=RetryOptions(huge, huge, huge, 1e300),
                ),
            )
            options = after.handlers["run"].options
            assert options.workflow_retention == options.journal_retention == MAX_DURATION
            assert options.retry.initial_interval == options.retry.max_interval == MAX_DURATION
            assert here.same_after_restart()

    run(test())


def test_nothing_new_writes_nothing() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("Shop", abortTimeout=9))) as one:
            before = (await here.register(one.uri)).services["Shop"]
            here.writer.asked.clear()
            for changes in (ServiceChanges(), ServiceChanges(abort_timeout=9)):
                assert await here.registry.configure("Shop", changes) is before
            assert not here.writer.asked.is_set()

    run(test())


def test_it_concerns_the_active_revision_and_ends_with_the_next_registration() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("Shop"))) as one,
            serving(announce(service("Shop"))) as two,
        ):
            old = await here.register(one.uri)
            new = await here.register(two.uri)
            await here.registry.configure("Shop", ServiceChanges(public=False))
            assert here.catalog.deployment(old.id) is old
            # The address may change: what was set stays.
            await here.registry.modify(Modification(new.id, headers=(("x-a", "1"),)))
            latest = here.catalog.latest("Shop")
            assert latest is not None
            assert not latest.public
            # A deployment that is promoted has its own settings.
            assert (await here.registry.promote(old.id)).deployment.services["Shop"].public
            await here.registry.promote(new.id)
            assert not here.catalog.handler("Shop", "buy")[1].public
            again = await here.register(two.uri, force=True)
            assert again.services["Shop"].public
            assert here.same_after_restart()

    run(test())


def test_changes_of_different_settings_at_once_are_all_kept() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"), service("B"))) as one:
            known = await here.register(one.uri)
            await asyncio.gather(
                here.registry.configure("A", ServiceChanges(abort_timeout=1)),
                here.registry.configure("A", ServiceChanges(journal_retention=2)),
                here.registry.configure("B", ServiceChanges(public=False)),
                here.registry.modify(Modification(known.id, headers=(("x-a", "1"),))),
            )
            a, b = here.catalog.services()
            assert (a.options.abort_timeout, a.options.journal_retention, b.public) == (1, 2, False)
            after = here.catalog.deployment(known.id)
            assert after is not None
            assert after.headers == (("x-a", "1"),)
            assert here.same_after_restart()

    run(test())


def test_what_could_not_be_stored_is_not_shown() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service())) as one:
            before = await here.register(one.uri)
            here.writer.broken = True
            with pytest.raises(StoreError):
                await here.registry.configure("Shop", ServiceChanges(public=False))
            assert here.catalog.deployments() == [before]
            assert here.catalog.handler("Shop", "buy")[1].public
            assert here.same_after_restart()

    run(test())
