"""The official command line on our engine and on restate-server: the same commands, the same facts.

Every story below is held with both servers at once; see `tests.support.cli_story` for what is
compared. What differs on purpose is in `DIFFERENCES`, and nowhere else. With
`STEADFAAS_ORACLE_ENGINE=restate` the real server stands on both sides, as a check of the stories.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import npm
from tests.support.cli_story import Difference, Pair, Story
from tests.support.official_cli import OperatedService
from tests.support.processes import EngineServer, ManagedProcess, RestateServer, SteadfaasServer

pytestmark = pytest.mark.e2e

BOTH_REAL = os.environ.get("STEADFAAS_ORACLE_ENGINE") == "restate"

# Well-formed identifiers of nothing.
NO_INVOCATION = "inv_10T5Thwsbi8d5pG3SV7MxGQ1nGGV23lwFb"
NO_DEPLOYMENT = "dp_10WhCjMVvnlgwL8TRBx8Pu1"

# Columns that a comparison leaves out: a number of the server's own, a form of storage; then what
# only we fill, and a text that nobody but its author reads.
NOT_COMPARED = (
    *("partition_key", "raw", "raw_length", "sequence_number"),
    *("sleep_wakeup_at", "promise_name", "invoked_id", "invoked_target"),
    "suspended_waiting_future_json",
)

# Queries that stories ask more than once.
STATUS = "SELECT status FROM sys_invocation"
MANY = "SELECT 1; SELECT 2"
OPERATED = (
    "SELECT status, completion_result, completion_failure, pinned_deployment_id, retry_count"
    " FROM sys_invocation"
)

WORDING = Difference("the same refusal in a sentence of ours: it says what to do instead", says="")


def worded(story: str, *labels: str) -> dict[str, Difference]:
    """Steps of a story in which only the sentence differs."""
    return {f"{story}: {label}": WORDING for label in labels}


PAUSED = Difference("a pause pauses what waits, too", says="paused")
MALFORMED_ID = Difference(
    "malformed requests get JSON like every other error, so the command line can show it",
    says="unrecognized codec version",
)
PINNED = Difference(
    "pinned with the first exchange, not with the first stored step", says="[required]"
)
NO_KAFKA = Difference("Kafka is not offered", says="Kafka is not offered")
NO_RULES = Difference("rules are not offered", says="ules are not offered")

HIDDEN = Difference(
    "of a paused one the tables tell no attempts, whoever paused it; its events do", says="paused"
)

DIFFERENCES: dict[str, Difference] = {
    "pau: invocations describe {broken}": HIDDEN,
    "tab: query SELECT * FROM sys_keyed_service_status WHERE service_name LIKE 'tab%'"
    " ORDER BY service_name": Difference(
        "an unfinished workflow holds its key, and is shown as its holder", says="<order>", code=2
    ),
    f"opbackingoff: query {OPERATED} WHERE id = '{{i0}}'": HIDDEN,
    "prior: deployments register URL/prior/v1": Difference(
        "HTTP/1.1 is what we speak, whether asked for or not", says="[OK]: DEPLOYMENT:", code=0
    ),
    "dp: deployments describe dp_nope": MALFORMED_ID,
    "rm: deployments remove dp_nope": MALFORMED_ID,
    "adm: DELETE /deployments/{v1}": Difference(
        "what is drained can be removed without force", says="", code=202
    ),
    'behind: POST /services/behindNope/state {"object_key":"k","new_state":{}}': Difference(
        "state of a service that nobody has registered is most likely a mistake",
        says="does not exist",
        code=404,
    ),
    **worded("reg", "deployments register URL/reg/typed --use-http1.1"),
    **worded(
        "undiscovered",
        "deployments register http://127.0.0.1:1/x --use-http1.1",
        "deployments register URL/undiscovered/none --use-http1.1",
    ),
    "free: invocations describe {listen}": PINNED,
    f"still: query {STATUS} WHERE id = '{{nap}}'": PAUSED,
    "still: invocations describe {nap}": PAUSED,
    f"opsuspended: query {OPERATED} WHERE id = '{{i0}}'": PAUSED,
    **{
        f"off: {label}": NO_KAFKA
        for label in (
            "kafka-clusters describe other",
            "kafka-clusters delete other",
            "kafka-clusters patch other --set a=b",
            "subscriptions create kafka://off/t service://offDesk/greet",
            "subscriptions describe sub_nope",
            "subscriptions delete sub_nope",
        )
    },
    **{
        f"off: {label}": replace(NO_KAFKA, code=1)
        for label in (
            "kafka-clusters create off bootstrap.servers=127.0.0.1:1",
            "kafka-clusters delete off",
        )
    },
    "off: rules set scope/* --concurrency 3": replace(NO_RULES, code=1),
    "off: rules delete scope/*": Difference("see above", says="No rule found", code=1),
    **worded("again", "invocations restart-as-new {order}"),
    **worded(
        "sql", "sql SELECT nope FROM state", "sql SELECT * FROM nope", "sql SELECT 1; SELECT 2"
    ),
    **worded("see", "invocations describe inv_bad"),
    "see: invocations describe {work}": PINNED,
    **worded("conf", "services config patch confNope --public false"),
    **{
        f"op{state}: PATCH /invocations/{{{name}}}/{operation}": WORDING
        for state in ("scheduled", "pending")
        for name, operation in (
            ("i1", "resume"),
            ("i2", "resume?deployment=keep"),
            ("i3", "resume?deployment=latest"),
            ("i4", "resume?deployment={v1}"),
            ("i7", "restart-as-new"),
        )
    },
    **worded(
        "opnothing",
        f"PATCH /invocations/{{nap}}/resume?deployment={NO_DEPLOYMENT}",
        "PATCH /invocations/{nap}/restart-as-new?from=99",
        "PATCH /invocations/{nap}/restart-as-new",
    ),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, npm_parts: npm.NpmParts) -> Iterator[Pair]:
    """Both servers with nothing registered, started at the same time, and the service."""
    folder = tmp_path_factory.mktemp("official-cli")
    theirs = RestateServer(folder, npm_parts)
    ours: EngineServer = (
        RestateServer(folder / "second", npm_parts) if BOTH_REAL else SteadfaasServer(folder)
    )
    service = OperatedService(folder)
    with ExitStack() as stack:
        processes: list[ManagedProcess] = [theirs, ours, service]
        for process in processes:
            process.start()
            stack.callback(_stop, process)
        for process in processes:
            process.wait_ready()
        yield Pair(
            ours, theirs, service, npm_parts.restate_cli, folder, {} if BOTH_REAL else DIFFERENCES
        )


def _stop(process: ManagedProcess) -> None:
    if process.running:
        process.stop(3.0)


def editor(folder: Path, script: str) -> Path:
    """An editor that applies a sed script to the file it is given, in place."""
    path = folder / "editor"
    new = folder / "edited"
    path.write_text(f'#!/bin/sh\nsed -E \'{script}\' "$1" > {new}.$$ && cat {new}.$$ > "$1"\n')
    path.chmod(0o755)
    return path


# Deployments.


def test_whoami(pair: Pair) -> None:
    with pair.story("who") as s:
        s.cli("whoami", says="is healthy!")


def test_register(pair: Pair) -> None:
    with pair.story("reg") as s:
        url = pair.service.endpoint("reg", "v1")
        s.deploy("v1")
        s.cli("deployments", "register", url, "--use-http1.1", says="already exists with id <v1>")
        s.cli("deployments", "register", url, says="already exists with id <v1>")
        s.cli("deployments", "register", url, "--use-http1.1", "--force", says="regDesk 2")
        typed = pair.service.endpoint("reg", "typed")
        s.cli("deployments", "register", typed, "--use-http1.1", exits=1, says="META0006")
        s.deploy("typed", "--breaking")
        s.cli("services", "describe", "regDesk", says="Revision: 3")
        s.deploy("v2", "--force", "--extra-header", "x-who=me", "--metadata", "git=abc123")
        s.cli("deployments", "describe", "{v2}", says="abc123")
        s.cli("deployments", "describe", "{v1}")
        s.cli("services", "list", mine="lines", says="regDesk 4")


def test_register_what_cannot_be_discovered(pair: Pair) -> None:
    with pair.story("undiscovered") as s:
        register = ("deployments", "register")
        none = pair.service.endpoint("undiscovered", "none")
        s.cli(*register, "http://127.0.0.1:1/x", "--use-http1.1", exits=1, says="META0003")
        s.cli(*register, none, "--use-http1.1", exits=1, says="META0003")
        s.cli(*register, "not a uri", "--use-http1.1", exits=2)
        s.cli(*register, "/foo", "--use-http1.1", exits=2)
        arn = "arn:aws:lambda:eu-central-1:123456789012:function:f"
        s.cli(*register, arn, exits=2)
        s.cli("deployments", "list", mine="lines")


def test_register_prior_knowledge(pair: Pair) -> None:
    with pair.story("prior") as s:
        url = pair.service.endpoint("prior", "v1")
        s.cli("deployments", "register", url, exits=1, says="META0014")


def test_list_and_describe_deployments(pair: Pair) -> None:
    with pair.story("dp") as s:
        s.deploy("v1")
        s.send("nap", "Desk/nap", until="suspended")
        s.send("wait", "Desk/wait", until="suspended")
        s.send("other", "Desk/wait", until="suspended")
        s.cli("deployments", "list", mine="lines")
        s.cli("deployments", "list", "--extra", mine="lines", says="Active 3 <v1>")
        s.cli("deployments", "describe", "{v1}")
        s.cli("deployments", "describe", "{v1}", "--extra")
        s.deploy("v2")
        s.send("late", "Desk/nap", until="suspended")
        s.cli("deployments", "list", "--extra", mine="lines", says="Draining 3 <v1>")
        s.cli("deployments", "describe", "{v1}", "--extra", says="Draining")
        s.cli("deployments", "describe", "{v2}", "--extra")
        s.cli("invocations", "kill", "dpDesk")
        s.settles(
            "SELECT COUNT(1) AS n FROM sys_invocation"
            " WHERE target_service_name = 'dpDesk' AND status != 'completed'",
            n=0,
        )
        s.cli("deployments", "list", "--extra", mine="lines", says="Drained 0 <v1>")
        s.cli("deployments", "describe", "{v1}", "--extra")
        s.cli("deployments", "describe", NO_DEPLOYMENT, exits=1, says="does not exist")
        s.cli("deployments", "describe", "dp_nope", exits=1)


def test_remove_deployments(pair: Pair) -> None:
    with pair.story("rm") as s:
        s.deploy("v1")
        s.send("nap", "Desk/nap", until="suspended")
        s.cli("deployments", "remove", "{v1}", exits=1, says="Active")
        s.deploy("v2")
        s.cli("deployments", "remove", "{v1}", exits=1, says="Draining")
        s.cli("invocations", "kill", "{nap}")
        s.until("nap", "completed")
        s.cli("deployments", "remove", "{v1}", says="Drained")
        s.cli("deployments", "list", mine="lines")
        s.cli("deployments", "remove", "{v1}", exits=1)
        s.cli("deployments", "remove", NO_DEPLOYMENT, exits=1)
        s.cli("deployments", "remove", NO_DEPLOYMENT, "--force", exits=1)
        s.cli("deployments", "remove", "dp_nope", exits=1)


def test_remove_by_force(pair: Pair) -> None:
    with pair.story("rmf") as s:
        s.deploy("v1")
        s.deploy("v2")
        s.send("nap", "Desk/nap", until="suspended")
        s.cli("deployments", "remove", "{v2}", "--force", says="removed")
        s.cli("services", "describe", "rmfDesk", says="Deployment ID: <v1>")
        s.cli("deployments", "list", mine="lines")
        s.cli("invocations", "list", "--service", "rmfDesk", "--zombie", says="<nap>")
        s.cli("invocations", "describe", "{nap}")
        s.cli("invocations", "list", "--deployment", "{v2}", says="<nap>")
        s.cli("deployments", "remove", "{v1}", "--force")
        s.cli("services", "describe", "rmfDesk", exits=1)
        s.ingress("POST", "/rmfDesk/greet", '"Ada"', status=404)
        s.cli("invocations", "kill", "{nap}", says="Killed 1")


# Services.


def test_services(pair: Pair) -> None:
    with pair.story("svc") as s:
        s.deploy("v1")
        s.cli("services", "list", mine="lines", says="virtual object")
        for name in ("Desk", "Till", "Order"):
            s.cli("services", "describe", f"svc{name}")
            s.cli("services", "config", "view", f"svc{name}")
            s.cli("services", "status", f"svc{name}")
        s.cli("services", "describe", "svcNope", exits=1)
        s.cli("services", "status", "svcNope", exits=1)
        s.cli("services", "config", "view", "svcNope", exits=1)
        s.cli("services", "status", mine="blocks")


def test_configure_services(pair: Pair, tmp_path: Path) -> None:
    with pair.story("conf") as s:
        s.deploy("v1")
        patch = ("services", "config", "patch")
        s.cli(*patch, "confDesk", "--public", "false")
        s.ingress("POST", "/confDesk/greet", '"Ada"', status=400, says="is not public")
        s.cli("services", "list", "--public-only", mine="lines")
        s.cli("services", "list", mine="lines")
        s.cli("services", "config", "view", "confDesk", says="Public: false")
        s.cli(*patch, "confDesk", "--public", "true")
        s.ingress("POST", "/confDesk/greet", '"Ada"', status=200)
        s.cli(*patch, "confDesk", "--idempotency-retention", "2h 30m", "--journal-retention", "1h")
        s.cli(*patch, "confDesk", "--inactivity-timeout", "PT5M", "--abort-timeout", "90s")
        s.cli("services", "config", "view", "confDesk", says="2h 30m")
        s.cli(*patch, "confOrder", "--workflow-completion-retention", "3d")
        s.cli("services", "config", "view", "confOrder", says="3d")
        retention = "--workflow-completion-retention"
        s.cli(*patch, "confDesk", retention, "3d", exits=1, says="is unsupported")
        s.cli(*patch, "confDesk", "--journal-retention", "soon", exits=2)
        s.cli(*patch, "confDesk")
        s.cli(*patch, "confNope", "--public", "false", exits=1)
        change = editor(tmp_path, "s/^# public = true/public = false/")
        s.cli("services", "config", "edit", "confTill", editor=change)
        s.cli("services", "config", "view", "confTill", says="Public: false")
        s.deploy("v2")
        s.cli("services", "config", "view", "confDesk", says="Journal retention: 1d")


# Looking at invocations.


def fill(s: Story) -> None:
    """One invocation in every state that stays."""
    s.deploy("v1")
    s.ingress("POST", f"/{s.prefix}Till/s/add", "5", status=200)
    s.send("greet", "Desk/greet", '"Ada"', until="completed")
    s.send("refuse", "Desk/refuse", '"no way"', until="completed")
    s.send("nap", "Desk/nap", until="suspended")
    s.send("wait", "Desk/wait", until="suspended")
    s.send("broken", "Desk/broken", until="backing-off")
    s.send("stubborn", "Desk/stubborn", until="paused")
    s.send("late", "Desk/greet?delay=1h", '"Bob"', until="scheduled")
    s.send("hold", "Till/k/hold", until="suspended")
    s.send("queued", "Till/k/add", "7", until="pending")
    s.send("order", "Order/o1/run", '"book"', until="suspended")


def test_list_invocations(pair: Pair) -> None:
    with pair.story("ls") as s:
        fill(s)
        three = ("--service", "lsDesk", "--service", "lsTill", "--service", "lsOrder")
        ls = ("invocations", "list")
        desk = (*ls, "--service", "lsDesk")
        s.cli(*ls, *three, ordered=True)
        s.cli(*ls, *three, "--all", ordered=True, says="completed with failure")
        s.cli(*ls, *three, "--all", "--oldest-first", ordered=True)
        s.cli(*ls, *three, "--all", "--limit", "3", ordered=True)
        s.cli(*ls, "--all", mine="blocks")
        s.cli(*desk, "--handler", "nap", ordered=True, says="<nap>")
        s.cli(*desk, "--handler", "nap", "--handler", "wait", ordered=True)
        s.cli(*ls, *three, "--key", "k", ordered=True, says="<hold>")
        for status in (
            *("scheduled", "pending", "ready", "running"),
            *("suspended", "backing-off", "completed", "paused"),
        ):
            s.cli(*ls, *three, "--status", status, ordered=True)
        s.cli(*desk, "--status", "suspended", "--status", "paused", ordered=True)
        s.cli(*desk, "--completion-result", "failure", ordered=True, says="[409] no way")
        s.cli(*desk, "--completion-result", "success", ordered=True, says="<greet>")
        s.cli(*desk, "--deployment", "{v1}", ordered=True)
        s.cli(*ls, "--deployment", NO_DEPLOYMENT)
        s.cli(*ls, *three, "--virtual-objects-only", ordered=True)
        s.cli(*desk, "--zombie")
        s.cli(*desk, "--status", "sleepy", exits=2)
        s.cli(*ls, "--service", "lsNope")
        for name in ("Desk", "Till", "Order"):
            s.cli("services", "status", f"ls{name}", ordered=True)
        s.cli("services", "status", mine="blocks")
        s.cli("services", "status", "lsTill", "--locked-key-held-threshold-second", "0")


def test_describe_invocations(pair: Pair) -> None:
    with pair.story("see") as s:
        fill(s)
        for name in (
            *("greet", "refuse", "nap", "wait", "broken", "stubborn"),
            *("late", "hold", "queued", "order"),
        ):
            s.cli("invocations", "describe", f"{{{name}}}", ordered=True)
        s.cli("invocations", "describe", "inv_bad", exits=1)
        s.cli("invocations", "describe", NO_INVOCATION, exits=1, says="not found!")
        s.send("work", "Desk/work", "6000", until="running")
        s.cli("invocations", "describe", "{work}", ordered=True, says="running")


def test_describe_what_is_not_pinned_yet(pair: Pair) -> None:
    """The official server pins with the first stored step, we pin before the first exchange."""
    with pair.story("free") as s:
        s.deploy("v1")
        s.send("listen", "Desk/listen", until="suspended")
        s.cli("invocations", "describe", "{listen}")


# Operations.


def test_cancel_and_kill(pair: Pair) -> None:
    with pair.story("end") as s:
        fill(s)
        inv = "invocations"
        s.cli(inv, "cancel", "{nap}", says="Cancelled 1")
        s.until("nap", "completed")
        s.cli(inv, "describe", "{nap}", ordered=True, says="cancelled")
        s.cli(inv, "cancel", "{nap}", exits=1, says="No invocations found")
        s.cli(inv, "cancel", "{late}", says="Cancelled 1")
        s.cli(inv, "cancel", "{stubborn}", says="Cancelled 1")
        s.cli(inv, "cancel", "{broken}", says="Cancelled 1")
        s.cli(inv, "kill", "{broken}", says="Killed 1")
        s.cli(inv, "cancel", "--kill", "{wait}", says="1 invocations")
        s.cli(inv, "kill", "endTill/k/add", says="<queued>")
        s.cli(inv, "kill", "endTill/k", says="<hold>")
        s.cli(inv, "kill", "endOrder/o1/run", says="<order>")
        s.cli(inv, "kill", "endNothing", exits=1, says="No invocations found")
        s.cli(inv, "kill", NO_INVOCATION, exits=1, says="No invocations found")
        s.cli(inv, "cancel", "inv_bad", exits=1)
        s.query(
            "SELECT id, status, completion_result, completion_failure FROM sys_invocation"
            " WHERE target LIKE 'end%' ORDER BY created_at"
        )
        for number in range(5):
            s.send(f"n{number}", "Desk/nap", until="suspended" if number == 4 else "")
        s.forget(*(f"n{number}" for number in range(5)))
        s.cli(inv, "kill", "endDesk/nap", "--limit", "2", says="Killed 2")
        s.cli(inv, "kill", "endDesk", says="Killed 4")


def test_pause_and_resume(pair: Pair) -> None:
    with pair.story("pau") as s:
        fill(s)
        inv = "invocations"
        s.cli(inv, "pause", "{broken}", says="Paused 1")
        s.until("broken", "paused")
        s.cli(inv, "describe", "{broken}", ordered=True, says="paused")
        s.cli(inv, "pause", "{broken}", exits=1, says="No invocations found")
        s.cli(inv, "resume", "{broken}", says="Resumed 1")
        s.until("broken", "backing-off")
        s.cli(inv, "resume", "{broken}", "--deployment", "keep", says="Resumed 1")
        s.cli(inv, "resume", "{stubborn}", says="Resumed 1")
        s.settles("SELECT retry_count, status FROM sys_invocation WHERE id = '{stubborn}'")
        s.until("stubborn", "paused")
        s.cli(inv, "describe", "{stubborn}", ordered=True)
        s.cli(inv, "resume", "{nap}")
        s.cli(inv, "resume", "{nap}", "--deployment", "keep")
        s.until("nap", "suspended")
        s.cli(inv, "describe", "{nap}", ordered=True)
        for name in ("greet", "late", "queued"):
            s.cli(inv, "pause", f"{{{name}}}", exits=1, says="No invocations found")
            s.cli(inv, "resume", f"{{{name}}}", exits=1, says="No invocations found")
        s.cli(inv, "pause", "pauTill/k/hold", says="<hold>")
        s.cli(inv, "resume", "pauTill/k", says="<hold>")
        s.cli(inv, "resume", "pauDesk", says="<wait>")
        s.cli(inv, "pause", "pauDesk/wait", says="<wait>")
        s.cli(inv, "pause", "pauNothing", exits=1)
        s.cli(inv, "resume", NO_INVOCATION, exits=1)


def test_pause_what_waits(pair: Pair) -> None:
    """The official server answers 200 to a pause of a suspended invocation, and does not pause."""
    with pair.story("still") as s:
        s.deploy("v1")
        s.send("nap", "Desk/nap", until="suspended")
        s.cli("invocations", "pause", "{nap}", says="Paused 1")
        s.query(f"{STATUS} WHERE id = '{{nap}}'", rows=1)
        s.cli("invocations", "describe", "{nap}", ordered=True)
        s.cli("invocations", "resume", "{nap}", says="Resumed 1")
        s.until("nap", "suspended")


def test_resume_on_another_deployment(pair: Pair) -> None:
    with pair.story("mov") as s:
        inv = "invocations"
        pin = "SELECT retry_count, pinned_deployment_id FROM sys_invocation"
        s.deploy("v1")
        for name in ("nap", "swap", "third"):
            handler = "nap" if name == "third" else name
            s.send(name, f"Desk/{handler}", until="suspended")
        s.send("broken", "Desk/broken", until="backing-off")
        s.deploy("v2")
        # The command line takes a refusal for success; see `test_operations_by_state`.
        s.cli(inv, "resume", "{broken}", "--deployment", "latest", says="Resumed 1")
        s.query("SELECT pinned_deployment_id FROM sys_invocation WHERE id = '{broken}'", rows=1)
        s.cli(inv, "pause", "{broken}")
        s.until("broken", "paused")
        s.cli(inv, "resume", "{broken}", "--deployment", "latest", says="Resumed 1")
        s.settles(f"{pin} WHERE id = '{{broken}}'", retry_count=2)
        s.cli(inv, "describe", "{broken}", ordered=True, says="<v2>")
        s.cli(inv, "resume", "{nap}", "--deployment", "latest", says="Resumed 1")
        s.until("nap", "suspended")
        s.cli(inv, "describe", "{nap}", ordered=True, says="<v2>")
        s.cli(inv, "resume", "{third}", "--deployment", "{v2}", says="Resumed 1")
        s.until("third", "suspended")
        s.cli(inv, "describe", "{third}", ordered=True, says="<v2>")
        s.cli(inv, "resume", "{third}", "--deployment", "{v1}", says="Resumed 1")
        s.until("third", "suspended")
        s.cli(inv, "resume", "{third}", "--deployment", NO_DEPLOYMENT)
        s.cli(inv, "resume", "{third}", "--deployment", "dp_bad")
        s.query(f"{pin} WHERE id = '{{third}}'", rows=1)
        s.cli(inv, "resume", "{swap}", "--deployment", "latest", says="Resumed 1")
        s.until("swap", "backing-off")
        s.cli(inv, "describe", "{swap}", ordered=True, says="mismatch")
        s.query(
            "SELECT status, last_failure_error_code, last_failure_related_command_index,"
            " pinned_deployment_id FROM sys_invocation WHERE id = '{swap}'",
            rows=1,
        )
        s.cli("deployments", "list", "--extra", mine="lines")


def test_purge_and_restart(pair: Pair) -> None:
    with pair.story("again") as s:
        inv = "invocations"
        fill(s)
        new = r"\n\s*{old}\s+(inv_\w+)"
        restart = (inv, "restart-as-new")
        s.cli(*restart, "{greet}", keep={"greet2": new.replace("{old}", "{greet}")})
        s.until("greet2", "completed")
        s.cli(inv, "describe", "{greet2}", ordered=True)
        s.query(
            "SELECT id, target, idempotency_key, invoked_by, restarted_from, status,"
            " completion_result FROM sys_invocation WHERE id = '{greet2}'",
            rows=1,
        )
        s.cli(*restart, "againDesk/refuse", keep={"refuse2": new.replace("{old}", "{refuse}")})
        s.until("refuse2", "completed")
        s.cli(*restart, "{nap}", exits=1, says="No invocations found")
        s.cli(*restart, "{late}", exits=1)
        s.cli(*restart, "againNothing", exits=1)
        # Who waits is gone at once when killed, who runs is not.
        s.cli(inv, "kill", "{queued}")
        s.cli(inv, "kill", "{hold}")
        s.until("hold", "completed")
        s.cli(*restart, "{hold}", keep={"hold2": new.replace("{old}", "{hold}")})
        s.until("hold2", "suspended")
        s.cli(inv, "kill", "{hold2}")
        s.until("hold2", "completed")
        s.cli(*restart, "againTill/s/add", says="Restarted 1")
        s.cli(*restart, "againTill/k/add", exits=1, says="No invocations found")
        s.cli(inv, "kill", "{order}")
        s.until("order", "completed")
        s.cli(*restart, "{order}", exits=1)
        s.cli(inv, "purge", "{greet}", says="Purged 1")
        s.cli(inv, "describe", "{greet}", exits=1)
        s.cli(inv, "purge", "{greet}", exits=1, says="No invocations found")
        s.cli(inv, "purge", "{nap}", exits=1, says="No invocations found")
        s.cli(inv, "purge", "againDesk/refuse", says="Purged 2")
        s.cli(inv, "purge", "{order}", says="Purged 1")
        s.cli(inv, "purge", "againNothing", exits=1)
        s.query(
            "SELECT target, status FROM sys_invocation WHERE target LIKE 'again%'"
            " ORDER BY target, status"
        )
        s.send("order", "Order/o1/run", '"book"', until="suspended")


# State.


def test_state(pair: Pair, tmp_path: Path) -> None:
    with pair.story("sta") as s:
        s.deploy("v1")
        for key, amount in (("k", "5"), ("l", "6"), ("m", "7")):
            s.ingress("POST", f"/staTill/{key}/add", amount, status=200)
        s.cli("state", "get", "staTill", "k", says="5")
        s.cli("state", "get", "staTill", "k", "--plain", says='"total":5')
        s.cli("state", "get", "staTill", "k", "--binary")
        s.cli("state", "get", "staTill", "none")
        s.cli("state", "get", "staDesk", "k", exits=1, says="support state")
        s.cli("state", "get", "staNope", "k", says="does not exist")
        total = "SELECT value_utf8 AS v FROM state WHERE service_name = 'staTill' AND key = 'total'"
        change = editor(tmp_path, 's/("total": *)5/\\19/')
        s.cli("state", "edit", "staTill", "k", editor=change, says="9")
        s.settles(f"{total} AND service_key = 'k'", v="9")
        s.ingress("GET", "/staTill/k/read", status=200, says="9")
        patch = '[{"op":"replace","path":"/total","value":11}]'
        s.cli("state", "patch", "staTill", "l", "-p", patch)
        s.settles(f"{total} AND service_key = 'l'", v="11")
        s.cli("state", "patch", "staTill", "l", "--force", "-p", patch.replace("11", "12"))
        s.settles(f"{total} AND service_key = 'l'", v="12")
        s.ingress("POST", "/staTill/l/add", "1", status=200, says="13")
        s.cli("state", "patch", "staTill", "l", "-p", '{"total":1}', exits=1)
        s.cli("state", "patch", "staDesk", "l", "-p", patch, exits=1)
        s.cli("state", "edit", "staTill", "k", editor=Path("/bin/true"))
        s.cli("state", "clear", "staTill/k", says="staTill/k")
        s.settles(
            "SELECT COUNT(1) AS n FROM state WHERE service_name = 'staTill' AND service_key = 'k'",
            n=0,
        )
        s.ingress("GET", "/staTill/k/read", status=200)
        s.cli("state", "clear", "staTill", "--force", says="staTill/m")
        s.settles("SELECT COUNT(1) AS n FROM state WHERE service_name = 'staTill'", n=0)
        s.cli("state", "clear", "staTill", exits=1, says="No state found!")
        s.cli("state", "clear", "staNope", exits=1, says="No state found!")
        s.cli("state", "clear", "staDesk/k", exits=1, says="No state found!")


def test_state_behind_a_running_handler(pair: Pair) -> None:
    with pair.story("behind") as s:
        s.deploy("v1")
        s.ingress("POST", "/behindTill/k/add", "5", status=200)
        s.send("hold", "Till/k/hold", until="suspended")
        s.cli("state", "clear", "behindTill/k")
        s.ingress("GET", "/behindTill/k/read", status=200, says="5")
        s.cli("invocations", "kill", "{hold}")
        s.settles("SELECT COUNT(1) AS n FROM state WHERE service_name = 'behindTill'", n=0)
        s.admin(
            "POST", "/services/behindNope/state", '{"object_key":"k","new_state":{}}', status=202
        )
        s.admin(
            "POST", "/services/behindDesk/state", '{"object_key":"k","new_state":{}}', status=400
        )
        s.admin("POST", "/services/behindTill/state", '{"new_state":{}}', status=422)
        stale = '{"version":"nope","object_key":"k","new_state":{"total":[57]}}'
        s.admin("POST", "/services/behindTill/state", stale, status=202)
        s.admin(
            "POST",
            "/services/behindTill/state",
            '{"object_key":"t","new_state":{"total":"57","b":[1,255]}}',
            status=202,
        )
        s.query(
            "SELECT * FROM state WHERE service_name = 'behindTill' ORDER BY key",
            rows=2,
            without=NOT_COMPARED,
        )


# SQL.


def test_sql(pair: Pair) -> None:
    with pair.story("sql") as s:
        fill(s)
        count = "SELECT COUNT(*) FROM sys_invocation WHERE target_service_name = 'sqlDesk'"
        s.cli("sql", count, says="8")
        s.cli("sql", "--json", count, says="8")
        state = "SELECT service_key, key, value, value_length FROM state"
        state += " WHERE service_name = 'sqlTill' ORDER BY key"
        s.cli("sql", state, ordered=True, says="total")
        s.cli("sql", "--json", state, ordered=True)
        s.cli("sql", "--jsonl", state, ordered=True)
        s.cli("sql", "SELECT * FROM state WHERE service_name = 'sqlNope'", says="0 rows")
        s.cli("sql", "selec 1", exits=1, says="400")
        s.cli("sql", "DROP TABLE state", exits=1, says="DDL not supported")
        s.cli("sql", "DELETE FROM state", exits=1, says="DML not supported")
        s.cli("sql", "UPDATE state SET key = 'a'", exits=1)
        s.cli("sql", "SELECT * FROM nope", exits=1, says="table 'restate.public.nope' not found")
        s.cli("sql", "SELECT nope FROM state", exits=1, says="No field named nope")
        s.cli("sql", MANY, exits=1)
        s.cli("sql", "", exits=1)
        # All tables but the one that is ours alone.
        theirs = "table_schema = 'public' AND table_name <> 'sys_audit'"
        tables = "SELECT table_name, table_type FROM information_schema.tables"
        tables += f" WHERE {theirs} ORDER BY table_name"
        s.cli("sql", tables, ordered=True, says="18 rows")
        columns = (
            "SELECT table_name, column_name, ordinal_position, is_nullable, data_type"
            f" FROM information_schema.columns WHERE {theirs}"
            " ORDER BY table_name, ordinal_position"
        )
        s.cli("sql", "--jsonl", columns, ordered=True)
        s.cli(
            "sql",
            "SELECT target_handler_name, status, COUNT(*) AS n, MIN(retry_count) AS r"
            " FROM sys_invocation WHERE target LIKE 'sql%' GROUP BY 1, 2 ORDER BY 1, 2",
            ordered=True,
        )
        s.cli(
            "sql",
            "SELECT id, completion_failure FROM sys_invocation"
            " WHERE completion_failure IS NOT NULL AND target_service_name = 'sqlDesk'",
            says="[409] no way",
        )


WHERE = {
    "sys_invocation": "target_service_name LIKE 'tab%' ORDER BY created_at",
    "sys_invocation_status": "target_service_name LIKE 'tab%' ORDER BY created_at",
    "sys_deployment": "id = '{v1}'",
    "sys_service": "name LIKE 'tab%' ORDER BY name",
    "sys_keyed_service_status": "service_name LIKE 'tab%' ORDER BY service_name",
    # The official server leaves `created_at` out, which is here.
    "(SELECT service_name, service_key, id FROM sys_inbox)": "service_name LIKE 'tab%'",
    "sys_promise": "service_name LIKE 'tab%'",
    "state": "service_name LIKE 'tab%' ORDER BY service_name, key",
    **dict.fromkeys(
        (
            *("sys_locks", "sys_rules", "sys_scheduler", "sys_user_limits"),
            *("sys_vqueue_entry_status", "sys_vqueue_meta", "sys_vqueues"),
        ),
        "1 = 1",
    ),
}


def test_sql_tables(pair: Pair) -> None:
    """Every column of every table that carries something."""
    with pair.story("tab") as s:
        fill(s)
        for table, where in WHERE.items():
            s.query(f"SELECT * FROM {table} WHERE {where}", without=NOT_COMPARED)
        for name in ("greet", "nap", "broken", "stubborn", "refuse", "order", "hold", "late"):
            for table, order in (
                ("sys_journal", "index"),
                ("sys_journal_events", "appended_at"),
                ("sys_invocation_state", "id"),
            ):
                s.query(
                    f"SELECT * FROM {table} WHERE id = '{{{name}}}' ORDER BY {order}",
                    without=NOT_COMPARED,
                )


def test_what_is_always_empty(pair: Pair) -> None:
    with pair.story("none") as s:
        s.cli("rules", "list", says="No rules defined.")
        s.cli("vqueues", "list", says="No virtual queues found.")
        s.cli("subscriptions", "list", says="No subscriptions registered.")
        s.cli("kafka-clusters", "list", says="No Kafka clusters registered.")


def test_what_we_do_not_offer(pair: Pair) -> None:
    """Rules and Kafka: refused with a sentence at ours, and nothing is there at either."""
    with pair.story("off") as s:
        s.deploy("v1")
        s.cli("rules", "set", "scope/*", "--concurrency", "3", says="Created rule")
        s.cli("rules", "delete", "scope/*", says="Deleted rule")
        s.cli("rules", "delete", "other/*", exits=1, says="No rule found")
        s.cli("rules", "disable", "other/*", exits=1, says="No rule found")
        s.cli("vqueues", "describe", "vq_nope", exits=2)
        create = ("kafka-clusters", "create")
        s.cli(*create, "off", "bootstrap.servers=127.0.0.1:1", says="cluster off created")
        s.cli("kafka-clusters", "delete", "off", says="deleted")
        for command in ("describe", "delete"):
            s.cli("kafka-clusters", command, "other", exits=1, says="does not exist")
        s.cli("kafka-clusters", "patch", "other", "--set", "a=b", exits=1, says="does not exist")
        sink = "service://offDesk/greet"
        s.cli("subscriptions", "create", "kafka://off/t", sink, exits=1, says="not found")
        s.cli("subscriptions", "describe", "sub_nope", exits=1)
        s.cli("subscriptions", "delete", "sub_nope", exits=1)


def test_settings_of_the_command_line(pair: Pair) -> None:
    """What asks no server has to work all the same."""
    with pair.story("own") as s:
        s.cli("--version")
        s.cli("config", "list-environments")
        s.cli("config", "view")


# Requests of the admin API that the command line does not send, or not in these states.

STATES = {
    "completed": ("Desk/greet", '"Ada"'),
    "scheduled": ("Desk/greet?delay=1h", '"Ada"'),
    "pending": ("Till/k/add", "7"),
    "suspended": ("Desk/nap", None),
    "backing-off": ("Desk/broken", None),
    "running": ("Desk/work", "20000"),
    "paused": ("Desk/stubborn", None),
}
OPERATIONS = (
    "pause",
    "resume",
    "resume?deployment=keep",
    "resume?deployment=latest",
    "resume?deployment={v1}",
    "purge",
    "purge-journal",
    "restart-as-new",
    "cancel",
    "kill",
)
ANSWERS = {
    "completed": (409, 409, 409, 409, 409, 200, 200, 200, 409, 409),
    "scheduled": (409, 425, 425, 425, 425, 409, 409, 425, 200, 200),
    "pending": (409, 425, 425, 425, 425, 409, 409, 425, 200, 200),
    "suspended": (200, 200, 200, 200, 200, 409, 409, 409, 202, 200),
    "backing-off": (202, 200, 200, 409, 409, 409, 409, 409, 202, 200),
    "running": (202, 200, 200, 409, 409, 409, 409, 409, 202, 200),
    "paused": (200, 200, 200, 200, 200, 409, 409, 409, 202, 200),
}


@pytest.mark.parametrize("state", STATES)
def test_operations_by_state(pair: Pair, state: str) -> None:
    """Each operation on an invocation of its own, and what has become of it."""
    with pair.story(f"op{state.replace('-', '')}") as s:
        s.deploy("v1")
        if state == "pending":
            s.send("hold", "Till/k/hold", until="suspended")
        path, body = STATES[state]
        names = [f"i{number}" for number, _ in enumerate(OPERATIONS)]
        for name in names:
            s.send(name, path, body)
        for name in names:
            s.until(name, state)
        for name, operation, status in zip(names, OPERATIONS, ANSWERS[state], strict=True):
            s.admin("PATCH", f"/invocations/{{{name}}}/{operation}", status=status)
        if state != "running":
            for name in names:
                s.query(f"{OPERATED} WHERE id = '{{{name}}}'")


def test_operations_on_nothing(pair: Pair) -> None:
    with pair.story("opnothing") as s:
        s.deploy("v1")
        s.send("gone", "Desk/greet", '"Ada"', until="completed")
        s.admin("PATCH", "/v4/invocations/{gone}/purge", status=200)
        s.settles("SELECT COUNT(1) AS n FROM sys_invocation WHERE id = '{gone}'", n=0)
        for operation in ("cancel", "kill", "pause", "resume", "purge", "restart-as-new"):
            s.admin("PATCH", f"/invocations/{NO_INVOCATION}/{operation}", status=404)
            s.admin("PATCH", f"/invocations/{{gone}}/{operation}", status=404)
            s.admin("PATCH", f"/invocations/inv_bad/{operation}", status=400)
            s.admin("POST", f"/invocations/{NO_INVOCATION}/{operation}", status=405)
        s.admin("DELETE", f"/invocations/{NO_INVOCATION}", status=202)
        s.admin("DELETE", f"/invocations/{NO_INVOCATION}?mode=Kill", status=202)
        s.admin("DELETE", f"/invocations/{NO_INVOCATION}?mode=bogus", status=400)
        s.send("nap", "Desk/nap", until="suspended")
        s.admin("PATCH", "/invocations/{nap}/resume?deployment=dp_bad", status=400)
        s.admin("PATCH", f"/invocations/{{nap}}/resume?deployment={NO_DEPLOYMENT}", status=400)
        s.admin("DELETE", "/invocations/{nap}?mode=kill", status=202)
        s.until("nap", "completed")
        s.admin("PATCH", "/invocations/{nap}/restart-as-new?from=99", status=400)
        s.admin("PATCH", "/invocations/{nap}/restart-as-new?from=x", status=400)
        s.admin("PATCH", "/invocations/{nap}/restart-as-new?deployment=dp_bad", status=400)
        s.admin("PATCH", "/invocations/{nap}/purge-journal", status=200)
        s.admin("PATCH", "/invocations/{nap}/restart-as-new", status=410)


def test_admin_requests(pair: Pair) -> None:
    """Other routes of the admin API."""
    with pair.story("adm") as s:
        s.deploy("v1")
        s.deploy("v2")
        s.admin("GET", "/deployments/{v1}", status=200)
        s.admin("GET", "/services/admTill", status=200)
        s.admin("GET", "/services/admDesk/handlers/greet", status=200)
        s.admin("GET", "/services/admDesk/handlers/nope", status=404)
        s.admin("GET", "/services/admNope/handlers", status=404)
        s.admin("GET", "/services/admNope/openapi", status=404)
        s.admin("PATCH", "/services/admDesk", "{}", status=200)
        s.admin("PATCH", "/services/admDesk", '{"journal_retention":5}', status=422)
        s.admin("PATCH", "/services/admDesk", '{"journal_retention":"1h"}', status=200)
        s.admin("PATCH", "/services/admNope", "{}", status=404)
        s.admin("PATCH", "/deployments/{v1}", "{}", status=200)
        other = pair.service.endpoint("adm", "v2")
        body = f'{{"uri":"{other}","use_http_11":true,"dry_run":true}}'
        s.admin("PATCH", "/deployments/{v1}", body, status=200)
        s.admin("PATCH", f"/deployments/{NO_DEPLOYMENT}", "{}", status=404)
        s.admin("PUT", "/deployments/{v1}", "{}", status=405)
        s.admin("PUT", "/v2/deployments/{v1}", "{}", status=200)
        s.admin("PUT", "/v3/deployments/{v1}", "{}", status=405)
        s.admin("DELETE", "/deployments/{v1}", status=501)
        s.admin("DELETE", "/deployments/{v2}?force=bogus", status=400)
        s.admin("GET", "/kafka-clusters", status=200)
        s.admin("GET", "/subscriptions", status=200)
        s.admin("GET", "/cluster-health", status=200)
        s.admin("GET", "/v1/deployments", status=400)
        s.admin("GET", "/v5/deployments", status=404)
        s.admin("GET", "/nope", status=404)
        s.admin("DELETE", "/services/admDesk", status=405)
