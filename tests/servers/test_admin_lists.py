"""`GET /invocations`: whom each filter lets pass, and that pages show everything exactly once."""

from __future__ import annotations

from datetime import timedelta
from itertools import chain
from typing import Any, Final

import pytest
import restate

from steadfaas.runtime.engine import Tuning
from steadfaas.store import find
from steadfaas.testing import Deployment, Invocation, Steadfaas
from tests.runtime.yard import STATUSES, Yard, bring_to
from tests.servers.invocation_world import UNKNOWN, UNKNOWN_DEPLOYMENT, Admin, admin_of

pytestmark = pytest.mark.asyncio

# Filters, and whom of `_crowd` they let pass.
FILTERS: Final = {
    "": "j1 j2 b1 c1 c2 c3 c4 c5 odd",
    "target=Job": "j1 j2 b1",
    "target=Job/work": "j1 j2",
    "target=Job/quick": "",
    "target=Cart": "c1 c2 c3 c4 c5",
    "target=Cart/a": "c1 c2",
    "target=Cart/put": "c5",  # the key: objects have keys there, services have handlers
    "target=Cart/a/put": "c1 c2",
    "target=Cart/a/b/put": "c3",
    "target=Cart/a/b": "",  # the handler b of the key a
    "target=Cart/a%2520b/put": "",
    "target=Cart/%C3%A4%20/%25/put": "c4",
    "target=Cart//put": "",
    "target=Cart/put/put": "c5",
    "target=Job//work": "",
    "target=Job/": "j1 j2 b1",
    "target=job": "",
    "target=Jo": "",
    "target=J%25": "",
    "target=inv_odd": "odd",
    "target=inv_odd/work": "odd",
    "target=%27%20OR%201%3D1--": "",
    f"target={UNKNOWN}": "",
    "service=Cart": "c1 c2 c3 c4 c5",
    "service=Cart&key=a": "c1 c2",
    "key=a/b": "c3",
    "key=a%2Fb": "c3",
    "key=%C3%A4%20/%25": "c4",
    "key=": "",
    "handler=put": "c1 c2 c3 c4 c5",
    "handler=work": "j1 j2 odd",
    "handler=work&service=Job": "j1 j2",
    "service=Job&target=Cart": "",
    "target=Cart&key=a&handler=put&service=Cart": "c1 c2",
    "deployment=V1": "j1 c1 c3 c4 c5",
    "deployment=V2": "j2 b1 odd",
    "deployment=V2&handler=fail": "b1",
    f"deployment={UNKNOWN_DEPLOYMENT}": "",
    "deployment=nonsense": "",
    "status=completed": "q1",
    "status=suspended": "j1 j2 c1 c3 c4 c5 odd",
    "status=pending": "c2",
    "status=pending,backing-off": "b1 c2",
    "status=pending&status=backing-off": "b1 c2",
    "status=pending,%20backing-off&status=paused,": "b1 c2",
    "status=": "j1 j2 b1 c1 c2 c3 c4 c5 odd",
    "status=completed&target=Job": "q1",
    "status=completed,suspended&target=Job": "j1 q1 j2",
    "target=Cart&status=backing-off": "",
    "more=unknown": "j1 j2 b1 c1 c2 c3 c4 c5 odd",
}  # fmt: skip


def _odd() -> Any:
    """A service that is called as ids are."""
    service = restate.Service("inv_odd")

    @service.handler()
    async def work(ctx: restate.Context) -> None:
        await ctx.sleep(timedelta(days=1))

    return service


async def _crowd(kit: Steadfaas) -> tuple[dict[str, Invocation], dict[str, Deployment]]:
    """Invocations of all kinds on two versions, in the order of `NAMES`."""
    v1 = await kit.deploy(Yard("v1").app)
    crowd = {"j1": await kit.send("Job/work", "x"), "q1": await kit.send("Job/quick", "x")}
    for name, key in {"c1": "a", "c2": "a", "c3": "a/b", "c4": "ä /%", "c5": "put"}.items():
        crowd[name] = await kit.send(f"Cart/{key}/put", 1)
    await kit.settle()
    yard = Yard("v2")
    v2 = await kit.deploy(restate.app([yard.job, yard.cart, yard.sign, _odd()]))
    for name, target in {"j2": "Job/work", "b1": "Job/fail"}.items():
        crowd[name] = await kit.send(target, "x")
    crowd["odd"] = await kit.send("inv_odd/work")
    await kit.settle()
    return crowd, {"V1": v1, "V2": v2}


