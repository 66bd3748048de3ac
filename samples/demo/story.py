"""Two versions, trouble and a crash: every request finishes on the version that started it.

The story is the same wherever the versions run; `demo.py` tells it on Lambda, `demo_http.py` over
HTTP. All parts are real: the engine and the versions' code are processes of their own, and the
engine is killed with SIGKILL on the way. The story believes nobody: it compares which deployment
the engine used for each attempt, which version the handlers say they are, and what the steps wrote
into a file. Exit code 1 if any of it differs.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import parts
from parts import Unmet, ask
from screen import Order, Screen

from steadfaas.errors import SteadfaasError

STEPS = {"v1": ["reserve", "charge"], "v2": ["reserve", "screen", "charge"]}
FAILURES = 2


@dataclass(frozen=True)
class Release:
    """A version that can be called.

    `how` tells what was done, `target` what a user would register, `body` the same for the admin
    API, and `address` is where the deployment must lead.
    """

    how: str
    target: str
    body: Mapping[str, object]
    address: str


class Platform(Protocol):
    """Where the versions of the service run.

    `environment` is what the engine needs to reach it, `breakdown` what its trouble looks like, and
    `overview` the command that shows its versions in the end.
    """

    environment: dict[str, str]
    breakdown: str
    overview: tuple[str, ...]

    def release(self, version: str) -> Release:
        """Have a version run beside the others."""
        ...

    def logs(self) -> Iterator[tuple[str, str]]:
        """What went on, version by version."""
        ...


def evidence(folder: Path, version: str) -> dict[str, str]:
    """What a version's code finds in its environment: where to write, and when to fail."""
    return {
        "CHECKOUT_LEDGER": str(folder / "ledger"),
        "CHECKOUT_TROUBLE": str(folder / f"{version}-trouble"),
    }


