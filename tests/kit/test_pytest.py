"""The kit inside pytest: every runner and mode, clean ends, reports. Runs pytest on small files."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from steadfaas.testing import Steadfaas
from tests.house.checkout import ROOT, import_path
from tests.kit.shop import checkout

# What each of the small files begins with.
APP = """
import asyncio
import random
from datetime import timedelta
import pytest
import restate
from steadfaas.testing import Steadfaas

service = restate.Service("Shop")

@service.handler()
async def order(ctx: restate.Context, n: int) -> int:
    await ctx.run_typed("charge", lambda: n)
    await ctx.sleep(timedelta(days=2))
    return n

@service.handler()
async def wait(ctx: restate.Context) -> str:
    _, future = ctx.awakeable(type_hint=str)
    return await future

@service.handler()
async def hang(ctx: restate.Context) -> None:
    await ctx.run_typed("step", lambda: None)
    await asyncio.Event().wait()

@service.handler()
async def toss(ctx: restate.Context) -> str:
    return "heads" if random.random() < 0.5 else "tails"

app = restate.app([service])
"""


class Session:
    """One run of pytest."""

    def __init__(self, status: int, printed: str) -> None:
        self.status = status
        self.printed = printed

    def outcomes(self) -> dict[str, int]:
        """How many passed, failed, … as the last line says."""
        last = [line for line in self.printed.splitlines() if re.search(r" in [\d.]+s", line)][-1]
        return {word: int(count) for count, word in re.findall(r"(\d+) ([a-z]+)", last)}


def run(folder: Path, tests: str, *arguments: str) -> Session:
    """Run pytest, as in a project of its own, on a file with `tests`."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (folder / "test_shop.py").write_text(APP + textwrap.dedent(tests))
    done = subprocess.run(
        [sys.executable, *_python(arguments), "-m", "pytest", "-q", *_pytest(arguments)],
        cwd=folder,
        env=import_path(ROOT / "core", ROOT / "adapters"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Session(done.returncode, done.stdout + done.stderr)


def _python(arguments: tuple[str, ...]) -> list[str]:
    return ["-X", "dev"] if "-W" in arguments else []


def _pytest(arguments: tuple[str, ...]) -> list[str]:
    return ["-p", "no:cacheprovider", *arguments]


def test_every_runner_at_once(tmp_path: Path) -> None:
    """pytest-asyncio strict, anyio, and a loop of the test's own, in one file."""
    pytest.importorskip("trio")
    done = run(
        tmp_path,
        """
        @pytest.mark.asyncio
        async def test_asyncio(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            assert await steadfaas.call("Shop/order", 1) == 1

        @pytest.mark.asyncio(loop_scope="module")
        async def test_one_loop_for_several_tests(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            await steadfaas.send("Shop/order", 1)

        @pytest.mark.asyncio(loop_scope="module")
        async def test_the_next_in_that_loop(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            assert await steadfaas.call("Shop/order", 2) == 2
            assert len(steadfaas.sent) == 1

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_anyio(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            assert await steadfaas.call("Shop/order", 3) == 3

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["trio"])
        async def test_trio_is_told_what_is_needed(steadfaas: Steadfaas):
            with pytest.raises(RuntimeError, match="anyio with the back end asyncio"):
                await steadfaas.deploy(app)

        def test_a_loop_of_its_own(steadfaas: Steadfaas):
            async def main():
                await steadfaas.deploy(app)
                return await steadfaas.call("Shop/order", 4)
            assert asyncio.run(main()) == 4
        """,
        "--asyncio-mode=strict",
        "-W",
        "error",
    )
    assert (done.status, done.outcomes()) == (0, {"passed": 6}), done.printed


def test_asyncio_mode_auto_and_xdist(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        @pytest.fixture
        async def deployed(steadfaas: Steadfaas):
            return await steadfaas.deploy(app)

        @pytest.mark.parametrize("n", range(8))
        async def test_auto(steadfaas: Steadfaas, deployed, n):
            assert await steadfaas.call("Shop/order", n) == n
        """,
        "--asyncio-mode=auto",
        "-n",
        "2",
    )
    assert (done.status, done.outcomes()) == (0, {"passed": 8}), done.printed


def test_what_is_left_behind_ends_cleanly(tmp_path: Path) -> None:
    """No warning of any kind, and no log line, with all of them made errors."""
    left_behind = """
        {mark}
        async def test_unfinished(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            await steadfaas.send("Shop/order", 1)

        {mark}
        async def test_waiting(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            request = asyncio.create_task(steadfaas.request("POST", "Shop/wait"))
            for _ in range(50):
                await asyncio.sleep(0)
            task = asyncio.create_task(steadfaas.call("Shop/wait"))
            await asyncio.sleep(0)
            globals()["kept"] = task, request

        {mark}
        async def test_running(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            steadfaas.delay(by="1 min", attempts=1)
            await steadfaas.send("Shop/order", 1)
            await steadfaas.settle()
            await steadfaas.send("Shop/hang")
            for _ in range(100):
                await asyncio.sleep(0)

        {mark}
        async def test_just_begun(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            asyncio.ensure_future(steadfaas.send("Shop/order", 1))
            await asyncio.sleep(0)

        {mark}
        async def test_crashed(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            await steadfaas.send("Shop/hang")
            for _ in range(100):
                await asyncio.sleep(0)
            await steadfaas.crash()
            await steadfaas.send("Shop/order", 1)
        """
    both = "\n".join(
        textwrap.dedent(left_behind.format(mark=mark)).replace("test_", f"test_{name}_")
        for name, mark in (("a", "@pytest.mark.asyncio"), ("b", "@pytest.mark.anyio"))
    )
    own_loop = """
        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        def test_left_in_a_loop_of_its_own(steadfaas: Steadfaas):
            async def main():
                await steadfaas.deploy(app)
                await steadfaas.send("Shop/hang")
                await asyncio.sleep(0.01)
            asyncio.run(main())
        """
    done = run(tmp_path, both + textwrap.dedent(own_loop), "-W", "error", "-rA", "-s")
    assert (done.status, done.outcomes()) == (0, {"passed": 11}), done.printed
    assert not re.search(r"(?i)warning|error|destroyed|never retrieved", done.printed), done.printed


def test_a_failure_is_told_with_its_timeline(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        @pytest.mark.asyncio
        async def test_wrong(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            assert await steadfaas.call("Shop/order", 1) == 2

        @pytest.mark.asyncio
        async def test_stuck(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            await steadfaas.call("Shop/wait")

        @pytest.mark.asyncio
        @pytest.mark.steadfaas(always_replay=True)
        async def test_unsteady(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            await steadfaas.send("Shop/toss")
            await steadfaas.settle()

        @pytest.mark.asyncio
        async def test_right(steadfaas: Steadfaas):
            await steadfaas.deploy(app)
            assert await steadfaas.call("Shop/order", 1) == 1

        def test_without_any(steadfaas: Steadfaas):
            assert 1 == 2
        """,
    )
    assert done.outcomes() == {"failed": 4, "passed": 1}, done.printed
    assert done.printed.count("- steadfaas timeline -") == 3
    wrong = done.printed.partition("___ test_stuck ___")[0]
    assert re.search(r"Shop/order inv_1\w+: completed\n  \+0s +attempt 1 on v1: suspended", wrong)
    assert "    1 Run charge" in wrong
    assert "nothing can bring the result of Shop/wait" in done.printed
    assert "Shop/toss (inv_1" in done.printed
    assert "took another way when it was replayed" in done.printed
    shown = re.findall(r"^(?:.*/)?(steadfaas/testing/\w+\.py):\d+", done.printed, re.MULTILINE)
    assert not shown, "a report leads to the test's line, not into the kit"


def test_the_seed_is_the_name_of_the_test(tmp_path: Path) -> None:
    """So that a test has the same ids in every run, on every worker, and no other test has them."""
    tests = """
        @pytest.mark.asyncio
        @pytest.mark.parametrize("n", range(2))
        async def test_ids(steadfaas: Steadfaas, n):
            await steadfaas.deploy(app)
            print("ID", (await steadfaas.send("Shop/order", 1)).text_id)
        """
    printed = re.findall(r"ID (\w+)", run(tmp_path, tests, "-s").printed)
    assert printed == [asyncio.run(_first_id(f"test_shop.py::test_ids[{n}]")) for n in range(2)]
    assert len(set(printed)) == 2


async def _first_id(seed: str) -> str:
    async with Steadfaas(seed=seed) as kit:
        await kit.deploy(checkout("v1"))
        return (await kit.send("Checkout/place", {})).text_id


def test_the_plugin_costs_nothing_where_it_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\n"
        "def test_plain():\n"
        "    assert 'steadfaas.testing.plugin' in sys.modules\n"
        "    loaded = {name for name in sys.modules if name.startswith('steadfaas')}\n"
        "    assert loaded == {'steadfaas', 'steadfaas.testing', 'steadfaas.testing.plugin'}\n"
        "    assert 'sqlite3' not in sys.modules and 'aiohttp' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"],
        cwd=tmp_path,
        env=import_path(ROOT / "core", ROOT / "adapters"),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout
