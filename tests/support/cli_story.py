"""A conversation of an operator with two servers at once: commands, requests and waiting.

After each step the two outcomes must be the same, once what necessarily differs has been replaced
(see `plain_output`). So a fact that one server leaves out or adds shows. What differs on purpose is
in the table that a story gets. An entry says how we answer; one that has become untrue is itself a
difference.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.support.official_cli import JSON, OperatedService, Side
from tests.support.plain_output import (
    Outcome,
    as_json,
    difference,
    only,
    same_refusal,
    settled,
    sorted_lines,
    squeezed,
)
from tests.support.processes import EngineServer

_Answer = TypeVar("_Answer")
_POLL_DEADLINE = 8.0
_AGREE_DEADLINE = 2.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A step that we answer differently on purpose: why, and how.

    `code` is our exit code or status where it differs, `says` is a text that our output holds.
    Without a code only the words differ.
    """

    reason: str
    says: str
    code: int | None = None


@dataclass(slots=True)
class Pair:
    """The two servers, the service behind them, and the command line."""

    ours: EngineServer
    theirs: EngineServer
    service: OperatedService
    binary: Path
    work_dir: Path
    differences: Mapping[str, Difference]

    def story(self, prefix: str) -> Story:
        """A story of its own; `prefix` begins the names of all its services."""
        homes = self.work_dir / prefix
        return Story(
            prefix,
            self.service,
            Side(self.ours, self.binary, homes / "ours"),
            Side(self.theirs, self.binary, homes / "theirs"),
            self.differences,
        )


