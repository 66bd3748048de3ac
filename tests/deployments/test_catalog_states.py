"""Whatever is done to a catalogue, in any order: what takes new requests, and which number is next.

The model beside it is the rule as it is told: of each service the highest revision takes new
requests, of those whose deployment is not being retired.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from steadfaas.deployments.catalog import Catalog, Deployment, Retirement, ServiceRevision
from steadfaas.deployments.promote import promotion
from tests.deployments.test_catalog import deployment

NAMES = ("Cart", "Shop")
# Mostly one and the same, so that there is much to choose from.
served = st.sampled_from([{"Cart"}, {"Cart"}, {"Cart", "Shop"}, {"Shop"}, set()])


class Catalogue(RuleBasedStateMachine):
    """Registrations, promotions, retirements and removals, as the registry makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.catalog = Catalog()
        self.table: dict[str, Deployment] = {}
        self.made = 0

    def put(self, known: Deployment) -> None:
        self.table[known.id] = known
        self.catalog.put(known)

    def numbered(self, id: str, names: set[str]) -> Deployment:
        numbers = {name: self.catalog.next_number(name) for name in names}
        for name, number in numbers.items():
            assert number > max((each.revision for each in self.all_of(name)), default=0)
        return deployment(id, self.made, **numbers)

    def all_of(self, name: str) -> list[ServiceRevision]:
        return [each.services[name] for each in self.table.values() if name in each.services]

    def one(self, data: Any) -> Deployment:
        return self.table[data.draw(st.sampled_from(sorted(self.table)))]

    @initialize()
    def several(self) -> None:
        for _ in range(4):
            self.register({"Cart"})

    @rule(names=served)
    def register(self, names: set[str]) -> None:
        self.made += 1
        self.put(self.numbered(f"d{self.made}", names))

    @precondition(lambda self: self.table)
    @rule(data=st.data(), names=served)
    def overwrite(self, data: Any, names: set[str]) -> None:
        known = self.one(data)
        if known.retiring is None:
            self.put(replace(self.numbered(known.id, names), created_at=known.created_at))

    @precondition(lambda self: self.table)
    @rule(data=st.data())
    def promote(self, data: Any) -> None:
        known = self.one(data)
        if known.retiring is None:
            after = promotion(self.catalog, known).deployment
            self.put(after)
            assert {each.name for each in self.catalog.active_services(known.id)} == set(
                known.services
            )

    @precondition(lambda self: self.idle())
    @rule(data=st.data())
    def retire(self, data: Any) -> None:
        known = self.table[data.draw(st.sampled_from(self.idle()))]
        self.put(replace(known, retiring=Retirement(1, "ann")))

    def idle(self) -> list[str]:
        return sorted(id for id in self.table if not self.catalog.active_services(id))

    @precondition(lambda self: self.table)
    @rule(data=st.data())
    def call_off(self, data: Any) -> None:
        self.put(replace(self.one(data), retiring=None))

    @precondition(lambda self: self.table)
    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        known = self.one(data)
        del self.table[known.id]
        self.catalog.remove(known.id)

    @precondition(lambda self: self.catalog.services())
    @rule(data=st.data())
    def remove_what_takes_requests(self, data: Any) -> None:
        active = data.draw(st.sampled_from(self.catalog.services()))
        del self.table[active.deployment_id]
        self.catalog.remove(active.deployment_id)

    @invariant()
    def the_highest_that_stays_takes_new_requests(self) -> None:
        for name in NAMES:
            staying = [
                each for each in self.all_of(name)
                if self.table[each.deployment_id].retiring is None
            ]  # fmt: skip
            highest = max(staying, key=lambda each: each.revision, default=None)
            assert self.catalog.latest(name) is highest

    @invariant()
    def no_number_is_there_twice(self) -> None:
        for name in NAMES:
            numbers = [each.revision for each in self.all_of(name)]
            assert len(set(numbers)) == len(numbers)
            assert [each.revision for each in self.catalog.revisions(name)] == sorted(numbers)[::-1]

    @invariant()
    def a_new_process_would_see_the_same(self) -> None:
        anew = Catalog(self.table.values())
        assert self.catalog.services() == anew.services()
        assert self.catalog.active_names() == anew.active_names()
        for id in self.table:
            assert self.catalog.active_services(id) == anew.active_services(id)


TestCatalogue = Catalogue.TestCase
TestCatalogue.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
