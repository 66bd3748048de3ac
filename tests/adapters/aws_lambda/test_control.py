"""The control plane: boto3 against LocalLambda, and scripted answers where that is too good."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.stub import Stubber

from steadfaas.errors import BadRequest, Conflict, DiscoveryError, RequestError, Verdict
from steadfaas.spi import ANYBODY, Access, EndpointReference, Evidence, Foresees, Promise
from steadfaas.testing.local_lambda import LocalLambda
from steadfaas_adapters.aws_lambda import ADAPTER, control
from steadfaas_adapters.aws_lambda import clients as aws
from tests.adapters.aws_lambda.scripted import ARN, aws_settings, clear_aws
from tests.deployments.world import run

ACCOUNT = "210987654321"  # the fixture `local_lambda` has another
GREETER = f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:greeter"
LATEST = f"{GREETER}:$LATEST"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/caller"


def code(version: str) -> dict[str, str]:
    return {"app.py": f"def handler(event, context):\n    return {version!r}\n"}


@contextmanager
def refused(status: int, *says: str, retryable: bool = False) -> Iterator[None]:
    """The platform refuses, with a sentence that says all this."""
    with pytest.raises(DiscoveryError) as raised:
        yield
    error = raised.value
    for words in says:
        assert words in error.message
    assert (error.status, error.code) == (status, "META0003")
    assert error.verdict is (Verdict.RETRY if retryable else Verdict.DENIED)


def resolve(target: str, access: Access = ANYBODY, *, dev: bool = False) -> EndpointReference:
    promise = Promise.DEV if dev else Promise.NONE
    return run(ADAPTER.resolve(target, access, promise=promise))


# --- against LocalLambda -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def local() -> Iterator[LocalLambda]:
    """One for all, with `greeter`: versions 1 and 2, of which `live` names the first."""
    with LocalLambda(account=ACCOUNT) as made:
        made.publish(code("one"), name="greeter", alias="live", description="git:3f2c")
        made.publish(code("two"), name="greeter")
        yield made


@pytest.fixture
def here(local: LocalLambda) -> Iterator[LocalLambda]:
    with pytest.MonkeyPatch.context() as patch:
        clear_aws(patch)
        for name, value in local.env().items():
            patch.setenv(name, value)
        yield local


@pytest.mark.parametrize(
    ("target", "number", "evidence"),
    [
        (f"{GREETER}:1", "1", Evidence.GRAMMAR),
        (f"lambda:{GREETER}:1", "1", Evidence.GRAMMAR),
        (f"{ACCOUNT}:function:greeter:1", "1", Evidence.GRAMMAR),
        (f"lambda:{ACCOUNT}:greeter:2", "2", Evidence.GRAMMAR),
        ("lambda:greeter:1", "1", Evidence.GRAMMAR),
        ("lambda:greeter@2", "2", Evidence.GRAMMAR),
        ("lambda:greeter@live", "1", Evidence.CONTROL_PLANE),
        (f"lambda:{GREETER}:live", "1", Evidence.CONTROL_PLANE),
        ("lambda:greeter", "2", Evidence.CONTROL_PLANE),
        (f"lambda:{GREETER}", "2", Evidence.CONTROL_PLANE),
    ],
)
def test_every_form_becomes_the_arn_of_a_version(
    here: LocalLambda, target: str, number: str, evidence: Evidence
) -> None:
    reference = resolve(target)
    assert (reference.adapter, reference.uri) == ("aws-lambda", f"{GREETER}:{number}")
    assert reference.evidence is evidence


def test_facts_are_kept(here: LocalLambda) -> None:
    tags = {"commit": "3f2c", "ünïcode": "grüß"}
    here.client().tag_resource(Resource=GREETER, Tags=tags)
    facts = resolve("lambda:greeter@live").facts
    told = here.client().get_function(FunctionName="greeter", Qualifier="1")["Configuration"]
    assert facts["code_sha256"] == told["CodeSha256"]
    assert facts["config_sha256"] == told["ConfigSha256"]
    assert facts["description"] == "git:3f2c"
    assert (facts["tag:commit"], facts["tag:ünïcode"]) == ("3f2c", "grüß")
    assert facts["alias"] == "live"
    assert facts["runtime"].startswith("python")
    assert "published_at" in facts


def test_the_unpublished_code_is_for_development(here: LocalLambda) -> None:
    for target in ("lambda:greeter:$LATEST", f"{GREETER}:$LATEST"):
        reference = resolve(target, dev=True)
        assert (reference.uri, reference.evidence) == (f"{GREETER}:$LATEST", Evidence.MUTABLE)
        with pytest.raises(BadRequest, match="--dev"):
            resolve(target)


def test_the_newest_of_many_is_the_highest_number(here: LocalLambda) -> None:
    functions = here.client()
    here.publish(code("0"), name="many")
    for number in range(2, 53):
        # Settings alone make a version, too, and are quicker than code.
        functions.update_function_configuration(FunctionName="many", Description=str(number))
        functions.publish_version(FunctionName="many")
    assert resolve("lambda:many").uri.endswith(":function:many:52")
    versions = run(ADAPTER.list_versions("lambda:many"))
    assert [version.label for version in versions] == [str(n) for n in range(52, 0, -1)]


def test_an_alias_that_splits_its_traffic(here: LocalLambda) -> None:
    here.client().create_alias(
        FunctionName="greeter",
        Name="canary",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.25}},
    )
    with pytest.raises(BadRequest, match="25% to version 2, the rest to version 1"):
        resolve("lambda:greeter@canary")
    names = {each.label: each.names for each in run(ADAPTER.list_versions("lambda:greeter"))}
    assert names == {"1": ("canary", "live"), "2": ("canary",)}
    for number in ("1", "2"):
        with pytest.raises(Conflict, match="canary"):
            run(ADAPTER.retire(resolve(f"{GREETER}:{number}")))
    here.client().delete_alias(FunctionName="greeter", Name="canary")


def test_an_alias_of_the_unpublished_code(here: LocalLambda) -> None:
    here.alias("greeter", "edge", "$LATEST")
    with pytest.raises(BadRequest, match=r"points to \$LATEST"):
        resolve("lambda:greeter@edge")


def test_nothing_is_published(here: LocalLambda) -> None:
    here.publish(code("only"), name="unpublished")
    here.client().delete_function(FunctionName="unpublished", Qualifier="1")
    with pytest.raises(BadRequest, match="--publish"):
        resolve("lambda:unpublished")
    assert run(ADAPTER.list_versions("lambda:unpublished")) == []


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("lambda:nobody", "knows no function 'nobody'"),
        ("lambda:nobody@live", "knows no alias 'live' of 'nobody'"),
        ("lambda:greeter@nope", "knows no alias 'nope' of 'greeter'"),
        (f"{GREETER}:99", f"knows no version '99' of '{GREETER}'"),
        (f"{GREETER.replace('central', 'west')}:1", "Check the name, the region and the account"),
    ],
)
def test_what_lambda_does_not_know(here: LocalLambda, target: str, says: str) -> None:
    with refused(404, says):
        resolve(target)


def test_verify(here: LocalLambda) -> None:
    reference = EndpointReference(
        "aws-lambda", here.publish(code("x"), name="checked"), Evidence.GRAMMAR
    )
    known = resolve(reference.uri)
    assert run(ADAPTER.verify(known)) == []
    changed = {**known.facts, "code_sha256": "another"}
    [problem] = run(
        ADAPTER.verify(EndpointReference("aws-lambda", known.uri, Evidence.GRAMMAR, changed))
    )
    assert "code_sha256 was another at registration and is" in problem
    here.client().delete_function(FunctionName="checked", Qualifier="1")
    assert run(ADAPTER.verify(known)) == ["Lambda has no version 1 of checked (any more)"]


def test_retire_deletes_one_version_that_nothing_points_to(here: LocalLambda) -> None:
    first = resolve(here.publish(code("x"), name="dying", alias="live"))
    second = resolve(here.publish(code("y"), name="dying"))
    with pytest.raises(Conflict, match=r"alias live point.*update-alias"):
        run(ADAPTER.retire(first))
    here.alias("dying", "live", "2")
    run(ADAPTER.retire(first))
    assert [each.label for each in run(ADAPTER.list_versions("lambda:dying"))] == ["2"]
    run(ADAPTER.retire(first))  # again: no error
    latest = resolve("lambda:dying:$LATEST", dev=True)
    with pytest.raises(BadRequest, match="only a version can be deleted"):
        run(ADAPTER.retire(latest))
    assert resolve("lambda:dying").uri == second.uri


def test_publish(here: LocalLambda) -> None:
    first = here.publish(code("x"), name="deployed")
    assert run(ADAPTER.publish("lambda:deployed")).uri == first
    changed = {"ZipFile": _zip(here, "y"), "FunctionName": "deployed"}
    here.client().update_function_code(**changed)
    made = run(ADAPTER.publish("lambda:deployed", description="git:abc"))
    assert made.uri == first.removesuffix("1") + "2"
    assert made.facts["description"] == "git:abc"
    assert made.facts["published_by"] == "steadfaas"
    assert run(ADAPTER.publish("lambda:deployed:$LATEST")).uri == made.uri


@pytest.mark.parametrize("target", ["lambda:greeter@live", "lambda:greeter:1", f"{GREETER}:1"])
def test_what_is_published_is_the_newest_code(here: LocalLambda, target: str) -> None:
    with pytest.raises(BadRequest, match="the function's newest code"):
        run(ADAPTER.publish(target))


def _zip(here: LocalLambda, version: str) -> bytes:
    from steadfaas.testing.local_lambda.archive import package

    return package(code(version)).zip_file


# --- against scripted answers ------------------------------------------------------------------


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Answers of the Lambda API by script; all must have been asked for."""
    monkeypatch.setattr(control, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(control, "_LOOKS", 3)
    monkeypatch.setitem(control._WAIT, "Delay", 0)
    monkeypatch.setitem(control._WAIT, "MaxAttempts", 2)
    with aws_settings("http://127.0.0.1:1"):
        client = aws.clients()._client("eu-central-1", None)
        monkeypatch.setattr(aws.Clients, "control", lambda *_: client)
        with Stubber(client) as stubber:
            yield stubber
            stubber.assert_no_pending_responses()


def described(**fields: Any) -> dict[str, Any]:
    return {"Configuration": {"FunctionArn": ARN, "CodeSha256": "abc=", **fields}}


def test_a_version_that_may_not_be_looked_at_is_one_all_the_same(stub: Stubber) -> None:
    stub.add_client_error("get_function", "AccessDeniedException", "no", 403)
    reference = resolve(ARN)
    assert (reference.uri, reference.evidence) == (ARN, Evidence.GRAMMAR)
    assert reference.facts["unverified"].startswith("lambda:GetFunction is denied")


def test_without_an_arn_a_version_must_be_looked_at(stub: Stubber) -> None:
    stub.add_client_error("get_function", "AccessDeniedException", "no", 403)
    with refused(403, "allow lambda:GetFunction"):
        resolve("lambda:greeter:7")


def test_an_alias_that_may_not_be_looked_at(stub: Stubber) -> None:
    stub.add_client_error("get_alias", "AccessDeniedException", "no", 403)
    with refused(403, "allow lambda:GetAlias"):
        resolve("lambda:greeter@live")


def test_a_role_that_may_not_be_assumed_says_nothing_about_the_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from botocore.credentials import AssumeRoleCredentialFetcher
    from botocore.exceptions import ClientError

    def fetch(self: AssumeRoleCredentialFetcher) -> dict[str, str]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "AssumeRole")

    monkeypatch.setattr(AssumeRoleCredentialFetcher, "fetch_credentials", fetch)
    with (
        aws_settings("http://127.0.0.1:1"),
        refused(403, "the role cannot be assumed", "not you", "trust policy"),
    ):
        resolve(ARN, Access(ROLE))


