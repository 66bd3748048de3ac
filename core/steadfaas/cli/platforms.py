"""What the command line asks a platform itself, with the credentials of whoever runs it.

The engine reads from platforms when something is registered. What changes something there (publish,
retire) is done from here: nobody who only reaches the admin API can do that.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from steadfaas.cli.exits import CommandError, ExitCode, exit_code_of

if TYPE_CHECKING:
    from steadfaas.deployments.adapters import Adapters
    from steadfaas.spi import Access, Adapter, EndpointReference, Promise, Versioned

_T = TypeVar("_T")


def access(assume_role_arn: str | None) -> Access:
    """How to reach the platform."""
    from steadfaas.spi import Access

    return Access(assume_role_arn)


def promise(body: Mapping[str, object]) -> Promise:
    """What a registration vouches for."""
    from steadfaas.spi import Promise

    if "dev" in body:
        return Promise.DEV
    return Promise.IMMUTABLE if "assert_immutable" in body else Promise.NONE


def resolve(target: str, access: Access, promise: Promise) -> EndpointReference:
    """The version that a target means now. Raises CommandError."""
    return run(adapter_of(target).resolve(target, access, promise=promise))


def publish(target: str, access: Access, description: str) -> EndpointReference:
    """Make a version of what is deployed. Raises CommandError."""
    from steadfaas.spi import Publishes

    adapter = adapter_of(target)
    if not isinstance(adapter, Publishes):
        raise CommandError(
            f"{adapter.name} targets are not published by a command: what is deployed is a version"
            " already. Leave --publish out.",
            ExitCode.USAGE,
        )
    return run(adapter.publish(target, access, description=description))


def versioned(adapter: Adapter) -> Versioned:
    """The adapter, which looks after versions. Raises CommandError if it does not."""
    from steadfaas.spi import Versioned

    if not isinstance(adapter, Versioned):
        raise CommandError(
            f"{adapter.name} knows nothing about versions on their platform: there is none behind"
            " such addresses that could be asked.",
            ExitCode.REFUSED,
        )
    return adapter


def adapter_of(target: str) -> Adapter:
    """The adapter whose words a target is written in. Raises CommandError."""
    from steadfaas.errors import RequestError

    try:
        return installed().for_target(target)
    except RequestError as error:
        raise CommandError(f"{error.message}.", ExitCode.USAGE) from error


def installed() -> Adapters:
    """All adapters."""
    from steadfaas.deployments.adapters import Adapters

    return Adapters()


def run(question: Coroutine[Any, Any, _T]) -> _T:
    """Ask a platform. Raises CommandError: what it refused, with the exit code for that."""
    import asyncio

    from steadfaas.errors import BadRequest, SteadfaasError

    try:
        return asyncio.run(question)
    except SteadfaasError as error:
        sentence = str(error).rstrip(".") + "."
        code = ExitCode.USAGE if isinstance(error, BadRequest) else exit_code_of(error)
        raise CommandError(sentence, code, code=error.code) from error
