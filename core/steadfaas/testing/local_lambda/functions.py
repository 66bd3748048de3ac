"""What a version of a function is to the part that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moto.awslambda.models import LambdaFunction


@dataclass(frozen=True, slots=True)
class FunctionVersion:
    """All that decides how a version runs. Equal ones may share execution environments.

    `timeout` is in seconds, `memory` in MB.
    """

    arn: str
    name: str
    version: str
    code_sha256: str
    handler: str
    runtime: str
    timeout: int
    memory: int
    variables: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, function: LambdaFunction) -> FunctionVersion:
        """A version, or $LATEST, as it is now."""
        version = str(function.version)
        base = ":".join(function.function_arn.split(":")[:7])
        return cls(
            arn=f"{base}:{version}",
            name=function.function_name,
            version=version,
            code_sha256=function.code_sha_256,
            handler=str(function.handler),
            runtime=str(function.run_time),
            timeout=int(function.timeout),
            memory=int(function.memory_size),
            variables=tuple(sorted(function.environment_vars.items())),
        )
