"""`steadfaas local-lambda`: Lambda on this machine, in the foreground."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from steadfaas.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from steadfaas.testing.local_lambda import LocalLambda, Report


def local_lambda(
    port: Annotated[
        int, typer.Option(metavar="N", help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 3001,
    region: Annotated[
        str, typer.Option(metavar="REGION", help="The region that its ARNs name.")
    ] = "eu-central-1",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of text.")
    ] = False,
) -> None:
    """Run Lambda on this machine, without an account, until interrupted. Nothing is kept.

    Prints the environment variables that lead AWS's tools, the engine and others to it, and a line
    for each invocation. Needs Linux and the extra `testing`.

    Example: steadfaas local-lambda --port 3001
    """
    # Loaded here: it is the one part of the test kit that is also a command.
    from steadfaas.testing.local_lambda import LocalLambda, NotUsable

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    tell = _tell_json if as_json else _tell
    try:
        with LocalLambda(region, port=port, watch=tell) as running:
            typer.echo(_json_start(running) if as_json else _start(running))
            ended.wait()
    except NotUsable as error:
        raise CommandError(str(error), ExitCode.REFUSED) from error
    except OSError as error:
        raise CommandError(
            f"Cannot listen on 127.0.0.1:{port}: {error.strerror or error}. Choose another port"
            " with --port N.",
            ExitCode.REFUSED,
        ) from error


def _start(running: LocalLambda) -> str:
    lines = [f"export {name}={shlex.quote(value)}" for name, value in running.env().items()]
    return "\n".join(
        (
            f"# Lambda at {running.endpoint_url}; a role for functions: {running.role}",
            "# In the shell of whoever is to use it:",
            *lines,
        )
    )


def _json_start(running: LocalLambda) -> str:
    return json.dumps(
        {"endpoint_url": running.endpoint_url, "role": running.role, "env": running.env()}
    )


def _tell(report: Report) -> None:
    function = report.version_arn.partition(":function:")[2]
    cold = " · cold start" if report.cold_start else ""
    failed = "" if report.error is None else f" · failed: {report.error}"
    _line(f"{function} · {report.milliseconds:.1f} ms{cold}{failed}")


def _tell_json(report: Report) -> None:
    _line(
        json.dumps(
            {
                "version_arn": report.version_arn,
                "request_id": report.request_id,
                "cold_start": report.cold_start,
                "milliseconds": round(report.milliseconds, 3),
                "error": report.error,
            }
        )
    )


def _line(text: str) -> None:
    # Whoever reads may leave: functions run on.
    with contextlib.suppress(BrokenPipeError):
        typer.echo(text)
