"""What the platform's own answers mean, and which answers are not its own."""

from __future__ import annotations

import asyncio

import pytest

from steadfaas.errors import AttemptFailure, Verdict
from steadfaas.spi import Endpoint
from steadfaas.testing.deno import FakeDeno, Revision
from steadfaas_adapters.deno_deploy import ADAPTER, failures
from tests.adapters.deno_deploy.platform import clear
from tests.deployments.world import run

MISSING = "The requested deployment could not be found.\n\ncode: DEPLOYMENT_NOT_FOUND\n"


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """No answer of another test is remembered."""
    failures._REMEMBERED._asked.clear()


def diagnose(revision: Revision, status: int = 404, text: str = MISSING) -> AttemptFailure | None:
    endpoint = Endpoint(revision.url, facts={"app_id": revision.app.id})
    return run(ADAPTER.diagnose(endpoint, status, {}, text))


def diagnosed(revision: Revision, status: int = 404, text: str = MISSING) -> AttemptFailure:
    found = diagnose(revision, status, text)
    assert found is not None
    return found


def test_a_deleted_revision_is_gone(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    platform.delete(first)
    found = diagnosed(first)
    assert (found.code, found.verdict) == ("SF0003", Verdict.GONE)
    assert f"{first.id} of shop was deleted on 2026-11-29" in found.message
    assert "steadfaas check INVOCATION --deployment ID" in found.message


def test_a_revision_that_the_api_has_forgotten_is_gone_if_its_app_is_there(
    platform: FakeDeno,
) -> None:
    first = platform.deploy("shop")
    platform.app("shop").revisions.remove(first)
    assert diagnosed(first).verdict is Verdict.GONE


def test_a_token_that_sees_nothing_ends_no_pin(platform: FakeDeno) -> None:
    """It may be one of another organisation, which has an app of the same name."""
    platform.deploy("shop")
    with FakeDeno("other") as elsewhere:
        stranger = elsewhere.deploy("shop", id="aaaaaaaaaaaa")
    for facts in ({}, {"app_id": "another"}):
        failures._REMEMBERED._asked.clear()
        found = run(ADAPTER.diagnose(Endpoint(stranger.url, facts=facts), 404, {}, MISSING))
        assert found is not None
        assert (found.code, found.verdict) == ("SF0004", Verdict.DENIED)
        assert "another organisation" in found.message


def test_a_disabled_revision_is_enabled_by_hand(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    platform.disable(first)
    found = diagnosed(first)
    assert (found.code, found.verdict) == ("SF0004", Verdict.DENIED)
    assert "Enable it again on the app's page" in found.message


def test_a_renamed_app_has_other_addresses(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    endpoint = Endpoint(first.url)
    platform.rename("shop", "store")
    found = run(ADAPTER.diagnose(endpoint, 404, {}, MISSING))
    assert found is not None
    assert found.verdict is Verdict.DENIED
    assert f"deployments update ID --url https://store-{first.id}.acme.deno.net/'" in found.message


def test_without_a_token_it_is_tried_again(
    platform: FakeDeno, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = platform.deploy("shop")
    platform.delete(first)
    clear(monkeypatch)
    found = diagnosed(first)
    assert (found.code, found.verdict) == ("RT0010", Verdict.RETRY)
    assert "Set STEADFAAS_DENO_TOKEN" in found.message


def test_an_api_that_cannot_be_asked_ends_no_pin(
    platform: FakeDeno, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = platform.deploy("shop")
    platform.delete(first)
    monkeypatch.setenv("STEADFAAS_DENO_TOKEN", "ddo_wrong")
    found = diagnosed(first)
    assert found.verdict is Verdict.RETRY
    assert "whether it was deleted is not known" in found.message
    assert "ddo_wrong" not in found.message


@pytest.mark.parametrize("code", ["BOOT_FAILURE", "DEPLOYMENT_FAILED", "UNCAUGHT_EXCEPTION"])
def test_a_process_that_died_is_tried_again(platform: FakeDeno, code: str) -> None:
    first = platform.deploy("shop")
    found = diagnosed(first, 502, f"The deployment failed.\n\ncode: {code}\n")
    assert (found.code, found.verdict) == ("RT0010", Verdict.RETRY)
    assert code in found.message
    assert platform.asked == []


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (404, ""),
        (404, "no service named Shop"),
        (404, "code: BOOT_FAILURE"),
        (404, "NOT_DEPLOYMENT_NOT_FOUND_AT_ALL"),
        (500, MISSING),
        (502, ""),
        (502, MISSING),
        (503, "code: BOOT_FAILURE"),
        (200, ""),
    ],
)
def test_other_answers_are_the_sdk_s_or_the_network_s(
    platform: FakeDeno, status: int, text: str
) -> None:
    assert diagnose(platform.deploy("shop"), status, text) is None
    assert platform.asked == []


def test_the_api_is_asked_once_for_all_that_wait(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    platform.delete(first)

    async def many() -> list[AttemptFailure | None]:
        ask = (ADAPTER.diagnose(Endpoint(first.url), 404, {}, MISSING) for _ in range(50))
        found = await asyncio.gather(*ask)
        return [*found, await ADAPTER.diagnose(Endpoint(first.url), 404, {}, MISSING)]

    found = run(many())
    assert {each.verdict for each in found if each is not None} == {Verdict.GONE}
    assert len(found) == 51
    assert len(set(map(id, found))) == 51, "each attempt has a failure of its own"
    assert len(platform.asked) == 1


def test_one_who_gives_up_does_not_take_the_answer_from_the_others(platform: FakeDeno) -> None:
    first = platform.deploy("shop")
    platform.delete(first)

    async def two() -> AttemptFailure | None:
        ask = [
            asyncio.ensure_future(ADAPTER.diagnose(Endpoint(first.url), 404, {}, MISSING))
            for _ in range(2)
        ]
        await asyncio.sleep(0)
        ask[0].cancel()
        return await ask[1]

    found = run(two())
    assert found is not None
    assert found.verdict is Verdict.GONE


def test_a_failure_of_the_api_is_not_remembered(
    platform: FakeDeno, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = platform.deploy("shop")
    platform.delete(first)
    endpoint = Endpoint(first.url)

    async def twice() -> list[AttemptFailure | None]:
        with monkeypatch.context() as wrong:
            wrong.setenv("STEADFAAS_DENO_TOKEN", "ddo_wrong")
            before = await ADAPTER.diagnose(endpoint, 404, {}, MISSING)
        return [before, await ADAPTER.diagnose(endpoint, 404, {}, MISSING)]

    found = [each.verdict for each in run(twice()) if each is not None]
    assert found == [Verdict.RETRY, Verdict.GONE]
