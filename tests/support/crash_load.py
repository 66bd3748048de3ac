"""Clients that keep an engine busy while it is being killed, and note down what it promised.

A client behaves as a careful user does: a request with an idempotency key is sent again until it
is acknowledged, a request without one is sent once, and its entry is doubtful when the connection
breaks before the answer.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.crash_evidence import Evidence

ANSWER_SECONDS = 20.0
# A hot ledger makes additions queue; a big one would only make them slow.
_ENTRIES_PER_LEDGER = 120
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Any


class CrashLoad:
    """One run of clients against one ingress; everything they learn goes into `evidence`."""

    def __init__(self, ingress: str, seed: int, evidence: Evidence) -> None:
        self._ingress = ingress
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._evidence = evidence
        self._accepted: list[tuple[str, str]] = []
        self._stopping = False
        self.acknowledged = 0
        self.cut_off = 0

    async def run(self, clients: int, until: asyncio.Event) -> None:
        """Keep `clients` requests under way until the event is set and they are answered."""
        async with self._session() as session:
            workers = [asyncio.create_task(self._client(session)) for _ in range(clients)]
            await until.wait()
            self._stopping = True
            await asyncio.gather(*workers)

    async def settle(self, seconds: float) -> None:
        """Collect the results of everything accepted, and the ledgers once they are complete."""
        async with self._session() as session:
            waits = [self._collect(session, *one) for one in self._accepted]
            await asyncio.gather(*waits)
            deadline = asyncio.get_running_loop().time() + seconds
            names = self._evidence.certain.keys() | self._evidence.doubtful.keys()
            for name in sorted(names):
                await self._collect_ledger(session, name, deadline)

    # Clients.

    async def _client(self, session: aiohttp.ClientSession) -> None:
        kinds: list[Callable[[aiohttp.ClientSession, str], Awaitable[None]]] = [
            self._steps,
            self._nap,
            self._relay,
            self._add_once,
            self._add_once,
            self._add_keyed,
            self._add_keyed,
            self._send_steps,
            self._send_add,
            self._fan_out,
            self._flow,
        ]
        while not self._stopping:
            act = self._random.choice(kinds)
            await act(session, f"r{next(self._numbers)}")

    async def _steps(self, session: aiohttp.ClientSession, key: str) -> None:
        result = await self._until_acknowledged(session, "/Crash/steps", "note", key)
        self._evidence.results.append(result)

    async def _nap(self, session: aiohttp.ClientSession, key: str) -> None:
        pause = self._random.randint(1, 400)
        result = await self._until_acknowledged(session, "/Crash/nap", pause, key)
        self._evidence.results.append(result)

    async def _relay(self, session: aiohttp.ClientSession, key: str) -> None:
        ledger = self._ledger()
        booking = {"ledgers": [ledger], "entry": key}
        result = await self._until_acknowledged(session, "/Crash/relay", booking, key)
        self._evidence.results += [result["own"], result["child"]]
        self._note_added(ledger, key, result["added"])

    async def _fan_out(self, session: aiohttp.ClientSession, key: str) -> None:
        ledgers = [self._ledger() + suffix for suffix in ("", "-second", "-third")]
        booking = {"ledgers": ledgers, "entry": key}
        result = await self._until_acknowledged(session, "/Crash/fan_out", booking, key)
        self._evidence.results.append(result)
        for ledger in ledgers:
            self._evidence.certain[ledger].add(key)

    async def _add_keyed(self, session: aiohttp.ClientSession, key: str) -> None:
        ledger = self._ledger()
        added = await self._until_acknowledged(session, f"/Ledger/{ledger}/add", key, key)
        self._note_added(ledger, key, added)

    async def _add_once(self, session: aiohttp.ClientSession, key: str) -> None:
        ledger = self._ledger()
        self._evidence.doubtful[ledger].add(key)
        answer = await self._post(session, f"/Ledger/{ledger}/add", key)
        if answer is not None and self._is_acknowledged(answer, "add"):
            self._note_added(ledger, key, answer.body)

    async def _send_add(self, session: aiohttp.ClientSession, key: str) -> None:
        ledger = self._ledger()
        self._evidence.doubtful[ledger].add(key)
        answer = await self._post(session, f"/Ledger/{ledger}/add/send", key)
        if answer is not None and self._is_acknowledged(answer, "add/send"):
            self._evidence.certain[ledger].add(key)
            self._accepted.append(("add", answer.body["invocationId"]))

    async def _send_steps(self, session: aiohttp.ClientSession, key: str) -> None:
        delay = self._random.choice(["", "?delay=300ms"])
        path = f"/Crash/steps/send{delay}"
        accepted = await self._until_acknowledged(session, path, "note", key)
        self._accepted.append(("steps", accepted["invocationId"]))

    async def _flow(self, session: aiohttp.ClientSession, key: str) -> None:
        accepted = await self._until_acknowledged(
            session, f"/CrashFlow/{key}/run/send", "note", None
        )
        await self._until_acknowledged(session, f"/CrashFlow/{key}/poke", "now", f"poke-{key}")
        self._accepted.append(("steps", accepted["invocationId"]))

    # Requests.

    async def _until_acknowledged(
        self, session: aiohttp.ClientSession, path: str, body: Any, key: str | None
    ) -> Any:
        """Send the same request until it is acknowledged, and now and then once more."""
        first = await self._retried(session, path, body, key)
        if key is not None and self._random.random() < 0.25:
            second = await self._retried(session, path, body, key)
            self._evidence.repeats.append(
                (f"{path} with key {key}", _lasting(first), _lasting(second))
            )
        return first

    async def _retried(
        self, session: aiohttp.ClientSession, path: str, body: Any, key: str | None
    ) -> Any:
        while True:
            answer = await self._post(session, path, body, key)
            if answer is not None and self._is_acknowledged(answer, path):
                return answer.body
            await asyncio.sleep(0.02 + 0.05 * self._random.random())

    async def _post(
        self, session: aiohttp.ClientSession, path: str, body: Any, key: str | None = None
    ) -> _Answer | None:
        headers = {} if key is None else {"idempotency-key": key}
        try:
            async with session.post(self._ingress + path, json=body, headers=headers) as reply:
                return _Answer(reply.status, await _parsed(reply))
        except (aiohttp.ClientError, OSError):
            self.cut_off += 1
            return None

    def _is_acknowledged(self, answer: _Answer, path: str) -> bool:
        """Whether to rely on the answer. Raises AssertionError for one that no retry can mend."""
        if answer.status in (200, 202):
            self.acknowledged += 1
            return True
        if answer.status not in _TRY_AGAIN:
            self._evidence.refused.append(f"{path}: HTTP {answer.status} {answer.body!r}")
            raise AssertionError(self._evidence.refused[-1])
        return False

    # Results.

    def _note_added(self, ledger: str, entry: str, added: dict[str, Any]) -> None:
        self._evidence.certain[ledger].add(entry)
        self._evidence.totals[ledger].append(added["total"])
        self._evidence.results.append(added["done"])

    async def _collect(self, session: aiohttp.ClientSession, kind: str, invocation: str) -> None:
        url = f"{self._ingress}/restate/invocation/{invocation}/attach"
        try:
            async with session.get(url) as reply:
                answer = _Answer(reply.status, await _parsed(reply))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._evidence.unfinished.append(f"{kind} {invocation}: {error!r}")
            return
        if answer.status != 200:
            self._evidence.unfinished.append(f"{kind} {invocation}: {answer.status} {answer.body}")
            return
        result = answer.body["done"] if kind == "add" else answer.body
        self._evidence.results.append(result)

    async def _collect_ledger(
        self, session: aiohttp.ClientSession, name: str, deadline: float
    ) -> None:
        """Read a ledger until its certain entries are there: delayed sends may still be due."""
        expected = {f"entry {entry}" for entry in self._evidence.certain[name]}
        while True:
            async with session.get(f"{self._ingress}/Ledger/{name}/dump") as reply:
                state: dict[str, int] = await reply.json()
            if expected <= state.keys() or asyncio.get_running_loop().time() > deadline:
                self._evidence.ledgers[name] = state
                return
            await asyncio.sleep(0.1)

    def _ledger(self) -> str:
        generation = next(self._numbers) // _ENTRIES_PER_LEDGER
        return f"{generation}-{self._random.choice('ab')}"

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            connector=aiohttp.TCPConnector(limit=0),
        )


async def _parsed(reply: aiohttp.ClientResponse) -> Any:
    """The body as JSON where it is marked as JSON; a cut body raises like a cut connection."""
    body = await reply.read()
    if body and reply.content_type == "application/json":
        return await reply.json()
    return body


def _lasting(answer: Any) -> Any:
    """What must be equal in a repeated answer: a send says by `status` that it knows the key."""
    if isinstance(answer, dict) and "invocationId" in answer:
        return answer["invocationId"]
    return answer
