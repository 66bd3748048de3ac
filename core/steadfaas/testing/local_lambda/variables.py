"""Environment variables: those of a handler's process, and those of a client.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, reserved variables.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from steadfaas.testing.local_lambda.functions import FunctionVersion
from steadfaas.testing.local_lambda.names import Place

# Programs and libraries of this machine, without which an interpreter may not start.
_INHERITED: Final = ("PATH", "LD_LIBRARY_PATH")


def of_clients(place: Place, endpoint_url: str) -> dict[str, str]:
    """What leads AWS's clients to a local Lambda. The credentials are made up and not checked."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ENDPOINT_URL_LAMBDA": endpoint_url,
        "AWS_ACCESS_KEY_ID": "local-lambda",
        "AWS_SECRET_ACCESS_KEY": "local-lambda",
        "AWS_REGION": place.region,
        "AWS_DEFAULT_REGION": place.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        # It is on this machine: no proxy on the way.
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1"))),
    }


def of_handlers(
    version: FunctionVersion, task_root: Path, place: Place, endpoint_url: str, log_stream: str
) -> dict[str, str]:
    """What a process of a version finds: nothing of ours, and its function's own variables.

    A client of AWS in a handler comes back to the local Lambda.
    """
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {
        **inherited,
        **of_clients(place, endpoint_url),
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": str(task_root),
        "_HANDLER": version.handler,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": version.name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{version.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        **dict(version.variables),
    }