def test_a_pending_version_is_waited_for(stub: Stubber) -> None:
    for state in ("Pending", "Pending", "Active"):
        stub.add_response("get_function", described(State=state))
    assert resolve(ARN).facts["code_sha256"] == "abc="


def test_a_version_that_stays_pending(stub: Stubber) -> None:
    for _ in range(4):
        stub.add_response("get_function", described(State="Pending"))
    with refused(503, "not ready yet", retryable=True):
        resolve(ARN)


@pytest.mark.parametrize("before", [[], ["Pending"]])
def test_a_failed_version(stub: Stubber, before: list[str]) -> None:
    for state in before:
        stub.add_response("get_function", described(State=state))
    stub.add_response("get_function", described(State="Failed", StateReason="no subnet"))
    with refused(400, "cannot run: no subnet"):
        resolve(ARN)


def test_what_an_idle_version_needs_is_a_call(stub: Stubber) -> None:
    stub.add_response("get_function", described(State="Inactive", StateReasonCode="Idle"))
    assert resolve(ARN).uri == ARN


def test_another_thing_that_moves_is_no_version(stub: Stubber) -> None:
    moving = {"Version": "$LATEST.PUBLISHED", "FunctionArn": f"{ARN[:-1]}$LATEST.PUBLISHED"}
    seventh = {"Version": "7", "FunctionArn": ARN, "LastModified": "no date"}
    stub.add_response("list_aliases", {"Aliases": []})
    stub.add_response("list_versions_by_function", {"Versions": [moving, seventh]})
    [version] = run(ADAPTER.list_versions("lambda:greeter"))
    assert (version.label, version.created_at) == ("7", None)


