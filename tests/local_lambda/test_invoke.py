"""Invocations of real processes under AWS's own runtime client."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from steadfaas.testing import LocalLambda
from tests.local_lambda.handlers import ECHO, doing, saying

pytestmark = pytest.mark.e2e

Publish = Callable[..., str]


def invoke(lam: LocalLambda, function: str, event: Any = None, **words: Any) -> dict[str, Any]:
    """boto3's answer, with the payload decoded."""
    payload = json.dumps(event).encode()
    answer = dict(lam.client().invoke(FunctionName=function, Payload=payload, **words))
    body = answer["Payload"].read()
    return {**answer, "Payload": json.loads(body) if body else None}


def result(lam: LocalLambda, function: str, event: Any = None) -> Any:
    """What a function returns; it must not fail."""
    answer = invoke(lam, function, event)
    assert "FunctionError" not in answer, answer
    return answer["Payload"]


def function_error(lam: LocalLambda, function: str, event: Any = None) -> dict[str, Any]:
    """What a function that fails leaves."""
    answer = invoke(lam, function, event)
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    return dict(answer["Payload"])


def test_each_version_runs_its_own_code(local_lambda: LocalLambda, publish: Publish) -> None:
    first = publish(saying("one"), name="greeter", alias="live")
    second = publish(saying("two"), name="greeter")
    publish(saying("three"), name="greeter")
    local_lambda.client().delete_function(FunctionName="greeter", Qualifier="3")
    partial = "123456789012:function:greeter:1"
    for function, word, version in (
        (first, "one", "1"),
        (second, "two", "2"),
        ("greeter:1", "one", "1"),
        (partial, "one", "1"),
        ("greeter:live", "one", "1"),
        ("greeter", "three", "$LATEST"),
        ("greeter:$LATEST", "three", "$LATEST"),
    ):
        answer = invoke(local_lambda, function)
        assert (answer["Payload"], answer["ExecutedVersion"]) == (word, version), function
    local_lambda.alias("greeter", "live", second)
    assert result(local_lambda, "greeter:live") == "two"


def test_latest_is_what_was_written_last(local_lambda: LocalLambda, publish: Publish) -> None:
    first = publish(saying("one"), name="greeter")
    assert result(local_lambda, "greeter") == "one"
    publish(saying("two"), name="greeter")
    assert [result(local_lambda, "greeter"), result(local_lambda, first)] == ["two", "one"]


def test_a_weighted_alias_runs_both(local_lambda: LocalLambda, publish: Publish) -> None:
    publish(saying("one"), name="greeter")
    publish(saying("two"), name="greeter", alias="live")
    local_lambda.client().update_alias(
        FunctionName="greeter",
        Name="live",
        RoutingConfig={"AdditionalVersionWeights": {"1": 1.0}},
    )
    answer = invoke(local_lambda, "greeter:live")
    assert (answer["Payload"], answer["ExecutedVersion"]) == ("one", "1")


def test_processes_are_reused_one_event_at_a_time(
    local_lambda: LocalLambda, publish: Publish
) -> None:
    version = publish(doing("return os.getpid()"))
    assert len({result(local_lambda, version) for _ in range(5)}) == 1
    other = publish(doing("return -os.getpid()"))
    assert result(local_lambda, other) != -result(local_lambda, version)


