"""The pytest plugin: fixtures, and a report when a test fails.

The fixture `steadfaas` is synchronous and the engine starts with the first `await`, so that it runs
in whatever loop the test runs in: pytest-asyncio in either mode, anyio, or a loop of the test's
own. The engine is imported only by tests that use it.

`steadfaas_engine` is an engine in a process of its own.

One local Lambda (`local_lambda`, `publish`) serves all tests of a pytest process. It starts with
the first that asks for it, and forgets its functions after each.

Marker `steadfaas(always_replay=True)`: look for handlers that are not deterministic. Its other
keywords are those of `steadfaas.testing.Steadfaas`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from steadfaas.testing.cloudflare import FakeCloudflare
    from steadfaas.testing.deno import FakeDeno
    from steadfaas.testing.engine import SteadfaasEngine
    from steadfaas.testing.kit import Steadfaas
    from steadfaas.testing.local_lambda import LocalLambda
    from steadfaas.testing.vercel import FakeVercel

_PLATFORMS: Final = ("local_lambda", "fake_vercel", "fake_deno", "fake_cloudflare")
_KIT = pytest.StashKey["Steadfaas"]()
_SECTION = "steadfaas timeline"
# They would lead AWS's clients to the credentials of whoever runs the tests.
_AWS_IDENTITY: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "steadfaas(always_replay=False, ...): settings of the fixture `steadfaas`; with"
        " always_replay, handlers that are not deterministic fail the test",
    )


@pytest.fixture
def steadfaas(request: pytest.FixtureRequest) -> Iterator[Steadfaas]:
    """A durable invocation engine for this test, on a clock that only the test moves."""
    from steadfaas.testing.kit import Steadfaas

    settings: dict[str, object] = {"seed": request.node.nodeid}
    for marker in reversed(list(request.node.iter_markers("steadfaas"))):
        settings.update(marker.kwargs)  # the nearest one is the last
    kit = Steadfaas(**settings)  # type: ignore[arg-type]
    request.node.stash[_KIT] = kit
    try:
        yield kit
    finally:
        kit.close()


@pytest.fixture(scope="session")
def _local_lambda() -> Iterator[LocalLambda]:
    from steadfaas.testing.local_lambda import LocalLambda

    with LocalLambda() as running:
        yield running


@pytest.fixture
def local_lambda(
    _local_lambda: LocalLambda, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalLambda]:
    """Lambda on this machine, without functions. AWS's clients of the test use it."""
    for name in _AWS_IDENTITY:
        monkeypatch.delenv(name, raising=False)
    for name, value in _local_lambda.env().items():
        monkeypatch.setenv(name, value)
    yield _local_lambda
    _local_lambda.reset()


@pytest.fixture
def publish(local_lambda: LocalLambda) -> Callable[..., str]:
    """Publish code as a version of a function; its ARN. See `LocalLambda.publish`."""
    return local_lambda.publish


@pytest.fixture
def fake_vercel(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVercel]:
    """A Vercel without an account; adapters and engines of the test use it."""
    from steadfaas.testing.vercel import FakeVercel

    with FakeVercel() as fake:
        _set(monkeypatch, fake.env())
        yield fake


@pytest.fixture
def fake_deno(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDeno]:
    """A Deno Deploy without an account; adapters and engines of the test use it."""
    from steadfaas.testing.deno import FakeDeno

    with FakeDeno() as fake:
        _set(monkeypatch, fake.env())
        yield fake


@pytest.fixture
def fake_cloudflare(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudflare]:
    """A Cloudflare without an account; adapters and engines of the test use it."""
    from steadfaas.testing.cloudflare import FakeCloudflare

    with FakeCloudflare() as fake:
        _set(monkeypatch, fake.env())
        yield fake


def _set(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def steadfaas_engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SteadfaasEngine]:
    """An engine in a process of its own, with real ports and real time.

    It calls the platforms of the other fixtures that the test uses.
    """
    from steadfaas.testing.engine import SteadfaasEngine

    for platform in _PLATFORMS:
        if platform in request.fixturenames:
            request.getfixturevalue(platform)  # before the engine takes over the environment
    with SteadfaasEngine(tmp_path_factory.mktemp("steadfaas")) as engine:
        yield engine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A test that passed, but whose handlers are not deterministic, fails."""
    yield
    kit = item.stash.get(_KIT, None)
    found = "" if kit is None else kit.take_replays()
    if found:
        pytest.fail(found, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the timelines of what was sent to the report of a test that failed."""
    report = yield
    kit = item.stash.get(_KIT, None)
    if kit is not None and report.when == "call" and report.failed:
        story = kit.report()
        if story:
            report.sections.append((_SECTION, story))
    return report
