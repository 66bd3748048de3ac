"""What every adapter keeps to, as tests: subclass `AdapterContract` in a test module of yours.

    class TestAcme(AdapterContract):
        adapter = ADAPTER
        taken = ("acme:7f3c2a",)
        refused = ("acme:", "acme:not a version")
        foreign = ("http://127.0.0.1:9080", "lambda:greeter")

Nobody is asked over a network: what needs the platform's own API to be resolved is left to tests of
the adapter's own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import ClassVar

import pytest

from steadfaas.errors import AttemptFailure, BadRequest, DiscoveryError, SteadfaasError
from steadfaas.spi import (
    Adapter,
    Bounded,
    Diagnoses,
    Endpoint,
    EndpointReference,
    Evidence,
    Expires,
    Mounts,
    Promise,
    Protects,
)

# Loaded by an adapter's import, these would be loaded by every registration of any other.
_HEAVY = ("boto3", "botocore", "aiohttp", "pydantic", "httpx", "requests", "tenacity")
_SHORTEST_SENTENCE = 20


class AdapterContract:
    """Checks that hold for any adapter. `taken` are targets that it resolves by their text alone
    (maybe none), `refused` are written in its words and are wrong, `foreign` are not its own."""

    adapter: ClassVar[Adapter]
    taken: ClassVar[Sequence[str]] = ()
    refused: ClassVar[Sequence[str]] = ()
    foreign: ClassVar[Sequence[str]] = ()

    def test_it_is_an_adapter(self) -> None:
        """It has a name and the methods of one."""
        assert isinstance(self.adapter, Adapter)
        assert self.adapter.name
        assert self.adapter.name == self.adapter.name.lower()

    def test_its_import_is_cheap(self) -> None:
        """Clients load on first use."""
        module = type(self.adapter).__module__
        program = f"import sys, {module}; print(*[m for m in {_HEAVY} if m in sys.modules])"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == []

    def test_it_claims_its_own_words_only(self) -> None:
        """Whoever writes another platform's target does not get this one's errors."""
        for target in (*self.taken, *self.refused):
            assert self.adapter.claims(target), target
        for target in self.foreign:
            assert not self.adapter.claims(target), target

    def test_a_reference_is_immutable_and_resolves_to_itself(self) -> None:
        """The same version is always the same text, and nothing mutable gets through unasked."""
        for target in self.taken:
            found = self._resolve(target)
            assert found.adapter == self.adapter.name
            assert found.evidence is not Evidence.MUTABLE
            assert self._resolve(found.uri).uri == found.uri

    def test_a_refusal_says_what_helps(self) -> None:
        """A sentence, and not only that it is wrong; without the network it is refused as well."""
        for target in self.refused:
            with pytest.raises((BadRequest, DiscoveryError)) as refused:
                self._resolve(target)
            assert isinstance(refused.value, BadRequest), f"{target} is not refused offline"
            assert len(refused.value.message) >= _SHORTEST_SENTENCE, target

    def test_nothing_is_immutable_because_somebody_wants_it(self) -> None:
        """What its grammar refuses, no promise makes right."""
        for target in self.refused:
            with pytest.raises(SteadfaasError):
                self._resolve(target, Promise.IMMUTABLE)

    def test_an_answer_of_the_handler_is_not_the_platform_s(self) -> None:
        """A 404 without a word of the platform came from the SDK."""
        if isinstance(self.adapter, Diagnoses):
            uri = self.taken[0] if self.taken else "https://nowhere.example/"
            found = asyncio.run(self.adapter.diagnose(Endpoint(uri), 404, {}, ""))
            assert found is None or isinstance(found, AttemptFailure)
            assert found is None, f"taken for the platform's: {found}"

    def test_limits_and_rules_make_sense(self) -> None:
        """Sizes are positive, removals lie ahead, a wrong number of secrets is refused."""
        if isinstance(self.adapter, Bounded):
            assert self.adapter.max_request_bytes > 0
        if isinstance(self.adapter, Expires):
            reference = EndpointReference(self.adapter.name, "x", Evidence.ASSERTED)
            expiry = self.adapter.expiry(reference, called_at=0)
            assert expiry is None or (expiry.at > 0 and expiry.why)
        if isinstance(self.adapter, Protects):
            with pytest.raises(BadRequest):
                self.adapter.protect(["env:A"] * 9)

    def test_one_version_is_one_wherever_it_is_mounted(self) -> None:
        """And what is at somebody else's address is another one."""
        if isinstance(self.adapter, Mounts):
            known = {self.adapter.version_at(self._resolve(target).uri) for target in self.taken}
            for target in self.taken:
                place = self._resolve(target).uri.rstrip("/")
                assert self.adapter.version_at(f"{place}/else/where") in known
            for target in self.foreign:
                assert self.adapter.version_at(target) not in known

    def _resolve(self, target: str, promise: Promise = Promise.NONE) -> EndpointReference:
        return asyncio.run(self.adapter.resolve(target, promise=promise))
