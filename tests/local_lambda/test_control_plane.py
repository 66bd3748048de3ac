"""What moto gets wrong and AWS does otherwise, by real boto3 calls."""

from __future__ import annotations

import base64
import hashlib
import io
import urllib.request
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steadfaas.testing import LocalLambda
from tests.local_lambda.handlers import saying


def refusal(call: Any, **words: Any) -> tuple[int, str, str]:
    """Status, name and sentence with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**words)
    answer: Any = caught.value.response
    error = answer["Error"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def versions_of(lam: LocalLambda, name: str) -> list[str]:
    listed = lam.client().list_versions_by_function(FunctionName=name)["Versions"]
    return [version["Version"] for version in listed]


@pytest.mark.parametrize(
    "operation",
    [
        *("get_function", "get_function_configuration", "list_versions_by_function", "invoke"),
        *("publish_version", "list_aliases", "delete_function"),
    ],
)
def test_a_missing_function_is_not_found(local_lambda: LocalLambda, operation: str) -> None:
    functions = local_lambda.client()
    with pytest.raises(functions.exceptions.ResourceNotFoundException, match="function:none"):
        getattr(functions, operation)(FunctionName="none")


@pytest.mark.parametrize("operation", ["get_function", "invoke"])
@pytest.mark.parametrize("qualifier", ["9", "live"])
def test_a_missing_version_is_not_found(
    local_lambda: LocalLambda, operation: str, qualifier: str
) -> None:
    local_lambda.publish(saying("one"), name="greeter")
    functions = local_lambda.client()
    with pytest.raises(functions.exceptions.ResourceNotFoundException, match=qualifier):
        getattr(functions, operation)(FunctionName="greeter", Qualifier=qualifier)


def test_the_same_code_is_the_same_version(local_lambda: LocalLambda) -> None:
    first = local_lambda.publish(saying("one"), name="greeter", description="first")
    assert local_lambda.publish(saying("one"), name="greeter") == first
    assert local_lambda.publish(saying("one"), name="greeter", timeout=4) != first
    assert versions_of(local_lambda, "greeter") == ["$LATEST", "1", "2"]
    described = local_lambda.client().get_function_configuration(FunctionName=first)
    assert described["Description"] == "first"


def test_numbers_are_not_used_again(local_lambda: LocalLambda) -> None:
    functions = local_lambda.client()
    for word in ("one", "two", "three"):
        newest = local_lambda.publish(saying(word), name="greeter")
    functions.delete_function(FunctionName=newest)
    assert local_lambda.publish(saying("four"), name="greeter").endswith(":4")
    functions.delete_function(FunctionName="greeter", Qualifier="1")
    assert local_lambda.publish(saying("five"), name="greeter").endswith(":5")
    assert versions_of(local_lambda, "greeter") == ["$LATEST", "2", "4", "5"]

    functions.delete_function(FunctionName="greeter")
    assert local_lambda.publish(saying("one"), name="greeter").endswith(":6")
    assert versions_of(local_lambda, "greeter") == ["$LATEST", "6"]


def test_reset_forgets_functions_and_numbers(local_lambda: LocalLambda) -> None:
    local_lambda.publish(saying("one"), name="greeter")
    local_lambda.publish(saying("two"), name="greeter")
    local_lambda.reset()
    assert local_lambda.client().list_functions()["Functions"] == []
    assert local_lambda.publish(saying("three"), name="greeter").endswith(":1")


def test_an_alias_of_digits_is_refused(local_lambda: LocalLambda) -> None:
    local_lambda.publish(saying("one"), name="greeter")
    status, name, sentence = refusal(
        local_lambda.client().create_alias, FunctionName="greeter", Name="12", FunctionVersion="1"
    )
    assert (status, name) == (400, "ValidationException")
    assert "'12'" in sentence


def test_an_aliased_version_is_not_deleted(local_lambda: LocalLambda) -> None:
    functions = local_lambda.client()
    first = local_lambda.publish(saying("one"), name="greeter", alias="live")
    local_lambda.publish(saying("two"), name="greeter")
    with pytest.raises(functions.exceptions.ResourceConflictException, match=r"\[live\]"):
        functions.delete_function(FunctionName="greeter", Qualifier="1")
    local_lambda.alias("greeter", "live", 2)
    functions.update_alias(
        FunctionName="greeter",
        Name="live",
        RoutingConfig={"AdditionalVersionWeights": {"1": 0.1}},
    )
    with pytest.raises(functions.exceptions.ResourceConflictException, match="reference it"):
        functions.delete_function(FunctionName=first)
    functions.delete_alias(FunctionName="greeter", Name="live")
    functions.delete_function(FunctionName=first)
    assert versions_of(local_lambda, "greeter") == ["$LATEST", "2"]


def test_latest_is_not_deleted_alone(local_lambda: LocalLambda) -> None:
    local_lambda.publish(saying("one"), name="greeter")
    functions = local_lambda.client()
    with pytest.raises(functions.exceptions.InvalidParameterValueException, match="LATEST"):
        functions.delete_function(FunctionName="greeter", Qualifier="$LATEST")


def test_other_code_than_expected_is_not_published(local_lambda: LocalLambda) -> None:
    first = local_lambda.publish(saying("one"), name="greeter")
    functions = local_lambda.client()
    with pytest.raises(functions.exceptions.InvalidParameterValueException, match="different"):
        functions.publish_version(FunctionName="greeter", CodeSha256="wrong")
    right = functions.get_function_configuration(FunctionName="greeter")["CodeSha256"]
    published = functions.publish_version(FunctionName="greeter", CodeSha256=right)
    assert published["FunctionArn"] == first


def test_a_published_version_is_not_changed(local_lambda: LocalLambda) -> None:
    first = local_lambda.publish(saying("one"), name="greeter")
    functions = local_lambda.client()
    for call, words in (
        (functions.update_function_configuration, {"Timeout": 9}),
        (functions.update_function_code, {"ZipFile": b"other"}),
    ):
        with pytest.raises(functions.exceptions.InvalidParameterValueException, match="published"):
            call(FunctionName=first, **words)
    assert functions.get_function_configuration(FunctionName=first)["Timeout"] == 30


def test_a_stale_revision_is_refused(local_lambda: LocalLambda) -> None:
    functions = local_lambda.client()
    stale = functions.exceptions.PreconditionFailedException
    local_lambda.publish(saying("one"), name="greeter", alias="live")
    old = functions.get_function_configuration(FunctionName="greeter")["RevisionId"]
    local_lambda.publish(saying("two"), name="greeter")
    with pytest.raises(stale):
        functions.publish_version(FunctionName="greeter", RevisionId=old)
    with pytest.raises(stale):
        functions.update_function_configuration(FunctionName="greeter", RevisionId=old, Timeout=9)
    new = functions.get_function_configuration(FunctionName="greeter")["RevisionId"]
    functions.update_function_configuration(FunctionName="greeter", RevisionId=new, Timeout=9)

    old = functions.get_alias(FunctionName="greeter", Name="live")["RevisionId"]
    local_lambda.alias("greeter", "live", 2)
    with pytest.raises(stale):
        functions.update_alias(
            FunctionName="greeter", Name="live", FunctionVersion="1", RevisionId=old
        )


def test_lists_come_in_pages_of_fifty(local_lambda: LocalLambda) -> None:
    functions = local_lambda.client()
    local_lambda.publish(saying("one"), name="greeter")
    for number in range(52):
        functions.update_function_configuration(FunctionName="greeter", Description=str(number))
        functions.publish_version(FunctionName="greeter")
    first = functions.list_versions_by_function(FunctionName="greeter", MaxItems=1000)
    assert len(first["Versions"]) == 50
    second = functions.list_versions_by_function(FunctionName="greeter", Marker=first["NextMarker"])
    assert "NextMarker" not in second
    numbers = [each["Version"] for each in first["Versions"] + second["Versions"]]
    assert numbers == ["$LATEST", *map(str, range(1, 54))]
    few = functions.list_versions_by_function(FunctionName="greeter", MaxItems=2)
    assert [each["Version"] for each in few["Versions"]] == ["$LATEST", "1"]


def test_the_package_of_each_version_can_be_fetched(local_lambda: LocalLambda) -> None:
    words = {local_lambda.publish(saying(word), name="greeter"): word for word in ("one", "two")}
    for arn, word in words.items():
        found = local_lambda.client().get_function(FunctionName=arn)
        with urllib.request.urlopen(found["Code"]["Location"], timeout=5) as answer:
            packed = answer.read()
        digest = base64.b64encode(hashlib.sha256(packed).digest()).decode()
        assert digest == found["Configuration"]["CodeSha256"]
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            assert word in archive.read("app.py").decode()


def test_the_hash_of_the_configuration_is_there(local_lambda: LocalLambda) -> None:
    def hashes(arn: str) -> tuple[str, str]:
        found = local_lambda.client().get_function(FunctionName=arn)["Configuration"]
        return found["ConfigSha256"], found["CodeSha256"]

    first = hashes(local_lambda.publish(saying("one"), name="greeter"))
    other_code = hashes(local_lambda.publish(saying("two"), name="greeter"))
    other_config = hashes(local_lambda.publish(saying("two"), name="greeter", memory=256))
    assert first[0] == other_code[0] != other_config[0]
    assert first[1] != other_code[1] == other_config[1]


def test_a_version_made_on_creation_is_named_by_its_arn(local_lambda: LocalLambda) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "")
    created = local_lambda.client().create_function(
        FunctionName="greeter",
        Role=local_lambda.role,
        Runtime="python3.12",
        Handler="app.handler",
        Code={"ZipFile": packed.getvalue()},
        Publish=True,
    )
    assert (created["Version"], created["FunctionArn"][-10:]) == ("1", ":greeter:1")


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("arn:aws:lambda:us-east-1:123456789012:function:greeter:1", 404, "ResourceNotFound"),
        ("arn:aws:lambda:eu-central-1:999999999999:function:greeter:1", 403, "AccessDenied"),
        ("not a name", 400, "Validation"),
    ],
)
def test_what_is_elsewhere_is_refused(
    local_lambda: LocalLambda, name: str, status: int, error: str
) -> None:
    local_lambda.publish(saying("one"), name="greeter")
    for call in (local_lambda.client().invoke, local_lambda.client().get_function):
        found = refusal(call, FunctionName=name)
        assert (found[0], found[1]) == (status, f"{error}Exception")


def test_contradicting_qualifiers_are_refused(local_lambda: LocalLambda) -> None:
    first = local_lambda.publish(saying("one"), name="greeter")
    found = refusal(local_lambda.client().invoke, FunctionName=first, Qualifier="2")
    assert (found[0], found[1]) == (400, "InvalidParameterValueException")


def test_what_is_not_offered_says_so(local_lambda: LocalLambda) -> None:
    local_lambda.publish(saying("one"), name="greeter")
    status, name, sentence = refusal(
        local_lambda.client().put_provisioned_concurrency_config,
        FunctionName="greeter",
        Qualifier="1",
        ProvisionedConcurrentExecutions=1,
    )
    assert (status, name) == (501, "NotImplementedException")
    assert "does not offer PUT" in sentence


def test_other_services_answer_for_the_same_account(local_lambda: LocalLambda) -> None:
    assert local_lambda.client("sts").get_caller_identity()["Account"] == "123456789012"
    tokens = local_lambda.client("sts").assume_role(
        RoleArn=local_lambda.role, RoleSessionName="test"
    )
    assert tokens["Credentials"]["AccessKeyId"]
