"""Two versions, an outage and a crash: every request finishes on the version that started it.

Run it with `make demo`. All parts are real: the engine and both versions of the service are
processes of their own on loopback ports, and the engine is killed with SIGKILL on the way. The
demo believes nobody: it compares which deployment the engine used for each attempt, which version
the handlers say they are, and what the steps wrote into a file. Exit code 1 if any of it differs.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import parts
from parts import Part, Unmet, ask
from screen import Order, Screen

STEPS = {"v1": ["reserve", "charge"], "v2": ["reserve", "screen", "charge"]}
FAILURES = 2


class Demo:
    """The parts, the orders and what the story needs of them."""

    def __init__(self, folder: Path, screen: Screen) -> None:
        self._folder = folder
        self._screen = screen
        ingress, admin = parts.free_port(), parts.free_port()
        self._ingress = f"http://{parts.LOOPBACK}:{ingress}"
        self._admin = f"http://{parts.LOOPBACK}:{admin}"
        self._ports = {version: parts.free_port() for version in STEPS}
        self.engine = parts.engine(folder, ingress, admin)
        self.versions = {
            version: parts.checkout(folder, version, port) for version, port in self._ports.items()
        }
        self._ids: dict[str, str] = {}

    def all_parts(self) -> list[Part]:
        """Every process of the demo."""
        return [self.engine, *self.versions.values()]

    # --- the story

    def tell(self) -> None:
        """Act the story. Raises Unmet where it goes another way than told."""
        say = self._screen.say
        say(f"The engine is up, {self.engine.start():.2f} s after its start.")
        self._deploy("v1")
        first = self._send("order-1", "v1", seconds=4)
        second = self._send("order-2", "v1", seconds=9)
        self._until("both orders sleep on v1", lambda: self._asleep(first, second))
        say("order-1 and order-2 began on v1 and sleep until they must pay.")
        (self._folder / "v1-trouble").write_text(str(FAILURES))
        say(f"v1 breaks down: it will answer 503 to its next {FAILURES} calls.")

        self._deploy("v2")
        third = self._send("order-3", "v2", seconds=1)
        self._until("order-3 is done", lambda: third.receipt is not None)
        say("order-3 was sent after that: v2 did it. The sleepers stay with v1.")

        self._until("order-1 failed on v1", lambda: len(_failed(first)) >= FAILURES)
        say("order-1 woke up and failed twice, both times on v1. v2 is well.")

        self.engine.kill()
        say("SIGKILL to the engine. order-1 waits for its retry, order-2 sleeps.")
        for order in (first, second):
            order.status = "engine is down"
        time.sleep(1)
        say(f"Restarted on the same data folder; healthy after {self.engine.start():.2f} s.")
        fourth = self._send("order-4", "v2", seconds=1)
        say("order-4 is new, so it goes to v2. Waiting for everybody …")
        everyone = (first, second, third, fourth)
        self._until("all orders are done", lambda: all(order.receipt for order in everyone))

    def check(self) -> None:
        """Compare what the engine, the handlers and the ledger say. Raises Unmet."""
        for order in self._screen.orders:
            self._check_attempts(order)
            self._check_receipt(order)
        self._check_ledger()

    # --- steps of the story

    def _deploy(self, version: str) -> None:
        self.versions[version].start()
        uri = f"http://{parts.LOOPBACK}:{self._ports[version]}/"
        status, answer = ask(
            "POST", f"{self._admin}/deployments", {"uri": uri, "use_http_11": True}
        )
        if status != 201:
            raise Unmet(f"registering {version} was answered {status}: {answer}")
        self._ids[version] = answer["id"]
        self._screen.version_of[answer["id"]] = version
        self._screen.say(f"{version} is deployed and registered as {answer['id']}.")

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


def main() -> int:
    """Run the demo; the exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    folder = Path(tempfile.mkdtemp(prefix="steadfaas-demo-"))
    screen = Screen()
    demo = Demo(folder, screen)
    try:
        with screen.shown():
            demo.tell()
            screen.say("Everybody is done.")
        screen.report()
        demo.check()
        screen.verdict("no request changed its version", good=True)
        return 0
    except (Unmet, OSError) as error:
        for part in demo.all_parts():
            screen.details(f"end of the log of {part.name}", part.tail())
        screen.report()
        screen.verdict(f"the demo failed: {error}", good=False)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        for part in demo.all_parts():
            part.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