async def test_filters(steadfaas: Steadfaas) -> None:
    crowd, deployments = await _crowd(steadfaas)
    names = {sent.text_id: name for name, sent in crowd.items()}
    order = list(crowd)
    async with admin_of(steadfaas) as admin:
        for query, expected in FILTERS.items():
            for name, deployment in deployments.items():
                query = query.replace(f"={name}", f"={deployment.id}")
            passed = [names[id] for id in await admin.ids(query)]
            assert passed == sorted(expected.split(), key=order.index), query
            newest = [names[id] for id in await admin.ids(f"{query}&newest=true")]
            assert newest == passed[::-1], query


async def test_each_is_found_by_its_id(steadfaas: Steadfaas) -> None:
    crowd, _ = await _crowd(steadfaas)
    async with admin_of(steadfaas) as admin:
        for name, sent in crowd.items():
            query = f"target={sent.text_id}"
            assert await admin.ids(query) == ([] if name == "q1" else [sent.text_id])
            assert await admin.ids(f"{query}&status=completed,suspended,pending,backing-off")
            assert await admin.ids(f"{query}&service=Nope") == []


@pytest.mark.steadfaas(tuning=Tuning(max_concurrency=1, drain_seconds=0))
@pytest.mark.parametrize("status", STATUSES[:-1])
async def test_every_status_can_be_asked_for(steadfaas: Steadfaas, status: str) -> None:
    await steadfaas.deploy(Yard().app)
    sent = await bring_to(steadfaas, status)
    async with admin_of(steadfaas) as admin:
        assert sent.text_id in await admin.ids(f"status={status}")
        for other in STATUSES[:-1]:
            assert (sent.text_id in await admin.ids(f"status={other}")) == (other == status)
        assert (sent.text_id in await admin.ids()) == (status != "completed")


async def test_what_a_list_tells_of_each(steadfaas: Steadfaas) -> None:
    v1 = await steadfaas.deploy(Yard().app)
    fails = await steadfaas.send("Job/fail", "x")
    paused = await bring_to(steadfaas, "paused")
    later = await steadfaas.send("Cart/a/put", 1, delay="1 day")
    async with admin_of(steadfaas) as admin:
        shown = {each["id"]: each for each in (await admin.page())["invocations"]}
        one = shown[fails.text_id]
        assert one["target"] == "Job/fail"
        assert (one["status"], one["deployment_id"]) == ("backing-off", v1.id)
        assert one["retry_count"] == fails.attempts.outcomes.count("RT0007")
        assert one["next_retry_at"] > one["modified_at"] >= one["created_at"]
        assert one["last_failure"] == {
            "restate_code": "RT0007", "code": 500, "message": one["last_failure"]["message"]
        }  # fmt: skip
        assert "v1 is not well" in one["last_failure"]["message"]
        assert "next_retry_at" not in shown[paused.text_id]
        assert "last_failure" in shown[paused.text_id]
        waits = shown[later.text_id]
        assert waits.keys() == {
            "id",
            "target",
            "status",
            "created_at",
            "modified_at",
            "retry_count",
        }
        assert (waits["target"], waits["status"]) == ("Cart/a/put", "scheduled")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=1001", "limit=x", "limit=", "limit=1&limit=2", "after=-1", "after=x",
        "after=1.5", "sample=0", "sample=1001", "newest=1", "newest=", "newest=True",
        "status=sleeping", "status=completed,lost", "status=RUNNING", "status=completed%20paused",
        "service=a&service=b", "target=a&target=b", "after=" + "9" * 5000,
    ],
)  # fmt: skip
async def test_queries_that_mean_nothing(steadfaas: Steadfaas, query: str) -> None:
    async with admin_of(steadfaas) as admin:
        told = await admin.page(query, status=400)
        name = query.partition("=")[0]
        assert told["message"].startswith(f"The query parameter '{name}' is invalid")


@pytest.mark.parametrize("text", ["%00", "%ff", "%F0%9F%90%8C", "%ED%A0%80", "a" * 5000, "'", "//"])
@pytest.mark.parametrize("name", ["target", "service", "handler", "key", "deployment"])
async def test_odd_texts_find_nothing(steadfaas: Steadfaas, name: str, text: str) -> None:
    await steadfaas.deploy(Yard().app)
    await bring_to(steadfaas, "suspended")
    async with admin_of(steadfaas) as admin:
        assert await admin.ids(f"{name}={text}") == []


# --- pages -------------------------------------------------------------------------------------


async def _pages(admin: Admin, query: str, *, then: Any = None) -> list[list[str]]:
    """The ids of all pages; `then` happens between them."""
    pages, after = [], ""
    while True:
        page = await admin.page(f"{query}{after}")
        pages.append([each["id"] for each in page["invocations"]])
        if "next" not in page:
            return pages
        assert len(pages) < 100, "there is no end"
        after = f"&after={page['next']}"
        if then is not None:
            await then()