def alias(name: str, version: str, **shares: float) -> dict[str, Any]:
    routing = {"RoutingConfig": {"AdditionalVersionWeights": shares}} if shares else {}
    return {"Name": name, "FunctionVersion": version, **routing}


@pytest.mark.parametrize(
    ("aliases", "needed"),
    [
        ([], None),
        ([alias("live", "8"), alias("edge", "$LATEST")], None),
        ([alias("live", "7")], "the alias live points to; point it elsewhere first"),
        ([alias("canary", "8", **{"7": 0.25})], "the alias canary points to; point it"),
        (
            [alias("old", "7"), alias("live", "8"), alias("eu", "7")],
            "the aliases eu, old point to; point them",
        ),
    ],
)
def test_what_lambda_would_not_let_go_is_foreseen(
    stub: Stubber, aliases: list[dict[str, Any]], needed: str | None
) -> None:
    assert isinstance(ADAPTER, Foresees)
    seventh = EndpointReference("aws-lambda", ARN, Evidence.GRAMMAR)
    stub.add_response("list_aliases", {"Aliases": aliases})
    told = run(ADAPTER.needed_by(seventh))
    if needed is None:
        assert told is None
        return
    assert told is not None
    assert f"version 7 of greeter is what {needed}" in told
    stub.add_response("list_aliases", {"Aliases": aliases})
    with pytest.raises(Conflict) as refusal:
        run(ADAPTER.retire(seventh))
    assert refusal.value.message == told


