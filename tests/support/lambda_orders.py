"""Orders on Lambda versions, and what witnesses say about who did them.

Three witnesses are compared, none of which asks another: the engine's record of the attempts, the
results of the handlers, and the lines that steps wrote into a file.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from steadfaas.testing import LocalLambda
from tests.support.npm import CHECKOUT
from tests.support.processes import SteadfaasServer

_SERVICES = CHECKOUT / "tests" / "services"
_CLIENTS = 32
_SENDING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Code:
    """What a version's code calls itself, its source, and the steps that it runs."""

    name: str
    source: str
    steps: frozenset[str]

    def publish(self, local: LocalLambda, log: Path) -> str:
        """Publish it as the function `orders`, and move the alias `live` there; the ARN."""
        return local.publish(
            {"app.py": self.source},
            name="orders",
            handler="app.app",
            environment={"ORDERS_LOG": str(log)},
            alias="live",
        )


_FIRST = (_SERVICES / "lambda_orders_v1.py").read_text()
_SECOND = (_SERVICES / "lambda_orders_v2.py").read_text()
FIRST_CODE = Code("first code", _FIRST, frozenset({"take", "ship"}))
SECOND_CODE = Code("second code", _SECOND, frozenset({"ship"}))
# The only other one that can go on with what the first began.
REPAIRED_CODE = Code(
    "repaired code", _FIRST.replace("first code", "repaired code"), FIRST_CODE.steps
)


@dataclass(frozen=True, slots=True)
class Version:
    """A published version that is registered."""

    arn: str
    deployment: str
    code: Code

    @property
    def number(self) -> str:
        """Its number at Lambda."""
        return self.arn.rpartition(":")[2]


class Shop:
    """A client of an engine that is killed now and then."""

    def __init__(self, engine: SteadfaasServer, session: aiohttp.ClientSession) -> None:
        self._engine = engine
        self._session = session
        self._places = asyncio.Semaphore(_CLIENTS)

    async def register(self, target: str) -> dict[str, Any]:
        """Register what a target means now."""
        url = f"{self._engine.admin}/deployments"
        async with self._session.post(url, json={"target": target}) as answer:
            registered: dict[str, Any] = await answer.json()
            assert answer.status == 201, registered
            return registered

    async def send(self, names: Iterable[str], seconds: float = 0.0) -> dict[str, str]:
        """Send orders until each is acknowledged; their invocations, by name."""
        sent = {name: self._send(name, seconds) for name in names}
        async with asyncio.timeout(_SENDING_SECONDS):
            return dict(zip(sent, await asyncio.gather(*sent.values()), strict=True))

    async def _send(self, name: str, seconds: float) -> str:
        url = f"{self._engine.ingress}/Orders/place/send"
        order = {"name": name, "seconds": seconds}
        async with self._places:
            while True:
                try:
                    async with self._session.post(
                        url, json=order, headers={"idempotency-key": name}
                    ) as answer:
                        if answer.status in (200, 202):
                            return str((await answer.json())["invocationId"])
                        assert answer.status in (429, 503), await answer.text()
                except (OSError, aiohttp.ClientError):
                    pass  # killed: whether it was stored, only the same key can tell
                await asyncio.sleep(0.05)

    async def unfinished(self, version: Version) -> int:
        """How many unfinished invocations need a version."""
        return int((await self._drain(version))["unfinished"])

    async def until_unfinished(self, version: Version, most: int, seconds: float) -> None:
        """Wait until a version is needed by no more than so many."""
        await _until(lambda drain: drain["unfinished"] <= most, self._drain, version, seconds)

    async def until_begun(self, version: Version, seconds: float) -> None:
        """Wait until all that is to go to a version is pinned there."""
        await _until(lambda drain: not drain["counts"]["queued"], self._drain, version, seconds)

    async def _drain(self, version: Version) -> Any:
        return (await self.get(f"/deployments/{version.deployment}"))["drain"]

    async def records(self, ids: Iterable[str]) -> dict[str, Record]:
        """What the engine knows of invocations, and what they returned."""
        ids = list(ids)
        return dict(zip(ids, await asyncio.gather(*map(self._record, ids)), strict=True))

    async def _record(self, id: str) -> Record:
        async with self._places:
            found = await self.get(f"/invocations/{id}")
            url = f"{self._engine.ingress}/restate/invocation/{id}/output"
            async with self._session.get(url) as answer:
                result = await answer.json() if answer.status == 200 else None
        return Record(found["status"], found["attempts"], result)

    async def get(self, path: str) -> Any:
        """An answer of the admin API."""
        async with self._session.get(f"{self._engine.admin}{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


async def _until(
    reached: Callable[[Any], bool],
    look: Callable[[Version], Awaitable[Any]],
    version: Version,
    seconds: float,
) -> None:
    async with asyncio.timeout(seconds):
        while not reached(await look(version)):  # noqa: ASYNC110 - what is awaited is elsewhere
            await asyncio.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Record:
    """An invocation in the end."""

    status: str
    attempts: list[dict[str, Any]]
    result: dict[str, Any] | None


@dataclass(slots=True)
class Verdict:
    """What is wrong with orders, one sentence each, and how their attempts ended."""

    wrong: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


def judge(
    version: Version, orders: Mapping[str, str], records: Mapping[str, Record], log: str
) -> Verdict:
    """Compare what the witnesses say of orders (name to invocation) that belong to a version."""
    verdict = Verdict()
    if len(set(orders.values())) != len(orders):
        verdict.wrong.append("two orders share an invocation")
    written = _written(log)
    for name, id in orders.items():
        record = records[id]
        verdict.outcomes.update(attempt["outcome"] for attempt in record.attempts)
        verdict.wrong += [
            f"{name}: {sentence}" for sentence in _doubts(version, name, record, written[name])
        ]
    return verdict


def _doubts(
    version: Version, name: str, record: Record, written: list[tuple[str, ...]]
) -> Iterable[str]:
    if record.status != "completed" or record.result is None:
        yield f"is {record.status}, with {record.result}"
        return
    ran_on = {attempt["deployment_id"] for attempt in record.attempts}
    if ran_on != {version.deployment}:
        yield f"attempts ran on {ran_on}"
    ended = Counter(attempt["outcome"] for attempt in record.attempts)["completed"]
    if ended != 1:
        yield f"{ended} attempts completed it"
    by = [version.code.name, version.number]
    if (record.result["name"], record.result["by"]) != (name, by):
        yield f"the result is {record.result}"
    # A step may have run again when a kill came before its result was stored, on the same version.
    if others := {line for line in written if [line[1], line[2]] != by}:
        yield f"steps ran elsewhere: {others}"
    if {step for step, *_ in written} != version.code.steps:
        yield f"the steps that ran are {written}"
    if not {(step, *by, token) for step, token in record.result["tokens"].items()} <= set(written):
        yield f"a result was not written by a step: {record.result['tokens']}"


def _written(log: str) -> defaultdict[str, list[tuple[str, ...]]]:
    """Step, code, version and token of each line, by order."""
    found: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for line in log.splitlines():
        name, *rest = line.split("\t")
        found[name].append(tuple(rest))
    return found