async def _many(kit: Steadfaas, number: int) -> list[str]:
    await kit.deploy(Yard().app)
    return [(await kit.send("Job/work", "x", delay="1 day")).text_id for _ in range(number)]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 11, 1000])
@pytest.mark.parametrize("stretch", [1, 2, 3, 10_000])
async def test_pages_show_everything_once(
    steadfaas: Steadfaas, monkeypatch: pytest.MonkeyPatch, limit: int, stretch: int
) -> None:
    monkeypatch.setattr(find, "STRETCH", stretch)
    sent = await _many(steadfaas, 10)
    async with admin_of(steadfaas) as admin:
        oldest = await _pages(admin, f"limit={limit}")
        assert [*chain(*oldest)] == sent
        assert {len(page) for page in oldest[:-1]} <= {limit}
        assert len(oldest) == -(-len(sent) // limit), "a full last page is the last"
        newest = await _pages(admin, f"newest=true&limit={limit}")
        assert [*chain(*newest)] == sent[::-1]


@pytest.mark.parametrize("stretch", [2, 10_000])
async def test_pages_while_others_come_and_go(
    steadfaas: Steadfaas, monkeypatch: pytest.MonkeyPatch, stretch: int
) -> None:
    """Whoever is there from beginning to end is shown once, wherever it stands."""
    monkeypatch.setattr(find, "STRETCH", stretch)
    sent = await _many(steadfaas, 20)
    leaving = [each for each in steadfaas.sent[::5]]
    stay = [id for id in sent if id not in {each.text_id for each in leaving}]
    came: list[str] = []

    async def come_and_go() -> None:
        if len(came) < 6:
            came.append((await steadfaas.send("Job/work", "x", delay="1 day")).text_id)
        if leaving:
            await leaving.pop().cancel()

    async with admin_of(steadfaas) as admin:
        shown = [*chain(*await _pages(admin, "limit=3", then=come_and_go))]
        assert len(shown) == len(set(shown))
        assert [id for id in shown if id in stay] == stay
        assert shown[-len(came) :] == came, "who comes while others are shown is shown behind them"

        newest = [*chain(*await _pages(admin, "newest=true&limit=3", then=come_and_go))]
        assert len(newest) == len(set(newest))
        assert [id for id in newest if id in stay] == stay[::-1]


async def test_pages_go_on_where_an_invocation_was_that_is_gone(steadfaas: Steadfaas) -> None:
    sent = await _many(steadfaas, 6)
    async with admin_of(steadfaas) as admin:
        for direction, rest in (("", sent[3:]), ("&newest=true", sent[1::-1])):
            page = await admin.page(f"limit=3{direction}")
            [at] = [
                each for each in steadfaas.sent if each.text_id == page["invocations"][-1]["id"]
            ]
            if at.status != "unknown":
                await at.cancel()
            assert await admin.ids(f"after={page['next']}{direction}") == [
                id for id in rest if id != at.text_id
            ]


@pytest.mark.parametrize("newest", ["", "&newest=true"])
async def test_pages_beyond_the_end(steadfaas: Steadfaas, newest: str) -> None:
    sent = await _many(steadfaas, 3)
    async with admin_of(steadfaas) as admin:
        beyond = await admin.ids(f"after=99999999999999999999999{newest}")
        assert beyond == (sent[::-1] if newest else [])
        assert await admin.ids(f"after=0{newest}") == ([] if newest else sent)


async def test_samples_of_each_handler(steadfaas: Steadfaas) -> None:
    await steadfaas.deploy(Yard().app)
    names = {}
    for number in range(4):
        for target in ("Job/work", "Job/ask", "Cart/a/put", "Cart/b/put"):
            sent = await steadfaas.send(target, 1 if "Cart" in target else "x", delay="1 day")
            names[sent.text_id] = f"{target} {number}"
    async with admin_of(steadfaas) as admin:
        first = [names[id] for id in await admin.ids("sample=1")]
        assert first == ["Job/work 0", "Job/ask 0", "Cart/a/put 0"]
        last = [names[id] for id in await admin.ids("sample=2&newest=true")]
        assert last == [
            "Cart/b/put 3", "Cart/a/put 3", "Job/ask 3", "Job/work 3", "Job/ask 2", "Job/work 2"
        ]  # fmt: skip
        cut = await admin.page("sample=1&limit=2")
        assert [names[each["id"]] for each in cut["invocations"]] == first[:2]
        both = [names[id] for id in await admin.ids("sample=1&target=Job")]
        assert both == first[:2]
        assert len(await admin.ids("sample=1000")) == 16