def test_nothing_needs_a_version_of_a_function_that_is_gone(stub: Stubber) -> None:
    stub.add_client_error("list_aliases", "ResourceNotFoundException", "there is none", 404)
    assert run(ADAPTER.needed_by(EndpointReference("aws-lambda", ARN, Evidence.GRAMMAR))) is None


def test_what_cannot_be_foreseen_is_an_error(stub: Stubber) -> None:
    with pytest.raises(BadRequest, match="only a version can be deleted"):
        run(ADAPTER.needed_by(EndpointReference("aws-lambda", LATEST, Evidence.MUTABLE)))
    stub.add_client_error("list_aliases", "AccessDeniedException", "no", 403)
    with refused(403, "allow lambda:ListAliases"):
        run(ADAPTER.needed_by(EndpointReference("aws-lambda", ARN, Evidence.GRAMMAR)))


def test_an_alias_comes_in_between(stub: Stubber) -> None:
    stub.add_response("list_aliases", {"Aliases": []})
    stub.add_client_error("delete_function", "ResourceConflictException", "live references it", 409)
    with pytest.raises(Conflict, match="live references it"):
        run(ADAPTER.retire(EndpointReference("aws-lambda", ARN, Evidence.GRAMMAR)))


@pytest.mark.parametrize("operation", ["list_aliases", "delete_function"])
def test_what_is_gone_already_is_retired(stub: Stubber, operation: str) -> None:
    if operation == "delete_function":
        stub.add_response("list_aliases", {"Aliases": []})
    stub.add_client_error(operation, "ResourceNotFoundException", "there is none", 404)
    run(ADAPTER.retire(EndpointReference("aws-lambda", ARN, Evidence.GRAMMAR)))
    stub.assert_no_pending_responses()


def test_an_update_is_waited_for_before_publishing(stub: Stubber) -> None:
    stub.add_response("get_function", described(State="Pending"))
    stub.add_response("get_function", described(State="Active"))
    stub.add_response("get_function", described(LastUpdateStatus="InProgress"))
    stub.add_response("get_function", described(LastUpdateStatus="Successful"))
    stub.add_response("get_function_configuration", {"CodeSha256": "abc="})
    guarded = {"FunctionName": "greeter", "CodeSha256": "abc="}
    stub.add_response("publish_version", {"Version": "7"}, guarded)
    stub.add_response("get_function", described())
    assert run(ADAPTER.publish("lambda:greeter")).uri == ARN


def test_what_is_not_ready_in_time_is_not_published(stub: Stubber) -> None:
    for _ in range(2):
        stub.add_response("get_function", described(State="Pending"))
    with refused(503, "was not ready in time", retryable=True):
        run(ADAPTER.publish("lambda:greeter"))


def test_an_update_that_failed_is_not_published(stub: Stubber) -> None:
    stub.add_response("get_function", described(State="Active"))
    failed = described(LastUpdateStatus="Failed", LastUpdateStatusReason="no subnet")
    stub.add_response("get_function", failed)
    with refused(400, "cannot be published as it is: no subnet"):
        run(ADAPTER.publish("lambda:greeter"))