def run(platform_in: Callable[[Path], AbstractContextManager[Platform]]) -> int:
    """Tell the story on a platform that keeps its files in a folder; the exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    for name in [name for name in os.environ if name.startswith(("AWS_", "STEADFAAS_"))]:
        del os.environ[name]  # whatever else they lead to has no part in the story
    screen = Screen()
    try:
        with (
            tempfile.TemporaryDirectory("", "steadfaas-demo-", ignore_cleanup_errors=True) as name,
            platform_in(Path(name)) as platform,
        ):
            return 0 if Story(Path(name), screen, platform).goes_well() else 1
    except SteadfaasError as error:
        screen.verdict(str(error), good=False)
        return 1
    except KeyboardInterrupt:
        return 130


class Story:
    """The engine, the orders and what the story needs of them."""

    def __init__(self, folder: Path, screen: Screen, platform: Platform) -> None:
        self._folder = folder
        self._screen = screen
        self._platform = platform
        ingress, admin = parts.free_port(), parts.free_port()
        self._ingress = f"http://{parts.LOOPBACK}:{ingress}"
        self._admin = f"http://{parts.LOOPBACK}:{admin}"
        self._engine = parts.engine(folder, ingress, admin, platform.environment)
        self._ids: dict[str, str] = {}

    def goes_well(self) -> bool:
        """Tell the story and judge it, on the screen; whether all of it was as promised."""
        try:
            with self._screen.shown():
                self._tell()
                self._screen.say("Everybody is done, and nothing needs v1 any more.")
            self._screen.report()
            self._show_versions()
            self._check()
            self._screen.verdict("no request changed its version", good=True)
            return True
        except (Unmet, OSError) as error:
            for name, log in (("engine", self._engine.log()), *self._platform.logs()):
                self._screen.details(f"end of the log of {name}", parts.tail(log))
            self._screen.report()
            self._screen.verdict(f"the demo failed: {error}", good=False)
            return False
        finally:
            self._engine.stop()

    # --- the story

    def _tell(self) -> None:
        """Act the story. Raises Unmet where it goes another way than told."""
        say = self._screen.say
        say(f"The engine is up, {self._engine.start():.2f} s after its start.")
        self._release("v1")
        first = self._send("order-1", "v1", seconds=4)
        second = self._send("order-2", "v1", seconds=9)
        self._until("both orders sleep on v1", lambda: self._asleep(first, second))
        say("order-1 and order-2 began on v1 and sleep until they must pay.")
        (self._folder / "v1-trouble").write_text(str(FAILURES))
        say(f"v1 breaks down: {self._platform.breakdown.format(failures=FAILURES)}.")

        self._release("v2")
        third = self._send("order-3", "v2", seconds=1)
        self._until("order-3 is done", lambda: third.receipt is not None)
        say("order-3 was sent after that: v2 did it. The sleepers stay with v1.")

        self._until("order-1 failed on v1", lambda: len(_failed(first)) >= FAILURES)
        say("order-1 woke up and failed twice, both times on v1. v2 is well.")

        self._engine.kill()
        say("SIGKILL to the engine. order-1 waits for its retry, order-2 sleeps.")
        for order in (first, second):
            order.status = "engine is down"
        time.sleep(1)
        say(f"Restarted on the same data folder; healthy after {self._engine.start():.2f} s.")
        fourth = self._send("order-4", "v2", seconds=1)
        say("order-4 is new, so it goes to v2. Waiting for everybody …")
        everyone = (first, second, third, fourth)
        self._until("all orders are done", lambda: all(order.receipt for order in everyone))
        self._until("v1 is drained", lambda: self._drain_state("v1") == "drained")

    def _show_versions(self) -> None:
        """What the command line says of the versions, for the reader."""
        words = self._platform.overview
        environment = {**self._platform.environment, "STEADFAAS_ADMIN_URL": self._admin}
        self._screen.details(f"steadfaas {' '.join(words)}", parts.steadfaas(words, environment))

    # --- steps of the story

    def _release(self, version: str) -> None:
        release = self._platform.release(version)
        status, answer = ask("POST", f"{self._admin}/deployments", release.body)
        if status != 201:
            raise Unmet(f"registering {version} was answered {status}: {answer}")
        led_to = answer.get("arn") or answer.get("uri")
        if led_to != release.address:
            raise Unmet(f"{release.target} led to {led_to} instead of {release.address}")
        self._ids[version] = answer["id"]
        self._screen.version_of[answer["id"]] = version
        self._screen.say(f"{release.how}; {release.target} is registered as {answer['id']}.")

    def _send(self, name: str, version: str, *, seconds: float) -> Order:
        order = Order(name, version, seconds)
        body = {"name": name, "seconds": seconds}
        status, answer = ask("POST", f"{self._ingress}/Checkout/buy/send", body)
        if status != 202:
            raise Unmet(f"sending {name} was answered {status}: {answer}")
        order.id = answer["invocationId"]
        self._screen.orders.append(order)
        return order

    def _asleep(self, *orders: Order) -> bool:
        return all(order.status == "suspended" for order in orders)

    def _drain_state(self, version: str) -> str:
        status, answer = ask("GET", f"{self._admin}/deployments/{self._ids[version]}")
        if status != 200:
            raise Unmet(f"the record of {version} is answered {status}: {answer}")
        return str(answer["drain"]["state"])

    def _until(self, what: str, reached: Callable[[], bool], *, seconds: float = 15) -> None:
        """Look at all orders again and again until `reached`. Raises Unmet after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            for order in self._screen.orders:
                self._refresh(order)
            if reached():
                return
            if time.monotonic() > deadline:
                raise Unmet(f"{what}: this did not happen within {seconds:.0f} s")
            time.sleep(0.05)

    def _refresh(self, order: Order) -> None:
        if order.receipt is not None:
            return
        # The output first: once it is there, the attempts read after it are complete too.
        status, output = ask("GET", f"{self._ingress}/restate/invocation/{order.id}/output")
        if status not in (200, 470):
            raise Unmet(f"the result of {order.name} is answered {status}: {output}")
        found, record = ask("GET", f"{self._admin}/invocations/{order.id}")
        if found != 200:
            raise Unmet(f"the record of {order.name} is answered {found}: {record}")
        order.status = record["status"]
        order.attempts = record["attempts"]
        if status == 200:
            order.receipt = output

    # --- the checks

    def _check(self) -> None:
        """Compare what the engine, the handlers and the ledger say. Raises Unmet."""
        for order in self._screen.orders:
            self._check_attempts(order)
            self._check_receipt(order)
        self._check_ledger()
        if (state := self._drain_state("v2")) != "active":
            raise Unmet(f"v2 takes new requests, and is said to be {state}")

    def _check_attempts(self, order: Order) -> None:
        used = {attempt["deployment_id"] for attempt in order.attempts}
        if used != {self._ids[order.version]}:
            names = sorted(self._screen.version_of.get(one, one) for one in used)
            raise Unmet(f"{order.name} belongs to {order.version}, but ran on {names}")
        if order.attempts[-1]["outcome"] != "completed":
            raise Unmet(f"the last attempt of {order.name} is not recorded as completed")
        expected = FAILURES if order.name == "order-1" else 0
        if len(_failed(order)) != expected:
            raise Unmet(f"{order.name} failed {len(_failed(order))} times instead of {expected}")

    def _check_receipt(self, order: Order) -> None:
        steps = [{"step": step, "version": order.version} for step in STEPS[order.version]]
        if order.receipt != {"version": order.version, "steps": steps}:
            raise Unmet(
                f"the result of {order.name} is not that of {order.version}: {order.receipt}"
            )

    def _check_ledger(self) -> None:
        written = Counter((self._folder / "ledger").read_text().splitlines())
        expected = Counter(
            f"{order.name} {step} {order.version}"
            for order in self._screen.orders
            for step in STEPS[order.version]
        )
        if written != expected:
            raise Unmet(f"the steps that really ran differ from those expected: {dict(written)}")


def _failed(order: Order) -> list[str]:
    # An attempt that the kill cut off is "interrupted": nobody's failure.
    return [one["outcome"] for one in order.attempts if one["outcome"].startswith("RT")]


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
