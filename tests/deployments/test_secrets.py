"""Headers whose values are secrets: references are kept, values are looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from steadfaas.deployments.secrets import looked_up, secret_headers
from steadfaas.errors import AttemptFailure, BadRequest, Verdict
from tests.deployments.world import announce, run, service, serving
from tests.servers.admin_world import admin


def test_references_are_kept_and_secrets_looked_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("from a file\n")
    monkeypatch.setenv("KEY_OF_SHOP", " from a variable ")
    kept = secret_headers({"X-B": "env:KEY_OF_SHOP", "x-a": f"file:{tmp_path}/key"})
    assert kept == (("x-a", f"file:{tmp_path}/key"), ("x-b", "env:KEY_OF_SHOP"))
    assert looked_up(kept) == {"x-a": "from a file", "x-b": "from a variable"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("hunter2", "must say where the secret stands"),
        ("env:", "must say where"),
        ("env:A B", "must say where"),
        ("file:", "must say where"),
        ("vault:key", "must say where"),
        ("env:STEADFAAS_VERCEL_TOKEN", "no endpoint gets it"),
        ("env:AWS_SECRET_ACCESS_KEY", "no endpoint gets"),
    ],
)
def test_what_is_no_reference_is_refused_and_not_repeated(value: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as refused:
        secret_headers({"x-key": value})
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(
    ("reference", "content", "words"),
    [
        ("env:NOT_SET_ANYWHERE", None, "NOT_SET_ANYWHERE is not set"),
        ("file:{path}", None, "cannot be read"),
        ("file:{path}", b"two\nlines", "cannot be the value of a header"),
        ("file:{path}", b"\xff", "it is no plain text"),
        ("file:{path}", b"", "cannot be the value of a header"),
    ],
)
def test_a_secret_that_is_not_there(
    tmp_path: Path, reference: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AttemptFailure, match=words) as failed:
        looked_up((("x-key", reference.format(path=path)),))
    assert (failed.value.code, failed.value.verdict) == ("SF0004", Verdict.DENIED)


def test_they_are_sent_shown_as_references_and_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_ONE", "first")

    async def test() -> None:
        async with admin() as ask, serving(announce(service())) as one:
            made = await ask.register(one.uri, secret_headers={"x-key": "env:KEY_ONE"})
            assert made.status == 201
            id = made.body["id"]
            shown = await ask("GET", f"/deployments/{id}")
            assert shown.body["secret_headers"] == {"x-key": "env:KEY_ONE"}
            changed = {"secret_headers": {"x-key": "env:KEY_TWO"}}
            patched = await ask("PATCH", f"/deployments/{id}", json=changed)
            assert (patched.status, patched.body["id"]) == (200, id)
            assert patched.body["secret_headers"] == {"x-key": "env:KEY_TWO"}
            assert patched.body["changes"][-1]["what"] == "secret headers changed"
            refused = await ask.register(one.uri, secret_headers={"x-key": "hunter2"}, force=True)
            assert refused.status == 400
            assert "hunter2" not in refused.raw.decode()
            no_way = await ask.register(one.uri, protection=["env:KEY_ONE"], force=True)
            assert "knows no protection" in no_way.body["message"]

    run(test())


def test_no_registration_names_a_missing_secret_also_of_what_is_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEY_ONE", "first")

    async def test() -> None:
        async with admin() as ask, serving(announce(service())) as one:
            known = await ask.register(one.uri, secret_headers={"x-key": "env:KEY_ONE"})
            for dry_run in (True, False):
                missing = await ask.register(
                    one.uri, secret_headers={"x-key": "env:NOT_SET_ANYWHERE"}, dry_run=dry_run
                )
                assert missing.status == 500
                assert missing.body["restate_code"] == "META0003"
                assert "NOT_SET_ANYWHERE is not set" in missing.body["message"]
            again = await ask.register(one.uri, secret_headers={"x-key": "env:KEY_ONE"})
            assert (again.status, again.body["id"]) == (200, known.body["id"])

    run(test())
