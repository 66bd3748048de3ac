"""The engine inside a test: the production machine, driver and store, on a virtual clock.

Everything runs in the test's own event loop and starts with the first `await`. Time stands still
until the test moves it (`advance`) or waits for a result (`Invocation.result`), which moves it as
far as needed. Nothing sleeps for real.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from steadfaas import ids
from steadfaas.deployments.catalog import HandlerOptions
from steadfaas.deployments.drain import Drain, drain_of
from steadfaas.deployments.register import Registration
from steadfaas.runtime.engine import Tuning
from steadfaas.servers.asked_version import VERSION
from steadfaas.servers.http1 import Reply, Request
from steadfaas.servers.ingress import Ingress
from steadfaas.store import keys
from steadfaas.testing import stories
from steadfaas.testing.asgi import AsgiApp
from steadfaas.testing.calls import encoded, ingress_path
from steadfaas.testing.failures import Refused
from steadfaas.testing.faults import Fault, attempt_numbers
from steadfaas.testing.handles import Deployment, Invocation
from steadfaas.testing.host import Host
from steadfaas.testing.spans import Duration, milliseconds
from steadfaas.testing.transport import DOMAIN

_REPORTED: Final = 20
_CENTURY: Final = 36_525 * 86_400_000
# As in production, but results outlive the test, whatever time passes in it, unless their service
# says how long it keeps them.
_DEFAULTS: Final = HandlerOptions(
    journal_retention=_CENTURY, idempotency_retention=_CENTURY, workflow_retention=_CENTURY
)


class Usual(Enum):
    """How often a fault happens if nothing is said."""

    TIMES = "once; with `attempts`, in each of those attempts"


class Steadfaas:
    """The engine of one test; the fixture `steadfaas` is one.

    `seed` makes ids and jitter the same in each run. `always_replay` looks for handlers that are
    not deterministic. `defaults` are the settings of handlers whose service sets none: as in
    production, but results are kept for good. `tuning` holds the engine's limits. `patience` is how
    long a handler may wait for something that is not the engine, in seconds of real time.

    Outside pytest, use it with `async with`. Lengths of time are texts such as `"3 days"`,
    `"1h 30m"`, or timedeltas.
    """

    def __init__(
        self,
        *,
        seed: object = 0,
        always_replay: bool = False,
        defaults: HandlerOptions | None = None,
        tuning: Tuning | None = None,
        patience: float = 5.0,
    ) -> None:
        self._host = Host(
            seed=seed,
            defaults=defaults or _DEFAULTS,
            tuning=tuning or Tuning(drain_seconds=0),
            patience=patience,
        )
        self._apps = 0
        self._sent: dict[bytes, Invocation] = {}
        if always_replay:
            self.replay_always()

    # --- deployments ---------------------------------------------------------------------------

    async def deploy(
        self,
        app: AsgiApp | str,
        *,
        name: str | None = None,
        path: str = "",
        force: bool = False,
        breaking: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> Deployment:
        """Register a version: an ASGI app (of the Python SDK), called in this process, or what
        `steadfaas deployments register` takes, such as a URL or the ARN of a Lambda version.

        It takes new requests from now on. `name` is how reports call it (`v1`, `v2`, … by
        default); `path` is where the app serves its handlers, if not at its root. Each app gets an
        address of its own, also one that is deployed twice; an address that is known is left as it
        is, unless `force` has it discovered again.

        Raises DiscoveryError if it cannot be registered, as `steadfaas deployments register` would,
        and TypeError for what is no app.
        """
        __tracebackhide__ = True
        self._host.check_outside("deploy()")
        registry = await self._host.registry()
        target = app if isinstance(app, str) else self._address(app, path)
        registered = await self._host.asked(
            registry.register(
                Registration(
                    target=target, force=force, breaking=breaking, metadata=dict(metadata or {})
                )
            )
        )
        known = self._host.deployments
        id, uri = registered.deployment.id, registered.deployment.uri
        if id not in known:
            known[id] = Deployment(id, name or f"v{len(known) + 1}", uri)
        return known[id]

    def _address(self, app: AsgiApp, path: str) -> str:
        if not callable(app):
            raise TypeError(
                f"cannot deploy {app!r}: it is neither an ASGI app, such as what"
                " `restate.app([...])` returns, nor the text of a target"
            )
        self._apps += 1
        address = f"http://d{self._apps}{DOMAIN}/{path.strip('/')}".rstrip("/")
        self._host.transport.apps[address] = app
        return f"{address}/"

    def replace(self, deployment: Deployment, app: AsgiApp) -> None:
        """Put other code behind a deployment's address, without telling the engine.

        That must never happen to a real one. Here one sees what the engine makes of it.
        """
        if deployment.address not in self._host.transport.apps:
            raise ValueError(f"{deployment} is not called in this process: its code is elsewhere")
        self._host.transport.apps[deployment.address] = app

    async def remove(self, deployment: Deployment, *, force: bool = False) -> None:
        """Remove a version. Raises Conflict while it is not drained, unless forced."""
        registry = await self._host.registry()
        await self._host.asked(registry.remove(deployment.id, force=force))

    async def promote(self, deployment: Deployment) -> None:
        """Let a version take new requests again, without asking what it serves."""
        registry = await self._host.registry()
        await self._host.asked(registry.promote(deployment.id, actor="test kit"))

    def drain(self, deployment: Deployment) -> Drain:
        """What still needs a version: `drain(v1).state` is ACTIVE, DRAINING or DRAINED."""
        engine = self._host.running
        return drain_of(engine.store.reader, engine.catalog, deployment.id, now=self.now())

    # --- requests ------------------------------------------------------------------------------

    async def send(
        self,
        target: str,
        body: object = None,
        *,
        delay: Duration | None = None,
        idempotency_key: str | None = None,
        version: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Invocation:
        """Send a request to `Service/handler` or `Object/key/handler`, and do not wait for it.

        The key is taken as it is, whatever it holds. `body` is sent as JSON (bytes as they are,
        None: no body). `version` is what the deployment that it is for has in its metadata, such as
        `git:3f2c91e`. Raises Refused if the engine does not take it, ValueError for a target that
        is none, ConnectionResetError if the engine crashes before it answered.
        """
        __tracebackhide__ = True
        path = f"{ingress_path(target)}/send"
        if delay is not None:
            path += f"?delay={milliseconds(delay)}ms"
        more = dict(headers or {})
        if idempotency_key is not None:
            more["idempotency-key"] = idempotency_key
        if version is not None:
            more[VERSION] = version
        reply = await self._post(path, *encoded(body), more)
        id = ids.parse_invocation(json.loads(reply.body)["invocationId"])
        return self._sent.setdefault(id, Invocation(self._host, id, target))

    async def call(
        self,
        target: str,
        body: object = None,
        *,
        idempotency_key: str | None = None,
        version: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and give its result; time moves on as far as that needs.

        Raises what `send` and `Invocation.result` raise.
        """
        __tracebackhide__ = True
        self._host.check_outside("call()")
        invocation = await self.send(
            target, body, idempotency_key=idempotency_key, version=version, headers=headers
        )
        return await invocation.result()

    async def resolve(self, awakeable: str, value: object = None) -> None:
        """Complete an awakeable; `value` is sent as JSON. Raises Refused."""
        __tracebackhide__ = True
        await self._post(f"restate/awakeables/{quote(awakeable)}/resolve", *encoded(value))
        await self._host.settle()

    async def reject(self, awakeable: str, reason: str) -> None:
        """Fail an awakeable. Raises Refused."""
        __tracebackhide__ = True
        path = f"restate/awakeables/{quote(awakeable)}/reject"
        await self._post(path, reason.encode(), "text/plain")
        await self._host.settle()

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Any request to the ingress, and its reply as a client would get it.

        The path is taken as a client would write it. Time does not move: a request that waits for a
        result gets it when something else moves it there.
        """
        engine = await self._host.engine()
        listed = [(name.lower(), value) for name, value in (headers or {}).items()]
        request = Request(method, f"/{path.lstrip('/')}", listed, body)
        return await self._host.asked(Ingress(engine).handle(request))

    async def _post(
        self,
        path: str,
        body: bytes,
        content_type: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        __tracebackhide__ = True
        typed = {} if content_type is None else {"content-type": content_type}
        reply = await self.request("POST", path, body, {**typed, **(headers or {})})
        if reply.status >= 400:
            raise Refused(reply.status, self._explained(reply))
        return reply

    def _explained(self, reply: Reply) -> str:
        message = str(json.loads(reply.body)["message"])
        if reply.status != 404:
            return message
        services = [service.name for service in self._host.running.catalog.services()]
        return f"{message} (deployed: {', '.join(sorted(services)) or 'nothing'})"

    # --- time ----------------------------------------------------------------------------------

    def now(self) -> int:
        """The virtual time, in ms since the epoch. It begins with 2026, whatever the year."""
        return self._host.clock.now()

    async def advance(self, duration: Duration) -> None:
        """Let time pass. Sleeps, retries and delays fire in order, each at its own moment."""
        __tracebackhide__ = True
        self._host.check_outside("advance()")
        await self._host.engine()
        await self._host.settle()
        await self._host.advance(self._host.clock.now() + milliseconds(duration))

    async def run_until_idle(self, limit: Duration = "365 days") -> None:
        """Let time pass until nothing happens by itself any more; `limit` of it at most.

        Whoever waits for an awakeable, a promise or an operator still waits then.
        """
        __tracebackhide__ = True
        self._host.check_outside("run_until_idle()")
        await self._host.run_until_idle(milliseconds(limit))

    async def settle(self) -> None:
        """Let everything happen that happens without time passing."""
        __tracebackhide__ = True
        await self._host.engine()
        await self._host.settle()

    # --- faults --------------------------------------------------------------------------------

    def fail(
        self,
        deployment: Deployment | None = None,
        *,
        times: int | Usual | None = Usual.TIMES,
        status: int = 503,
        retry_after: Duration | None = None,
        attempts: int | Iterable[int] | None = None,
        invocation: Invocation | None = None,
    ) -> Callable[[], None]:
        """Answer exchanges with an HTTP status instead of calling the deployment.

        It happens to the next exchange, or the next `times`; `None` means until it is taken back,
        which the returned function does. `attempts` names attempts by number, the first being 1,
        and then each of them fails, unless `times` limits that. Without a deployment or an
        invocation it happens to any. `retry_after` is sent along; with `status=429` it is a
        throttle.
        """
        if not 100 <= status <= 599 or status == 200:
            raise ValueError(f"{status} is not a status that fails: choose one from 100 to 599")
        fault = self._fault(deployment, times, attempts, invocation)
        fault.status = status
        fault.retry_after = None if retry_after is None else milliseconds(retry_after)
        return self._order(fault)

    def cut(
        self,
        deployment: Deployment | None = None,
        *,
        after: int = 0,
        times: int | Usual | None = Usual.TIMES,
        attempts: int | Iterable[int] | None = None,
        invocation: Invocation | None = None,
    ) -> Callable[[], None]:
        """Cut answers off after that many of their messages; the handler has run by then.

        What came before the cut is kept. A step is two messages: that it begins, and its result.
        Everything else is as with `fail`.
        """
        fault = self._fault(deployment, times, attempts, invocation)
        fault.cut_after = after
        return self._order(fault)

    def delay(
        self,
        deployment: Deployment | None = None,
        *,
        by: Duration,
        times: int | Usual | None = Usual.TIMES,
        attempts: int | Iterable[int] | None = None,
        invocation: Invocation | None = None,
    ) -> Callable[[], None]:
        """Let exchanges take that long in virtual time before they reach the deployment.

        Beyond the handler's abort timeout they fail, and never reach it. Everything else is as with
        `fail`.
        """
        fault = self._fault(deployment, times, attempts, invocation)
        fault.latency = milliseconds(by)
        return self._order(fault)

    def _fault(
        self,
        deployment: Deployment | None,
        times: int | Usual | None,
        attempts: int | Iterable[int] | None,
        invocation: Invocation | None,
    ) -> Fault:
        if isinstance(times, Usual):
            times = 1 if attempts is None else None
        if times is not None and times < 1:
            raise ValueError(f"a fault happens once or more often, not {times} times")
        return Fault(
            deployment=None if deployment is None else deployment.address,
            invocation=None if invocation is None else invocation.text_id,
            attempts=attempt_numbers(attempts),
            times=times,
        )

    def _order(self, fault: Fault) -> Callable[[], None]:
        faults = self._host.transport.faults
        faults.add(fault)
        return partial(faults.remove, fault)

    async def crash(self) -> None:
        """Kill the engine, at any moment, and start it again on what it had stored.

        Handlers that run stop, too. Requests that were not answered yet raise ConnectionResetError
        where they are awaited. Handles stay valid.
        """
        await self._host.crash()

    def replay_always(self) -> None:
        """From now on, look for handlers that take another way when they are replayed.

        `result`, `call` and the end of the test raise NonDeterminism for what was found.
        """
        self._host.replay_always()

    # --- looking -------------------------------------------------------------------------------

    @property
    def sent(self) -> list[Invocation]:
        """What was sent, in order."""
        return list(self._sent.values())

    def state(self, target: str) -> dict[str, Any]:
        """The stored state of `Object/key`, values from JSON (bytes if they are none)."""
        service, slash, key = target.partition("/")
        if not slash:
            raise ValueError(f"'{target}' names no state; write `Object/key`")
        entries, _ = keys.all_state(self._host.running.store.reader, service, key, keys.EVERYTHING)
        return {name.decode("utf-8", "replace"): stories.plain(value) for name, value in entries}

    def unfinished(self) -> list[str]:
        """Who is not finished, and what each waits for, in words."""
        return self._host.unfinished()

    def check_replays(self) -> None:
        """Raises NonDeterminism if a replay left the recorded way; each finding is told once."""
        __tracebackhide__ = True
        self._host.check_replays()

    def take_replays(self) -> str:
        """What `check_replays` would raise, in words; empty if nothing was found."""
        return self._host.take_replays()

    def report(self) -> str:
        """The timelines of what was sent, and whoever else is unfinished, for a failed test."""
        sent = self.sent
        parts = [invocation.timeline() for invocation in sent[:_REPORTED]]
        if len(sent) > _REPORTED:
            parts.append(f"… and {len(sent) - _REPORTED} more")
        told = {invocation.text_id for invocation in sent}
        others = [line for line in self.unfinished() if not any(id in line for id in told)]
        return "\n".join(parts + others)

    # --- life ----------------------------------------------------------------------------------

    def close(self) -> None:
        """End, outside the event loop. The fixture does that by itself."""
        self._host.close()

    async def aclose(self) -> None:
        """End, within the event loop. `async with` does that by itself."""
        await self._host.aclose()

    async def __aenter__(self) -> Steadfaas:
        await self._host.engine()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if error is None:
                self.check_replays()
        finally:
            await self.aclose()
