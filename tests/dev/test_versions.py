"""Which version serves and which may go: real processes, and an admin API that says what it is told
to say."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from steadfaas.cli import admin
from steadfaas.cli.dev.fleet import Fleet
from steadfaas.cli.dev.ignoring import Ignored
from steadfaas.cli.dev.launch import Launch
from steadfaas.cli.dev.ports import is_free
from steadfaas.cli.dev.records import Records
from steadfaas.cli.dev.shelf import Shelf, Snapshot
from steadfaas.cli.dev.snapshot import Tree
from steadfaas.cli.dev.telling import Teller
from steadfaas.cli.dev.versions import Versions
from tests.cli.fake_admin import Asked, FakeAdmin, serve
from tests.dev.system import gone, occupied, until

pytestmark = pytest.mark.e2e

WORDS = (sys.executable, "main.py")
SERVER = """
import os
from http.server import *
class Quiet(BaseHTTPRequestHandler):
    log_message = lambda *_: None
print(os.getpid(), flush=True)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Quiet).serve_forever()
"""
SILENT = "import time; time.sleep(600)"
BROKEN = "print('so it is'); raise SystemExit(3)"
GREETER = {"name": "Greeter", "handlers": [{"name": "wave"}, {"name": "greet"}]}


class Desk:
    """A program that is being worked on, and an engine that answers by script."""

    def __init__(self, base: Path, fake: FakeAdmin) -> None:
        self.base = base
        self.fake = fake
        self.events: list[dict[str, Any]] = []
        self.meanwhile: list[str] = []  # what is saved while a version starts
        self._known: list[dict[str, Any]] = []
        self.knows()
        fake.answer("POST", "/deployments", 201, {"id": "dp_new", "services": [GREETER]})
        fake.answer("POST", "/invocations/batch", 200, {})
        self.open()

    def open(self) -> None:
        """As after a start of the command."""
        self.shelf = Shelf(self.base, "app", self.fake.url)
        tree = Tree(self.base, (self.base,), Ignored())
        teller = Teller(as_json=True, write=lambda line: self.events.append(json.loads(line)))

        def take() -> Snapshot:
            if self.meanwhile:
                self.write(self.meanwhile.pop())
            return self.shelf.take(tree, WORDS)

        def saved() -> bool:
            return bool(self.meanwhile)

        records = Records("app", str(self.base))
        self.fleet = Fleet(self.shelf, records, Launch(self.base, WORDS), teller, saved)
        self.versions = Versions(self.shelf, records, self.fleet, teller, take, saved)

    def close(self) -> None:
        self.fleet.end()
        self.shelf.close()

    def reopen(self) -> None:
        """As after a kill and a start."""
        self.close()
        self.events.clear()
        self.open()

    # --- the program

    def write(self, comment: str, program: str = SERVER) -> None:
        (self.base / "main.py").write_text(f"# {comment}\n{program}")

    def save(self, comment: str, program: str = SERVER) -> str:
        """Save other content; the version."""
        self.write(comment, program)
        self.versions.save()
        return str(self.events[-1].get("version"))

    def registered(self, comment: str, **facts: Any) -> str:
        """Save other content that becomes a version which the engine knows from now on."""
        version = self.save(comment)
        for known in self._known:
            known["drain"]["active_services"] = []
        self.known(version, self.last("started")["port"], active=["Greeter"])
        return version

    # --- the engine

    def known(self, version: str, port: int, **state: Any) -> dict[str, Any]:
        """The engine knows a version; `active`, `unfinished` and `counts` say who needs it."""
        deployment = {
            "id": f"dp_{version}",
            "uri": f"http://127.0.0.1:{port}/",
            "services": [{"name": "Greeter", "revision": 1}],
            "metadata": {
                "steadfaas.dev": "app",
                "steadfaas.dev.folder": str(self.base),
                "version": version,
            },
            "drain": {
                "state": "draining",
                "active_services": state.get("active", []),
                "unfinished": state.get("unfinished", 0),
                "counts": state.get("counts", {}),
            },
        }
        self._known.append(deployment)
        self.fake.answer(
            "GET", f"/invocations?deployment=dp_{version}&status=paused", 200, {"invocations": []}
        )
        self.knows()
        return deployment

    def needs(self, version: str, unfinished: int) -> None:
        for deployment in self._known:
            if deployment["metadata"]["version"] == version:
                deployment["drain"]["unfinished"] = unfinished
        self.knows()

    def knows(self, *others: dict[str, Any]) -> None:
        listed = {"deployments": [*self._known, *others]}
        self.fake.answer("GET", "/deployments", 200, json.loads(json.dumps(listed)))

    def forgets(self, version: str) -> None:
        self._known = [each for each in self._known if each["metadata"]["version"] != version]
        self.knows()

    def asked(self, method: str, start: str = "/") -> list[Asked]:
        return [
            each
            for each in self.fake.asked
            if each.method == method and each.path.startswith(start)
        ]

    # --- what was told

    def kinds(self) -> list[str]:
        return [each["event"] for each in self.events if each["event"] != "output"]

    def last(self, kind: str) -> dict[str, Any]:
        return [each for each in self.events if each["event"] == kind][-1]

    def pid(self, version: str) -> int:
        """The process id that a version printed."""

        def printed() -> list[str]:
            return [
                each["line"]
                for each in self.events
                if each["event"] == "output" and each["of"] == version
            ]

        until("output", lambda: bool(printed()))
        return int(printed()[-1])

    @property
    def kept(self) -> set[str]:
        return {path.name for path in self.shelf.folder.iterdir() if path.is_dir()}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with serve() as fake, ExitStack() as closing:
        monkeypatch.setattr(admin, "_chosen", fake.url)
        here = Desk(tmp_path.resolve(), fake)
        closing.callback(lambda: here.close())
        yield here


def test_the_first_version(desk: Desk) -> None:
    version = desk.save("one")
    assert desk.kinds() == ["started", "serving"]
    [asked] = desk.asked("POST", "/deployments")
    port = desk.last("started")["port"]
    assert asked.body == {
        "uri": f"http://127.0.0.1:{port}/",
        "use_http_11": True,
        "metadata": {
            "steadfaas.dev": "app",
            "steadfaas.dev.folder": str(desk.base),
            "version": version,
        },
        "breaking": True,
        "force": False,
    }
    assert desk.last("serving")["text"] == "now serving Greeter (handlers greet, wave)"
    assert desk.kept == {version}


def test_a_save_that_changes_nothing_starts_nothing(desk: Desk) -> None:
    version = desk.registered("one")
    assert desk.save("one") == version
    assert len(desk.asked("POST", "/deployments")) == 1
    assert desk.kinds() == ["started", "serving"]


def test_each_version_has_a_port_that_no_deployment_has(desk: Desk) -> None:
    ports = set()
    for comment in ("one", "two", "three"):
        desk.registered(comment)
        ports.add(desk.last("started")["port"])
    assert len(ports) == 3
    assert len(desk.asked("POST", "/deployments")) == 3


def test_what_a_new_version_breaks_is_told(desk: Desk) -> None:
    answer = {"id": "dp_x", "services": [GREETER], "info": [{"message": "'greet' is gone."}]}
    desk.fake.answer("POST", "/deployments", 201, answer)
    desk.save("one")
    assert desk.last("note")["text"] == "note: 'greet' is gone."


def test_going_back_promotes_the_version_that_was_there(desk: Desk) -> None:
    first = desk.registered("one")
    second = desk.registered("two")
    desk.needs(first, 1)
    pid = desk.pid(first)
    desk.fake.answer("POST", f"/deployments/dp_{first}/promote", 200, {"services": [GREETER]})
    desk.events.clear()
    assert desk.save("one") == first != second
    assert desk.kinds() == ["promoted"]
    assert desk.last("promoted")["text"] == "now serving Greeter (handlers greet, wave) again"
    assert len(desk.asked("POST", "/deployments/")) == 1
    assert len(desk.asked("POST", "/deployments")) == 3
    assert not gone(pid), "the same process"


def test_a_server_that_cannot_promote_is_asked_to_register_by_force(desk: Desk) -> None:
    first = desk.registered("one")
    port = desk.last("started")["port"]
    desk.registered("two")
    desk.fake.answer("POST", f"/deployments/dp_{first}/promote", 404, None)
    assert desk.save("one") == first
    body = desk.asked("POST", "/deployments")[-1].body
    assert body["force"] is True
    assert body["uri"] == f"http://127.0.0.1:{port}/"


def test_code_that_does_not_start_changes_nothing(desk: Desk) -> None:
    first = desk.registered("one")
    broken = desk.save("two", BROKEN)
    told = desk.last("failed")
    assert told["version"] == broken
    assert (
        told["text"] == f"did not start: it ended with exit code 3; v {first[:7]} goes on serving"
    )
    assert told["output"] == ["so it is"]
    assert desk.kept == {first}
    assert len(desk.asked("POST", "/deployments")) == 1
    assert not gone(desk.pid(first))
    desk.save("two", BROKEN)
    assert desk.kinds().count("failed") == 2, "each save tries again"
    desk.save("three")
    assert desk.kinds()[-1] == "serving"


def test_a_refused_version_leaves_nothing(desk: Desk) -> None:
    first = desk.registered("one")
    desk.fake.answer("POST", "/deployments", 400, {"message": "no such protocol"})
    refused = desk.save("two")
    assert desk.last("refused")["text"] == "is refused: no such protocol"
    assert desk.kept == {first}
    assert is_free(desk.last("started")["port"]), f"{refused} has ended"


def test_a_save_goes_before_a_version_that_starts(desk: Desk) -> None:
    desk.meanwhile.append("two")
    desk.write("one", SILENT)
    # `take` writes what is saved meanwhile: so the first snapshot is taken here.
    one = desk.shelf.take(Tree(desk.base, (desk.base,), Ignored()), WORDS)
    desk.versions._serve(one)
    assert desk.kinds() == ["started", "superseded"]
    assert one.version not in desk.kept
    desk.versions.save()
    assert desk.kinds()[-1] == "serving"


def test_a_save_that_changes_nothing_lets_a_version_start(desk: Desk) -> None:
    desk.write("one")
    desk.meanwhile.append("one")
    desk.versions.save()
    assert desk.kinds() == ["started", "serving"]


def test_an_engine_that_is_away_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    url = desk.fake.url
    monkeypatch.setattr(admin, "_chosen", "http://127.0.0.1:9")
    desk.save("one")
    desk.versions.look()
    assert desk.kinds() == ["engine-away"]
    monkeypatch.setattr(admin, "_chosen", url)
    desk.versions.look()
    assert desk.kinds()[:4] == ["engine-away", "engine-back", "started", "serving"]


def test_a_registration_that_may_work_later_is_tried_again(desk: Desk) -> None:
    desk.fake.answer("POST", "/deployments", 503, {"message": "not now"})
    ok = {"id": "dp_x", "services": [GREETER]}
    desk.fake.then("POST", "/deployments", 201, ok)
    desk.save("one")
    assert desk.kinds() == ["started", "not-yet"]
    desk.versions.look()
    assert desk.kinds()[:3] == ["started", "not-yet", "serving"]


def test_an_old_version_goes_when_nothing_needs_it(desk: Desk) -> None:
    first = desk.registered("one")
    port = desk.last("started")["port"]
    second = desk.registered("two")
    desk.needs(first, 2)
    desk.versions.look()
    desk.versions.look()
    assert desk.kinds()[-1] == "waiting"
    assert desk.kinds().count("waiting") == 1, "told once"
    assert desk.last("waiting")["unfinished"] == 2
    assert desk.asked("DELETE") == []
    desk.needs(first, 0)
    desk.fake.answer("DELETE", f"/deployments/dp_{first}", 202, None)
    desk.versions.look()
    [removed] = desk.asked("DELETE")
    assert removed.path == f"/deployments/dp_{first}", "without force"
    assert desk.last("drained")["version"] == first
    assert desk.kept == {second}
    assert is_free(port)


def test_what_is_needed_again_at_the_last_moment_stays(desk: Desk) -> None:
    first = desk.registered("one")
    second = desk.registered("two")
    desk.fake.answer("DELETE", f"/deployments/dp_{first}", 409, {"message": "needed"})
    desk.versions.look()
    assert desk.kept == {first, second}
    assert not gone(desk.pid(first))
    assert desk.shelf.sweep([]) == sorted({first, second}), "no mark is left"


def test_a_removal_that_was_cut_off_is_finished(desk: Desk) -> None:
    first = desk.registered("one")
    second = desk.registered("two")
    desk.fake.answer("DELETE", f"/deployments/dp_{first}", 503, {"message": "later"})
    desk.versions.look()
    assert desk.kept == {first, second}
    # It took effect all the same, and the command was killed.
    desk.forgets(first)
    desk.reopen()
    desk.versions.sweep()
    assert desk.kept == {second}
    assert desk.kinds() == []


def test_what_is_saved_again_is_not_removed_later(desk: Desk) -> None:
    first = desk.registered("one")
    desk.registered("two")
    desk.fake.answer("DELETE", f"/deployments/dp_{first}", 503, {"message": "later"})
    desk.versions.look()
    desk.fake.answer("POST", f"/deployments/dp_{first}/promote", 200, {"services": [GREETER]})
    assert desk.save("one") == first
    assert first in desk.shelf.sweep([]), "no mark is left"


def test_a_service_that_newer_code_lacks_keeps_its_version(desk: Desk) -> None:
    first = desk.registered("one")
    desk.registered("two")
    desk._known[0]["drain"]["active_services"] = ["Greeter"]
    desk.knows()
    desk.versions.look()
    assert desk.last("waiting")["text"] == "0 unfinished; takes the new requests of Greeter"
    assert desk.last("waiting")["version"] == first


def test_after_a_start_what_is_needed_runs_again_where_it_was(desk: Desk) -> None:
    first = desk.registered("one")
    port = desk.last("started")["port"]
    desk.registered("two")
    desk.needs(first, 1)
    desk.reopen()
    desk.versions.sweep()
    desk.versions.save()
    desk.versions.look()
    started = [each for each in desk.events if each["event"] == "started"]
    assert {each["version"]: each["port"] for each in started}[first] == port
    assert desk.asked("PATCH") == []
    assert len(desk.asked("POST", "/deployments")) == 2, "both are registered still"
    assert "goes on serving Greeter" in desk.last("serving")["text"]


def test_a_version_whose_port_is_taken_is_moved(desk: Desk) -> None:
    first = desk.registered("one")
    port = desk.last("started")["port"]
    desk.registered("two")
    desk.needs(first, 1)
    desk.reopen()
    desk.fake.answer("PATCH", f"/deployments/dp_{first}", 200, {})
    with occupied(port):
        desk.versions.look()
    [moved] = desk.asked("PATCH")
    to = desk.last("moved")["text"].rpartition(":")[2]
    assert moved.body == {"uri": f"http://127.0.0.1:{to}/", "use_http_11": True}
    assert int(to) != port


def test_what_waited_for_a_version_is_woken_when_it_is_back(desk: Desk) -> None:
    """Retries at once; and those that gave up because nobody was there, not those that failed."""
    first = desk.registered("one")
    desk.registered("two")
    desk.needs(first, 3)
    paused = [
        {"id": "inv_a", "last_failure": {"restate_code": "RT0010"}},
        {"id": "inv_b", "last_failure": {"restate_code": "RT0007"}},
        {"id": "inv_c"},
    ]
    listed = f"/invocations?deployment=dp_{first}&status=paused"
    desk.fake.answer("GET", listed, 200, {"invocations": paused})
    desk.reopen()
    desk.versions.look()
    assert [each.body for each in desk.asked("POST", "/invocations/batch")] == [
        {"operation": "resume", "filter": {"deployment": f"dp_{first}", "status": ["backing-off"]}},
        {
            "operation": "resume",
            "filter": {"deployment": f"dp_{first}", "status": ["paused"]},
            "ids": ["inv_a"],
        },
    ]


def test_a_version_whose_snapshot_is_gone_is_told_with_the_next_step(desk: Desk) -> None:
    first = desk.registered("one")
    desk.registered("two")
    desk.needs(first, 1)
    desk.reopen()
    desk.shelf.remove(first)
    desk.versions.look()
    desk.versions.look()
    assert desk.kinds().count("missing") == 1
    text = desk.last("missing")["text"]
    assert "1 invocation waits for it" in text
    assert f"resume --pinned-to dp_{first} --deployment latest --check" in text


def test_a_process_that_ends_by_itself_is_started_again(desk: Desk) -> None:
    version = desk.registered("one")
    pid = desk.pid(version)
    port = desk.last("started")["port"]
    os.kill(pid, signal.SIGKILL)
    until("its end", lambda: is_free(port))

    def restarted() -> bool:
        desk.versions.look()
        return desk.pid(version) != pid

    until("a new start", restarted)
    assert desk.kinds()[:2] == ["started", "serving"]
    assert desk.kinds()[2:4] == ["ended", "started"]
    assert desk.last("ended")["text"] == "ended with exit code 137"


def test_a_version_that_does_not_come_back_is_not_started_all_the_time(desk: Desk) -> None:
    version = desk.registered("one")
    snapshot = desk.shelf.find(version)
    assert snapshot is not None
    (snapshot.code / "main.py").write_text(BROKEN)
    desk.registered("two")
    desk.needs(version, 1)
    desk.reopen()
    for _ in range(3):
        desk.versions.look()
    of_it = [each["event"] for each in desk.events if each.get("version") == version]
    assert of_it.count("failed") == 1


def test_what_the_engine_forgot(desk: Desk) -> None:
    """Of the version that serves, it is told again; any other one ends."""
    first = desk.registered("one")
    port = desk.last("started")["port"]
    second = desk.registered("two")
    desk.forgets(first)
    desk.versions.look()
    assert desk.last("stopped")["version"] == first
    assert is_free(port)
    desk.forgets(second)
    desk.versions.look()
    assert desk.kinds()[-2:] == ["forgotten", "serving"]
    assert desk.asked("POST", "/deployments")[-1].body["metadata"]["version"] == second


def test_what_is_refused_after_the_engine_forgot_it_is_tried_with_the_next_save(
    desk: Desk,
) -> None:
    version = desk.registered("one")
    desk.forgets(version)
    desk.fake.answer("POST", "/deployments", 400, {"message": "no"})
    desk.versions.look()
    assert desk.kinds()[-2:] == ["forgotten", "refused"]
    desk.fake.answer("POST", "/deployments", 201, {"id": "dp_x", "services": [GREETER]})
    assert desk.save("one") == version
    assert desk.kinds()[-2:] == ["started", "serving"]


def test_deployments_of_others_are_left_alone(desk: Desk) -> None:
    first = desk.registered("one")
    other = desk.known("0" * 12, 20_001, unfinished=0)
    other["metadata"]["steadfaas.dev.folder"] = "/elsewhere"
    named = desk.known("1" * 12, 20_002)
    named["metadata"]["steadfaas.dev"] = "another"
    desk.knows({"id": "dp_lambda", "arn": "arn:aws:lambda:…", "services": []})
    desk.versions.look()
    assert desk.asked("DELETE") == []
    assert "missing" not in desk.kinds()
    assert desk.kept == {first}


def test_a_stock_server_is_asked_by_sql(desk: Desk) -> None:
    first = desk.registered("one")
    second = desk.registered("two")
    for known in desk._known:
        del known["drain"]
    desk.knows()
    owner = {"name": "Greeter", "deployment_id": f"dp_{second}"}
    desk.fake.answer("GET", "/services", 200, {"services": [owner]})
    desk.fake.answer("POST", "/query", 200, {"rows": [{"id": f"dp_{first}", "n": 1}]})
    desk.versions.look()
    assert desk.last("waiting")["text"] == "1 unfinished"
    desk.fake.answer("POST", "/query", 200, {"rows": []})
    desk.fake.answer("DELETE", f"/deployments/dp_{first}", 501, "not implemented")
    desk.fake.answer("DELETE", f"/deployments/dp_{first}?force=true", 202, None)
    desk.versions.look()
    assert desk.last("drained")["version"] == first


def test_the_end_says_what_waits(desk: Desk) -> None:
    first = desk.registered("one")
    desk.registered("two")
    desk.needs(first, 2)
    pid = desk.pid(first)
    desk.versions.tell_rest()
    desk.fleet.end()
    assert desk.last("rest")["text"] == "2 invocations wait for it"
    assert desk.kinds()[-1] == "bye"
    assert gone(pid)


@pytest.mark.parametrize("as_json", [True, False])
def test_how_events_look(as_json: bool) -> None:
    lines: list[str] = []
    teller = Teller(as_json=as_json, write=lines.append)
    teller.event("started", "started on :81", "3f2c91e00000", port=81)
    teller.event("bye", "Good bye.")
    teller.output("3f2c91e00000", "hello")
    if as_json:
        assert [json.loads(line) for line in lines] == [
            {"event": "started", "version": "3f2c91e00000", "text": "started on :81", "port": 81},
            {"event": "bye", "text": "Good bye."},
            {"event": "output", "of": "3f2c91e00000", "line": "hello"},
        ]
    else:
        assert lines == ["v 3f2c91e  started on :81", "Good bye.", "3f2c91e | hello"]