def test_what_a_handler_sees(
    local_lambda: LocalLambda, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", "x")
    seeing = doing("return [dict(os.environ), vars(context), os.getcwd()]")
    seeing["app.py"] = seeing["app.py"].replace("vars(context)", "context.memory_limit_in_mb")
    first = publish(seeing, name="seer", environment={"WORD": "one"}, memory=512)
    second = publish(seeing, name="seer", environment={"OTHER": "two"})
    variables, memory, folder = result(local_lambda, first)
    assert (variables["WORD"], memory) == ("one", "512")
    assert variables["LAMBDA_TASK_ROOT"] == folder
    expected = {
        "AWS_LAMBDA_FUNCTION_NAME": "seer",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_REGION": "eu-central-1",
        "_HANDLER": "app.handler",
    }
    assert {name: variables[name] for name in expected} == expected
    assert variables["AWS_EXECUTION_ENV"].startswith("AWS_Lambda_python3")
    assert "SECRET_OF_THE_TEST" not in variables
    assert "HOME" not in variables
    assert "WORD" not in result(local_lambda, second)[0]


def test_the_function_is_named_as_it_was_called(
    local_lambda: LocalLambda, publish: Publish
) -> None:
    first = publish(doing("return context.invoked_function_arn"), name="seer", alias="live")
    live = first.removesuffix(":1") + ":live"
    assert [result(local_lambda, arn) for arn in (first, live)] == [first, live]


def test_an_exception_is_a_function_error_and_not_the_end(
    local_lambda: LocalLambda, publish: Publish
) -> None:
    version = publish(doing("if event: raise KeyError(event)", "return os.getpid()"))
    process = result(local_lambda, version)
    error = function_error(local_lambda, version, "x")
    assert (error["errorType"], error["errorMessage"]) == ("KeyError", "'x'")
    assert "app.py" in error["stackTrace"][0]
    assert result(local_lambda, version) == process


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        ({"app.py": "import nowhere"}, "Runtime.ImportModuleError", "No module named 'nowhere'"),
        ({"app.py": "def handler(:"}, "Runtime.UserCodeSyntaxError", "invalid syntax"),
        ({"app.py": "x = 1"}, "Runtime.HandlerNotFound", "'handler' missing on module 'app'"),
        ({"app.py": "1 / 0"}, "ZeroDivisionError", "division by zero"),
        ({"app.py": "import os; os._exit(3)"}, "Runtime.ExitError", "exit status 3"),
    ],
)
def test_an_error_on_initialisation(
    local_lambda: LocalLambda, publish: Publish, files: dict[str, str], kind: str, message: str
) -> None:
    version = publish(files)
    for _ in range(2):
        error = function_error(local_lambda, version)
        assert error["errorType"] == kind
        assert message in error["errorMessage"]


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ("os._exit(7)", "exit status 7"),
        ("os._exit(0)", "without providing a reason"),
        ("os.kill(os.getpid(), 9)", "signal: killed"),
    ],
)
def test_a_crash_is_a_function_error_and_the_next_starts_cold(
    local_lambda: LocalLambda, publish: Publish, line: str, how: str
) -> None:
    version = publish(doing(f"if event: {line}", "return os.getpid()"))
    process = result(local_lambda, version)
    error = function_error(local_lambda, version, "now")
    assert error["errorType"] == "Runtime.ExitError"
    assert how in error["errorMessage"]
    assert result(local_lambda, version) != process


def test_processes_can_be_crashed(local_lambda: LocalLambda, publish: Publish) -> None:
    version = publish(doing("return os.getpid()"))
    process = result(local_lambda, version)
    assert local_lambda.crash(version) == 1
    assert result(local_lambda, version) != process


def test_too_long_is_a_function_error_and_the_end_of_the_process(
    local_lambda: LocalLambda, publish: Publish
) -> None:
    version = publish(doing("if event: time.sleep(600)", "return os.getpid()"), timeout=1)
    process = result(local_lambda, version)
    error = function_error(local_lambda, version, "now")
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert result(local_lambda, version) != process
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_response_of_more_than_six_megabytes(local_lambda: LocalLambda, publish: Publish) -> None:
    version = publish(doing("return 'x' * event"))
    assert len(result(local_lambda, version, 6_291_554)) == 6_291_554
    error = function_error(local_lambda, version, 6_291_555)
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    assert result(local_lambda, version, 1) == "x"


