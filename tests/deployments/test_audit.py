"""Everything that is done to deployments stands in the audit, or was not done."""

from __future__ import annotations

from typing import Any

import pytest

from steadfaas.deployments import audit
from steadfaas.deployments.register import Modification, Registration, ServiceChanges
from steadfaas.errors import RequestError, StoreError
from steadfaas.machine.status import Status
from steadfaas.spi import Access
from tests.deployments.audited import actions, entries
from tests.deployments.world import announce, run, service, serving, world


def test_every_kind_of_act_with_who_and_what() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
            serving(announce(service("A"))) as three,
        ):
            registry = here.registry
            old = await here.register(one.uri, actor="ann")
            assert [(each.at, each.detail) for each in entries(here)] == [
                (
                    old.created_at,
                    {
                        "uri": one.uri,
                        "adapter": "plain-http",
                        "services": {"A": 1},
                        "immutable_by": "asserted",
                    },
                )
            ]
            await here.register(one.uri, force=True, actor="ann")
            await registry.configure("A", ServiceChanges(public=False), actor="ann")
            new = await here.register(two.uri, actor="ann")
            changes: dict[str, Any] = {
                "target": three.uri,
                "headers": (("x-a", "s3cret"),),
                "secret_headers": (("x-b", "env:B"),),
                "metadata": {"team": "web"},
                "overwrite": True,
            }
            await registry.modify(Modification(old.id, **changes, actor="ann"))
            role = Access("arn:aws:iam::1:role/r")
            await registry.modify(Modification(old.id, access=role, actor="ann"))
            await registry.promote(new.id, actor="ann")
            await registry.retirements.begin(old.id, actor="ann")
            await registry.retirements.call_off(old.id, actor="ann")
            await registry.retirements.begin(old.id, actor="ann")
            await registry.retirements.removing(old.id, actor="ann")
            await registry.retirements.artifact_removed(old.id, actor="ann")
            await registry.remove(old.id, actor="ann")
            told = [(each.action, each.detail.get("change")) for each in entries(here)[::-1]]
            assert told == [
                ("registered", None),
                ("registered again by force", "A 1 -> 2"),
                ("settings changed", "A: public false"),
                ("registered", None),
                ("address changed", f"{one.uri} -> {three.uri}"),
                ("headers changed", "set: x-a"),
                ("secret headers changed", "set: x-b"),
                ("metadata changed", "set: team"),
                ("services overwritten", "A 2 -> 4"),
                ("role changed", "none -> arn:aws:iam::1:role/r"),
                ("promoted", "A 3 -> 5"),
                ("retirement begun", None),
                ("retirement called off", None),
                ("retirement begun", None),
                ("removing artifact", None),
                ("artifact removed", None),
                ("removed", None),
            ]
            assert {each.actor for each in entries(here)} == {"ann"}
            assert {action for action, _ in told} == set(audit.ACTIONS), "each of them was seen"
            assert "s3cret" not in repr(entries(here))
            # The times are those of the record.
            newest = here.catalog.deployments()[0].changes[-1]
            [promoted] = [each for each in entries(here) if each.action == "promoted"]
            assert (promoted.at, promoted.subject) == (newest.at, new.id)

    run(test())


def test_a_forced_removal_tells_what_still_needed_it() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"))) as one:
            id = (await here.register(one.uri)).id
            here.writer.add_invocation("A", Status.SUSPENDED, id)
            await here.registry.remove(id, force=True, actor="ann")
            detail = entries(here, id)[0].detail
            assert (detail["forced"], detail["services"]) == (True, {"A": 1})
            found = detail["found"]
            assert (found["state"], found["active_services"]) == ("active", ["A"])
            assert (found["unfinished"], found["counts"]["suspended"]) == (1, 1)

    run(test())


def test_what_changed_nothing_is_not_told() -> None:
    async def test() -> None:
        async with world() as here, serving(announce(service("A"))) as one:
            known = await here.register(one.uri)
            await here.register(one.uri)
            await here.register(one.uri, force=True, dry_run=True)
            await here.registry.modify(Modification(known.id))
            await here.registry.modify(Modification(known.id, metadata={"a": "b"}, dry_run=True))
            await here.registry.promote(known.id)
            await here.registry.configure("A", ServiceChanges())
            for refused in (
                here.registry.remove(known.id),
                here.registry.remove("dp_1nope"),
                here.registry.configure("A", ServiceChanges(abort_timeout=-1)),
            ):
                with pytest.raises(RequestError):
                    await refused
            assert actions(here) == ["registered"]

    run(test())


def test_what_could_not_be_stored_is_not_told() -> None:
    async def test() -> None:
        async with (
            world() as here,
            serving(announce(service("A"))) as one,
            serving(announce(service("A"))) as two,
        ):
            old = await here.register(one.uri)
            new = await here.register(two.uri)
            told = actions(here)
            here.writer.broken = True
            for step in (
                here.registry.register(Registration(one.uri, force=True)),
                here.registry.modify(Modification(new.id, headers=(("x-a", "1"),))),
                here.registry.promote(old.id),
                here.registry.configure("A", ServiceChanges(public=False)),
                here.registry.remove(old.id),
            ):
                with pytest.raises(StoreError):
                    await step
            assert actions(here) == told

    run(test())
