"""`apply` and `gc` die at any moment, some at once, while versions come and go under load.

Engine and commands are real processes. Commands are killed after a random time, or in the moment in
which the platform deletes a version; the engine dies too. `STEADFAAS_CRASH_ROUNDS` sets the number
of rounds, `STEADFAAS_CRASH_SEED` repeats the decisions of an earlier run (timing still differs).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
import restate
from aiohttp import web

from tests.adapters.aws_lambda.functions import FUNCTION, Functions
from tests.adapters.aws_lambda.scripted import Answer, refused, serving
from tests.support.npm import CHECKOUT
from tests.support.processes import SteadfaasServer

ROUNDS = int(os.environ.get("STEADFAAS_CRASH_ROUNDS", "8"))
CLIENTS = 4
FILE = '[[deployments]]\nname = "greeter"\ntarget = "lambda:greeter@live"\nkeep = 0\n'
# What runs at the same time in a round.
CROWDS = (["apply"], ["gc"], ["apply", "gc"], ["gc", "gc", "apply", "apply"])

Moment = Literal["some time", "before a version goes", "after a version went"]
MOMENTS: tuple[Moment, ...] = ("some time", "before a version goes", "after a version went")
What = Literal["called", "deleted"]


# --- the witnesses -----------------------------------------------------------------------------


@dataclass
class Evidence:
    """What the platform saw, in order, and what each invocation returned: the versions that ran its
    first step, its last step, and its end."""

    seen: list[tuple[What, str]] = field(default_factory=list)
    results: dict[str, list[str]] = field(default_factory=dict)

    def violations(self) -> list[str]:
        """What must not be."""
        wrong = []
        gone: set[str] = set()
        for what, version in self.seen:
            if what == "called" and version in gone:
                wrong.append(f"version {version} was needed after it had been deleted")
            elif what == "deleted":
                gone.add(version)
        for id, versions in self.results.items():
            if len(set(versions)) != 1:
                wrong.append(f"{id} began, went on and ended on {versions}")
        return wrong


def test_sound_evidence_has_no_violations() -> None:
    seen: list[tuple[What, str]] = [("called", "1"), ("deleted", "1"), ("called", "2")]
    assert Evidence(seen, {"a": ["1", "1", "1"]}).violations() == []


def test_each_breach_is_noticed() -> None:
    seen: list[tuple[What, str]] = [("called", "1"), ("deleted", "1"), ("called", "1")]
    assert Evidence(seen).violations() == ["version 1 was needed after it had been deleted"]
    [found] = Evidence(results={"a": ["1", "2", "2"]}).violations()
    assert found == "a began, went on and ended on ['1', '2', '2']"


# --- the platform ------------------------------------------------------------------------------


class Platform(Functions):
    """Lambda with the function `greeter`; tells what happens, and lets processes die then."""

    def __init__(self) -> None:
        super().__init__()
        self.evidence = Evidence()
        self.doomed: defaultdict[Moment, list[asyncio.subprocess.Process]] = defaultdict(list)
        self.deaths = 0

    @property
    def live(self) -> str:
        """Where the alias points to."""
        return self.aliases[0]["FunctionVersion"]

    def release(self, version: str) -> None:
        """Publish a version, and let the alias lead to it."""
        self.publish(version, ride(version))
        self.point_to(version)

    def point_to(self, version: str) -> None:
        self.aliases = [{"Name": "live", "FunctionVersion": version}]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, qualifier = request.raw_path.partition("?Qualifier=")
        if path.endswith("/invocations"):
            event = json.loads(await request.read())
            if event["path"].startswith("/invoke/"):
                self.evidence.seen.append(("called", qualifier))
        return await super().answer(request)

    def _answer(self, method: str, operation: list[str], version: str) -> Answer | None:
        if method != "DELETE" or version not in self.versions:
            return super()._answer(method, operation, version)
        self._come("before a version goes")
        if version == self.live:
            return refused("ResourceConflictException", 409)
        found = super()._answer(method, operation, version)
        self.evidence.seen.append(("deleted", version))
        self._come("after a version went")
        return found

    def _come(self, moment: Moment) -> None:
        for process in self.doomed.pop(moment, []):
            if process.returncode is None:
                process.kill()
                self.deaths += 1


def ride(version: str) -> restate.Service:
    """A version of the service: a step, a nap, a step."""
    service = restate.Service("Ride")

    @service.handler()
    async def go(ctx: restate.Context, nap: float) -> list[str]:
        first = await ctx.run_typed("first", lambda: version)
        await ctx.sleep(timedelta(seconds=nap))
        last = await ctx.run_typed("last", lambda: version)
        return [first, last, version]

    return service


# --- the story ---------------------------------------------------------------------------------


@dataclass
class Scene:
    """An engine that may die, its platform, and a file about both."""

    platform: Platform
    engine: SteadfaasServer
    file: Path
    chance: random.Random
    session: aiohttp.ClientSession
    sent: list[str] = field(default_factory=list)

    async def command(self, name: str) -> asyncio.subprocess.Process:
        """Start a command about the file."""
        words = ["--admin-url", self.engine.admin, name, "--config", str(self.file)]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "steadfaas", *words),
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def done(self, name: str) -> str:
        """Run a command that must work; what it says."""
        process = await self.command(name)
        said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said
        return said

    async def get(self, path: str) -> Any:
        """An answer of the admin API."""
        async with self.session.get(self.engine.admin + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def keep_riding(self, client: int, enough: asyncio.Event) -> None:
        """Send one invocation after the other."""
        number = 0
        while not enough.is_set():
            number += 1
            self.sent.append(await self._sent(f"{client}/{number}"))
            await asyncio.sleep(0.2)

    async def _sent(self, key: str) -> str:
        """Send one until it is acknowledged; its id."""
        nap = self.chance.choice((0.0, 0.2, 1.0, 2.0))
        url, headers = f"{self.engine.ingress}/Ride/go/send", {"idempotency-key": key}
        while True:
            with contextlib.suppress(OSError, aiohttp.ClientError):
                async with self.session.post(url, json=nap, headers=headers) as answer:
                    assert answer.status in (200, 202), await answer.text()
                    return str((await answer.json())["invocationId"])
            await asyncio.sleep(0.05)

    async def results(self) -> dict[str, list[str]]:
        """What all that was sent has returned, in the end."""

        async def result(id: str) -> list[str]:
            url = f"{self.engine.ingress}/restate/invocation/{id}/attach"
            async with self.session.get(url) as answer:
                assert answer.status == 200, await answer.text()
                return list(await answer.json())

        found = await asyncio.gather(*(result(id) for id in self.sent))
        return dict(zip(self.sent, found, strict=True))

    # --- a round -------------------------------------------------------------------------------

    async def round(self, number: int) -> None:
        """Versions move, commands run, and some of what runs dies."""
        self._move(f"{number + 2}")
        processes = [await self.command(name) for name in self.chance.choice(CROWDS)]
        for process in processes:
            if self.chance.random() < 0.75:
                self.platform.doomed[self.chance.choice(MOMENTS)].append(process)
        said = [asyncio.create_task(process.communicate()) for process in processes]
        await asyncio.sleep(self.chance.uniform(0.1, 0.8))
        self.platform._come("some time")
        if self.chance.random() < 0.3:
            self.engine.kill()
            self.engine.start()
            await asyncio.to_thread(self.engine.wait_ready)
        for output, _ in await asyncio.gather(*said):
            assert b"Traceback" not in output, output.decode()
        self.platform.doomed.clear()

    def _move(self, version: str) -> None:
        there = sorted(self.platform.versions)
        if self.chance.random() < 0.2:
            self.platform.point_to(self.chance.choice(there))
        else:
            self.platform.release(version)


@contextlib.asynccontextmanager
async def scene(tmp_path: Path, seed: int) -> AsyncIterator[Scene]:
    async with serving(Platform()) as platform, aiohttp.ClientSession() as session:
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        with SteadfaasServer(tmp_path, aws=aws) as engine:
            file = tmp_path / "steadfaas.toml"
            file.write_text(FILE)
            yield Scene(platform, engine, file, random.Random(seed), session)


@pytest.mark.e2e
def test_whatever_dies_the_end_is_the_same_and_nothing_pinned_goes(tmp_path: Path) -> None:
    seed = int(os.environ.get("STEADFAAS_CRASH_SEED", random.SystemRandom().randrange(10**6)))
    print(f"STEADFAAS_CRASH_SEED={seed} STEADFAAS_CRASH_ROUNDS={ROUNDS}")
    asyncio.run(_story(tmp_path, seed))


async def _story(tmp_path: Path, seed: int) -> None:
    async with scene(tmp_path, seed) as here:
        platform = here.platform
        platform.release("1")
        await here.done("apply")
        enough = asyncio.Event()
        riding = [asyncio.create_task(here.keep_riding(n, enough)) for n in range(CLIENTS)]
        for number in range(ROUNDS):
            await here.round(number)
        enough.set()
        await asyncio.gather(*riding)
        platform.evidence.results = await here.results()

        # What a gc was killed at keeps its version for two minutes: the end is about another one.
        platform.release("1000")
        await here.done("apply")
        await here.done("gc")
        assert [each["arn"] for each in (await here.get("/deployments"))["deployments"]] == [
            f"{FUNCTION}:{platform.live}"
        ]
        registered = _versions(await here.get("/audit?limit=1000"), "registered")
        assert registered.isdisjoint(platform.versions.keys() - {platform.live})
        assert set(platform.deleted) == registered - {platform.live}
        assert await here.done("apply") == "Unchanged: 1 deployment.\n"
        assert "Retired 0 versions; 0 stay" in await here.done("gc")

    print(
        f"{len(here.sent)} invocations on {len(registered)} versions, {platform.deaths} commands"
        f" killed, {len(platform.deleted)} versions retired"
    )
    wrong = platform.evidence.violations()
    assert not wrong, f"seed {seed}:\n" + "\n".join(wrong[:20])
    # A run in which nothing much happened would prove nothing.
    assert len(here.sent) > 5 * ROUNDS
    assert platform.deaths > 0


def _versions(audit: Any, action: str) -> set[str]:
    """The versions that something was done to."""
    return {
        each["detail"]["uri"].rpartition(":")[2]
        for each in audit["entries"]
        if each["action"] == action
    }