def test_a_request_of_more_than_six_megabytes(local_lambda: LocalLambda, publish: Publish) -> None:
    version = publish(doing("return len(event)"))
    fits = "x" * 6_291_454
    assert result(local_lambda, version, fits) == len(fits)
    with pytest.raises(local_lambda.client().exceptions.ClientError) as caught:
        invoke(local_lambda, version, fits + "x")
    assert caught.value.response["Error"]["Code"] == "RequestEntityTooLargeException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_a_request_that_is_no_json(local_lambda: LocalLambda, publish: Publish) -> None:
    version = publish({"app.py": ECHO})
    functions = local_lambda.client()
    with pytest.raises(functions.exceptions.InvalidRequestContentException):
        functions.invoke(FunctionName=version, Payload=b"{")
    assert json.loads(functions.invoke(FunctionName=version)["Payload"].read()) == {}


WAITING = doing(
    "open(event['begun'] + str(os.getpid()), 'w').close()",
    "while not os.path.exists(event['go']): time.sleep(0.005)",
    "return 'went'",
)


class Gate:
    """Holds handlers of `WAITING` until it is opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.event = {"begun": f"{folder}/begun-", "go": f"{folder}/go"}

    def wait_for(self, count: int) -> None:
        """Return when so many have begun."""
        while len(list(self._folder.glob("begun-*"))) < count:
            threading.Event().wait(0.005)

    def open(self) -> None:
        """Let them go on."""
        (self._folder / "go").touch()


def test_a_limit_on_concurrency_throttles(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with LocalLambda(account="111111111111", max_concurrency=2) as lam:
        version = lam.publish(WAITING)
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(result, lam, version, gate.event) for _ in range(2)]
            gate.wait_for(2)
            throttle = lam.client().exceptions.TooManyRequestsException
            with pytest.raises(throttle) as caught:
                invoke(lam, version, gate.event)
            assert caught.value.response["Reason"] == "ConcurrentInvocationLimitExceeded"
            assert int(caught.value.response["retryAfterSeconds"]) >= 1
            gate.open()
            assert [each.result() for each in running] == ["went", "went"]
        assert result(lam, version, gate.event) == "went"


def test_reserved_concurrency_is_for_all_versions(
    local_lambda: LocalLambda, publish: Publish, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    functions = local_lambda.client()
    first = publish(WAITING, name="waiter")
    second = publish(WAITING, name="waiter", memory=256)
    functions.put_function_concurrency(FunctionName="waiter", ReservedConcurrentExecutions=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(result, local_lambda, first, gate.event)
        gate.wait_for(1)
        with pytest.raises(functions.exceptions.TooManyRequestsException) as caught:
            invoke(local_lambda, second, gate.event)
        reason = caught.value.response["Reason"]
        assert reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
        functions.delete_function_concurrency(FunctionName="waiter")
        gate.open()
        assert result(local_lambda, second, gate.event) == "went"
        assert running.result() == "went"


def test_an_asynchronous_invocation_runs_later(
    local_lambda: LocalLambda, publish: Publish, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    version = publish(WAITING, name="waiter")
    functions = local_lambda.client()
    functions.put_function_concurrency(FunctionName="waiter", ReservedConcurrentExecutions=1)
    for _ in range(2):
        answer = invoke(local_lambda, version, gate.event, InvocationType="Event")
        assert (answer["StatusCode"], answer["Payload"]) == (202, None)
    gate.wait_for(1)
    functions.delete_function_concurrency(FunctionName="waiter")
    gate.wait_for(2)
    gate.open()


def test_a_dry_run_runs_nothing(local_lambda: LocalLambda, publish: Publish) -> None:
    version = publish({"app.py": ECHO})
    assert invoke(local_lambda, version, InvocationType="DryRun")["StatusCode"] == 204
    assert local_lambda.logs(version) == ""


def test_logs_belong_to_a_version(local_lambda: LocalLambda, publish: Publish) -> None:
    first = publish({"app.py": ECHO}, name="echo")
    second = publish({"app.py": ECHO}, name="echo", memory=256)
    invoke(local_lambda, first, "early")
    tail = invoke(local_lambda, first, "late", LogType="Tail")["LogResult"]
    assert base64.b64decode(tail).decode() == "echoes late\n"
    assert "LogResult" not in invoke(local_lambda, second, "other")
    assert local_lambda.logs(first) == "echoes early\nechoes late\n"
    assert local_lambda.logs(second) == "echoes other\n"


def test_a_deleted_version_runs_no_more(local_lambda: LocalLambda, publish: Publish) -> None:
    version = publish(doing("return os.getpid()"), name="greeter")
    process = result(local_lambda, version)
    local_lambda.client().delete_function(FunctionName=version)
    with pytest.raises(local_lambda.client().exceptions.ResourceNotFoundException):
        invoke(local_lambda, version)
    local_lambda.reset()  # waits for what is ending
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_code_of_every_kind_can_be_published(
    local_lambda: LocalLambda, publish: Publish, tmp_path: Path
) -> None:
    from tests.local_lambda import sample_handler

    folder = tmp_path / "shop"
    (folder / "parts").mkdir(parents=True)
    (folder / "app.py").write_text("from parts.word import handler")
    (folder / "parts/word.py").write_text("def handler(event, context): return 'folder'")
    (folder / "parts/__pycache__").mkdir()
    (folder / "parts/__pycache__/word.pyc").write_bytes(os.urandom(8))
    single = tmp_path / "single.py"
    single.write_text("def handler(event, context): return 'file'")
    for code, name, word in (
        (folder, "shop", "folder"),
        (str(single), "single", "file"),
        (sample_handler, "sample_handler", "module"),
    ):
        version = publish(code)
        assert f":{name}:" in version
        assert result(local_lambda, version) == word
        assert publish(code) == version
    with pytest.raises(ValueError, match="neither a directory nor a file"):
        publish(tmp_path / "none")


def test_installed_packages_can_be_kept_away() -> None:
    code = {"app.py": "def handler(event, context):\n    import restate\n    return 'found'\n"}
    with LocalLambda(account="111111111111", installed_packages=False) as lam:
        assert function_error(lam, lam.publish(code))["errorType"] == "ModuleNotFoundError"
        assert result(lam, lam.publish(saying("alone"))) == "alone"


def test_the_official_sdk_answers_discovery(local_lambda: LocalLambda, publish: Publish) -> None:
    service = """
