"""Commands on a terminal: what is asked there, and what an answer does."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cli import fake_admin
from tests.cli.fake_admin import DEPLOYMENT, FakeAdmin
from tests.support.npm import CHECKOUT

pytestmark = pytest.mark.e2e


@pytest.fixture
def admin() -> Iterator[FakeAdmin]:
    with fake_admin.serve() as fake:
        yield fake


def run(admin: FakeAdmin, answer: str, *words: str) -> tuple[int, str]:
    """Exit code and all output of a command whose user types `answer`."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    process = subprocess.Popen(
        [sys.executable, "-m", "steadfaas", "--admin-url", admin.url, *words],
        env={**environment, "PYTHONPATH": str(CHECKOUT / "core")},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    while True:
        try:
            some = os.read(ours, 4096)
        except OSError:  # how Linux says that the other side has closed it
            break
        if not some:
            break
        shown += some
    os.close(ours)
    return process.wait(20), shown.decode()


def test_a_no_changes_nothing(admin: FakeAdmin) -> None:
    code, shown = run(admin, "n\n", "deployments", "remove", DEPLOYMENT)
    assert (code, admin.asked) == (1, [])
    assert "unless something still needs it? [y/N]" in shown
    assert "Nothing was done." in shown


def test_a_yes_is_enough(admin: FakeAdmin) -> None:
    admin.answer("DELETE", f"/deployments/{DEPLOYMENT}", 202, None)
    code, shown = run(admin, "y\n", "deployments", "remove", DEPLOYMENT)
    assert code == 0
    assert f"Removed {DEPLOYMENT}" in shown


def test_a_change_is_shown_before_it_is_asked_for(admin: FakeAdmin) -> None:
    noted = {**fake_admin.DESCRIBED, "info": [{"message": "callers lose 'extra'"}]}
    admin.answer("POST", f"/deployments/{DEPLOYMENT}/promote", 200, noted)
    code, shown = run(admin, "n\n", "deployments", "promote", DEPLOYMENT)
    assert code == 1
    assert shown.index("callers lose 'extra'") < shown.index("[y/N]")
    assert [asked.body for asked in admin.asked] == [{"dry_run": True}]


def test_progress_leaves_nothing_behind(admin: FakeAdmin) -> None:
    page = {"operation": "kill", "matched": 2, "done": 2, "accepted": 0, "refused": 0}
    admin.answer("POST", "/invocations/batch", 200, {**page, "refusals": []})
    code, shown = run(admin, "", "invocations", "kill", "Greeter", "--yes")
    assert code == 0
    assert shown.endswith("\r\x1b[Kkill: 2 done\r\x1b[Kkill: 2 done\r\n")