def test_nothing_is_published_of_no_function(stub: Stubber) -> None:
    stub.add_client_error("get_function", "ResourceNotFoundException", "none", 404)
    with refused(404, "knows no function 'greeter'"):
        run(ADAPTER.publish("lambda:greeter"))


def test_somebody_deploys_at_this_moment(stub: Stubber) -> None:
    stub.add_response("get_function", described(State="Active"))
    stub.add_response("get_function", described(LastUpdateStatus="Successful"))
    stub.add_response("get_function_configuration", {"CodeSha256": "abc="})
    stub.add_client_error("publish_version", "ResourceConflictException", "in progress", 409)
    with refused(503, "in progress", retryable=True):
        run(ADAPTER.publish("lambda:greeter"))


@pytest.mark.parametrize("name", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_keys_that_are_no_good_are_read_again(stub: Stubber, name: str) -> None:
    before = aws.clients()
    assert aws.clients() is before
    stub.add_client_error("get_function", name, "no", 403)
    with refused(403, "check the AWS credentials"):
        resolve(ARN)
    assert aws.clients() is not before


# --- an API that cannot be asked ---------------------------------------------------------------


def test_a_throttled_control_plane_is_asked_again(httpserver: Throttling) -> None:
    httpserver.throttled = 2
    assert resolve(ARN).facts["code_sha256"] == "abc="
    assert httpserver.asked == 3


def test_a_control_plane_that_stays_throttled(
    httpserver: Throttling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "_ATTEMPTS", 2)
    aws.forget()
    httpserver.throttled = 99
    with refused(503, "TooManyRequestsException", retryable=True):
        resolve(ARN)
    assert httpserver.asked == 2
    aws.forget()


def test_nobody_listens() -> None:
    with aws_settings("http://127.0.0.1:1"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws, "_ATTEMPTS", 1)
        aws.forget()
        with refused(503, "http://127.0.0.1:1", retryable=True):
            resolve(ARN)
        aws.forget()


def test_a_profile_that_there_is_not() -> None:
    with (
        aws_settings("http://127.0.0.1:1", AWS_PROFILE="nope"),
        refused(400, "cannot be used", "nope"),
    ):
        resolve(ARN)


@pytest.mark.parametrize("access", [ANYBODY, Access(ROLE)])
def test_without_credentials(monkeypatch: pytest.MonkeyPatch, access: Access) -> None:
    clear_aws(monkeypatch)
    with refused(403, "AWS_ACCESS_KEY_ID"):
        resolve(ARN, access)


def test_without_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_aws(monkeypatch)
    with pytest.raises(BadRequest, match="set AWS_REGION, or write the full ARN"):
        resolve("lambda:greeter")


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_region_by_either_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    clear_aws(monkeypatch)
    monkeypatch.setenv(name, "eu-west-3")
    assert aws.clients().region() == "eu-west-3"


def test_settings_that_change_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_aws(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
    assert aws.clients().endpoint("eu-central-1") == "http://127.0.0.1:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:2/below")
    assert aws.clients().endpoint("eu-central-1") == "http://127.0.0.1:2/below"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "lambda.eu-central-1.amazonaws.com"),
        ("cn-north-1", "lambda.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "lambda.us-gov-west-1.amazonaws.com"),
    ],
)
def test_each_partition_has_its_addresses(
    monkeypatch: pytest.MonkeyPatch, region: str, host: str
) -> None:
    clear_aws(monkeypatch)
    assert aws.clients().endpoint(region) == f"https://{host}"


def test_without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_aws(monkeypatch)
    aws.forget()
    for name in [each for each in sys.modules if each.partition(".")[0] in ("boto3", "botocore")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(RequestError, match=r"pip install 'steadfaas\[aws\]'") as raised:
        resolve(ARN)
    assert raised.value.status == 501


class Throttling:
    """A Lambda API that says 429 some times, and then what the version is."""

    def __init__(self) -> None:
        self.throttled = 0
        self.asked = 0

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.asked += 1
        if self.asked <= self.throttled:
            start_response("429 x", [("x-amzn-ErrorType", "TooManyRequestsException")])
            return [b'{"message": "Rate exceeded"}']
        start_response("200 OK", [("content-type", "application/json")])
        return [json.dumps(described(State="Active")).encode()]


@pytest.fixture
def httpserver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Throttling]:
    import threading
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    api = Throttling()
    with make_server("127.0.0.1", 0, api, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with aws_settings(f"http://127.0.0.1:{server.server_port}"):
            yield api
        server.shutdown()
        thread.join()