import restate
greeter = restate.Service("Greeter")
@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    return name
handler = restate.app([greeter])
"""
    answer = result(
        local_lambda,
        publish({"app.py": service}),
        {
            "path": "/discover",
            "httpMethod": "GET",
            "headers": {"accept": "application/vnd.restate.endpointmanifest.v3+json"},
            "body": "",
            "isBase64Encoded": True,
        },
    )
    assert answer["statusCode"] == 200
    manifest = json.loads(base64.b64decode(answer["body"]))
    assert [each["name"] for each in manifest["services"]] == ["Greeter"]


def test_a_package_that_is_no_zip(local_lambda: LocalLambda) -> None:
    functions = local_lambda.client()
    functions.create_function(
        FunctionName="broken",
        Role=local_lambda.role,
        Runtime="python3.12",
        Handler="app.handler",
        Code={"ZipFile": b"no zip"},
    )
    with pytest.raises(functions.exceptions.InvalidZipFileException):
        invoke(local_lambda, "broken")


def test_versions_published_at_once_hold_the_code_they_were_given(
    local_lambda: LocalLambda, publish: Publish
) -> None:
    words = [f"word {number}" for number in range(6)]
    with ThreadPoolExecutor(3) as pool:
        versions = list(pool.map(lambda word: publish(saying(word), name="greeter"), words))
    assert len(set(versions)) == 6
    assert [result(local_lambda, version) for version in versions] == words


def test_an_event_that_waits_is_dropped_with_its_function(
    local_lambda: LocalLambda, publish: Publish, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    functions = local_lambda.client()
    version = publish(WAITING, name="waiter")
    functions.put_function_concurrency(FunctionName="waiter", ReservedConcurrentExecutions=0)
    invoke(local_lambda, version, gate.event, InvocationType="Event")
    functions.delete_function(FunctionName="waiter")
    assert result(local_lambda, publish(saying("there"), name="greeter")) == "there"
    assert list(tmp_path.iterdir()) == []