@dataclass(slots=True)
class Story:
    """One conversation with both servers; leaving it fails with everything that differed.

    In all texts `{p}` is the prefix, `{v1}` a deployment that `deploy` registered, and `{name}` an
    identifier that a step kept.
    """

    prefix: str
    service: OperatedService
    ours: Side
    theirs: Side
    intended: Mapping[str, Difference]
    found: list[str] = field(default_factory=list)
    _labels: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        for side in (self.ours, self.theirs):
            side.kept["p"] = self.prefix
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            unmet = [
                f"{label}: is in the table of differences, but was not asked"
                for label in self.intended
                if label.startswith(f"{self.prefix}: ") and label not in self._labels
            ]
            self.found += unmet
        if self.found:
            raise AssertionError("\n\n".join(self.found)) from error

    # Steps.

    def cli(
        self,
        *args: str,
        exits: int = 0,
        says: str = "",
        mine: str | None = None,
        ordered: bool = False,
        editor: Path | None = None,
        keep: Mapping[str, str] | None = None,
    ) -> None:
        """Run a command at both; it `exits` so at the official server, and `says` that there.

        `mine` keeps only the "lines" or "blocks" of the output that name this story's services.
        Lines are compared in their order only if `ordered`: most answers have none. `keep` maps
        names to patterns whose first group is the identifier to keep.
        """
        label = self._label(" ".join(args))
        one, other = self._both(lambda side: side.run(args, editor))
        for name, pattern in (keep or {}).items():
            self._keep(label, name, pattern, one, other)
        wanted, got = self._clean(other, self.theirs, mine), self._clean(one, self.ours, mine)
        if not ordered:
            wanted, got = sorted_lines(wanted), sorted_lines(got)
        self._expect(label, wanted, exits, says)
        self._compare(label, got, wanted)

    def admin(
        self, method: str, path: str, body: str | None = None, *, status: int, says: str = ""
    ) -> None:
        """Send a request to both admin APIs."""
        label = self._label(f"{method} {path}" + (f" {body}" if body else ""))
        headers = JSON if body is not None else {}
        self._ask(label, lambda side: side.server.admin, method, path, body, headers, status, says)

    def ingress(
        self, method: str, path: str, body: str | None = None, *, status: int, says: str = ""
    ) -> None:
        """Send a request to both ingresses."""
        label = self._label(f"ingress {method} {path}")
        # The official server makes up a key for those who give none.
        key = {"idempotency-key": f"{self.prefix} {len(self._labels)}"} if method == "POST" else {}
        headers = {**(JSON if body is not None else {}), **key}
        self._ask(
            label, lambda side: side.server.ingress, method, path, body, headers, status, says
        )

    def deploy(self, version: str, *flags: str) -> None:
        """Register a version with the command line, and keep its id under the version's name."""
        url = self.service.endpoint(self.prefix, version)
        self.cli(
            *("deployments", "register", url, "--use-http1.1", *flags),
            keep={version: r"Deployment ID:\s+(dp_\w+)"},
        )

    def send(self, name: str, path: str, body: str | None = None, *, until: str = "") -> None:
        """Send to a service and keep the invocation's id; wait for its status if one is given."""
        key = {"idempotency-key": f"{self.prefix}-{name}"} if "/run" not in path else {}
        headers = {**(JSON if body is not None else {}), **key}
        path, _, query = path.partition("?")
        target = f"/{self.prefix}{path}/send" + (f"?{query}" if query else "")

        def ask(side: Side) -> None:
            done = side.ask(side.server.ingress, "POST", target, body, headers)
            assert done.code == 202, f"{target}: HTTP {done.code} {done.out}"
            side.kept[name] = json.loads(done.out)["invocationId"]

        self._both(ask)
        if until:
            self.until(name, until)

    def forget(self, *names: str) -> None:
        """Let identifiers go by their order of appearance again."""
        for side in (self.ours, self.theirs):
            for name in names:
                side.kept.pop(name, None)

    def until(self, name: str, status: str) -> None:
        """Wait until the invocation has this status at both, as `sys_invocation` tells it."""
        self.settles(f"SELECT status FROM sys_invocation WHERE id = '{{{name}}}'", status=status)

    def settles(self, sql: str, **wanted: Any) -> None:
        """Wait until the first row of a query is as wanted at both.

        Raises AssertionError with the last rows after a few seconds.
        """

        def wait(side: Side) -> None:
            deadline = time.monotonic() + _POLL_DEADLINE
            while True:
                rows = side.rows(sql)
                if rows and all(rows[0].get(name) == value for name, value in wanted.items()):
                    return
                assert time.monotonic() < deadline, f"{side.server.name}: {sql}: {rows}"
                time.sleep(0.02)

        self._both(wait)

    def query(self, sql: str, *, rows: int | None = None, without: Sequence[str] = ()) -> None:
        """Compare the rows of a query, as JSON; there are `rows` of them at the official server.

        The columns `without` are left out. What the steps before set in motion may take its time:
        the servers have a few seconds to agree.
        """
        label = self._label(f"query {sql}")

        def ask(side: Side) -> Outcome:
            found = side.rows(sql)
            # The order of rows may be asked for, so only what is in them is sorted.
            kept = ({n: v for n, v in row.items() if n not in without} for row in found)
            lines = (json.dumps(settled(row), sort_keys=True) for row in kept)
            return self._clean(Outcome(len(found), "\n".join(lines)), side, None)

        deadline = time.monotonic() + _AGREE_DEADLINE
        while True:
            got, wanted = self._both(ask)
            if got == wanted or label in self.intended or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if rows is not None:
            self._expect(label, wanted, rows, "")
        self._compare(label, got, wanted)

    # How steps are compared.

    def _ask(
        self,
        label: str,
        base: Callable[[Side], str],
        method: str,
        path: str,
        body: str | None,
        headers: Mapping[str, str],
        status: int,
        says: str,
    ) -> None:
        one, other = self._both(lambda side: side.ask(base(side), method, path, body, headers))
        wanted, got = self._clean(other, self.theirs, None), self._clean(one, self.ours, None)
        self._expect(label, wanted, status, says)
        self._compare(label, as_json(got), as_json(wanted))

    def _both(self, act: Callable[[Side], _Answer]) -> tuple[_Answer, _Answer]:
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.submit(act, self.ours), pool.submit(act, self.theirs)
            return one.result(), other.result()

    def _label(self, text: str) -> str:
        label = f"{self.prefix}: " + text.replace(self.service.url, "URL/")
        times = self._labels[label] = self._labels.get(label, 0) + 1
        if times == 1:
            return label
        self._labels[f"{label} ({times})"] = 1
        return f"{label} ({times})"

    def _keep(self, label: str, name: str, pattern: str, one: Outcome, other: Outcome) -> None:
        for side, outcome in ((self.ours, one), (self.theirs, other)):
            found = re.search(side.filled(pattern), outcome.out)
            if found:
                side.kept[name] = found.group(1)
            else:
                self.found.append(f"{label}: {side.server.name} shows no {name}\n{outcome.err}")

    def _clean(self, outcome: Outcome, side: Side, mine: str | None) -> Outcome:
        out, err = outcome.out, outcome.err
        if mine is not None:
            out = only(out, self.prefix, mine)
            err = re.sub(r"\d+/\d+", "<some>", err)
        return Outcome(outcome.code, squeezed(side.plain(out)), squeezed(side.plain(err)))

    def _expect(self, label: str, wanted: Outcome, code: int, says: str) -> None:
        """The official server does what the story says it does."""
        text = f"{wanted.out}\n{wanted.err}"
        if wanted.code != code or says not in text:
            expected = f"{code} and {says!r}" if says else f"{code}"
            self.found.append(
                f"{label}: the official server gives {wanted.code} instead of {expected}\n{text}"
            )

    def _compare(self, label: str, got: Outcome, wanted: Outcome) -> None:
        intended = self.intended.get(label)
        if intended is None:
            if got != wanted and not same_refusal(got, wanted):
                self.found.append(f"{label}:\n{difference(got, wanted)}")
        elif got == wanted:
            self.found.append(f"{label}: does not differ any more: {intended.reason}")
        else:
            code = wanted.code if intended.code is None else intended.code
            if got.code != code or intended.says not in f"{got.out}\n{got.err}":
                self.found.append(f"{label}: not as intended, {code} and {intended.says!r}\n{got}")
