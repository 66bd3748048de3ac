"""What the command line asks a platform itself, with the credentials of whoever runs it.

The engine reads from platforms when something is registered. What changes something there (publish,
retire) is done from here: nobody who only reaches the admin API can do that.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
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


def resolve(
    target: str, access: Access, promise: Promise, *, adapter: str | None = None
) -> EndpointReference:
    """The version that a target means now. Raises CommandError, also for an address whose code may
    change unless that was promised not to matter."""
    from steadfaas.spi import Evidence, Promise

    reader = adapter_of(target) if adapter is None else adapter_named(adapter)
    found = run(reader.resolve(target, access, promise=promise))
    if found.evidence is Evidence.MUTABLE and promise is not Promise.DEV:
        raise CommandError(
            f"{target} may lead to another version later; use an address that always leads to the"
            " same one.",
            ExitCode.USAGE,
        )
    return found


def protection(uri: str, secrets: Sequence[str]) -> dict[str, str]:
    """The headers in which the platform of an address takes these secrets. Raises CommandError."""
    from steadfaas.errors import BadRequest
    from steadfaas.spi import Protects

    adapter = adapter_of(uri)
    if not isinstance(adapter, Protects):
        raise CommandError(
            f"{adapter.name} knows no protection of endpoints; name the headers themselves.",
            ExitCode.USAGE,
        )
    try:
        return dict(adapter.protect(secrets))
    except BadRequest as error:
        raise CommandError(f"{error.message}.", ExitCode.USAGE) from error


def looked_up(references: Mapping[str, str]) -> dict[str, str]:
    """Headers whose values are secrets, with what stands there on this machine. Raises CommandError
    where one is missing."""
    from steadfaas.deployments.secrets import looked_up
    from steadfaas.errors import AttemptFailure

    try:
        return looked_up(tuple(references.items()), here="on this machine")
    except AttemptFailure as failure:
        raise CommandError(f"{failure.message}.", ExitCode.REFUSED, code=failure.code) from failure


def keeps(deployment: Mapping[str, Any]) -> bool:
    """Whether nobody can ask the platform of a deployment to remove its version."""
    from steadfaas.spi import Versioned

    return not isinstance(recorded(deployment)[0], Versioned)


def goes_with(deployment: Mapping[str, Any], uri: str) -> bool:
    """Whether what is at another address goes, if a deployment's platform removes its version."""
    from steadfaas.spi import Mounts

    adapter, reference, _ = recorded(deployment)
    if isinstance(adapter, Mounts):
        return adapter.version_at(uri) == adapter.version_at(reference.uri)
    return uri == reference.uri


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


def recorded(deployment: Mapping[str, Any]) -> tuple[Adapter, EndpointReference, Access]:
    """A deployment's adapter, and its version as that knows it."""
    from steadfaas.spi import EndpointReference, Evidence

    uri = str(deployment.get("arn") or deployment.get("uri"))
    # A Restate server does not tell the adapter.
    name = deployment.get("adapter")
    adapter = adapter_named(str(name)) if name else adapter_of(uri)
    evidence = Evidence(deployment.get("evidence") or Evidence.ASSERTED.value)
    reference = EndpointReference(adapter.name, uri, evidence, deployment.get("facts") or {})
    return adapter, reference, access(deployment.get("assume_role_arn"))


def on_platform(
    deployment: Mapping[str, Any],
) -> tuple[Versioned, EndpointReference, Access]:
    """The same, of an adapter that looks after versions. Raises CommandError if it does not."""
    adapter, reference, access = recorded(deployment)
    return versioned(adapter), reference, access


def adapter_of(target: str) -> Adapter:
    """The adapter whose words a target is written in. Raises CommandError."""
    from steadfaas.errors import RequestError

    try:
        return installed().for_target(target)
    except RequestError as error:
        raise CommandError(f"{error.message}.", ExitCode.USAGE) from error


def adapter_named(name: str) -> Adapter:
    """The adapter of this name. Raises CommandError."""
    from steadfaas.errors import RequestError

    try:
        return installed().get(name)
    except RequestError as error:
        raise CommandError(f"{error.message}.", ExitCode.USAGE) from error


def installed() -> Adapters:
    """All adapters."""
    from steadfaas.deployments.adapters import Adapters

    return Adapters()


def run(question: Coroutine[Any, Any, _T], *, seconds: float | None = None) -> _T:
    """Ask a platform; it has so many `seconds`, if there is a limit. Raises CommandError: what it
    refused, with the exit code for that."""
    import asyncio

    from steadfaas.errors import BadRequest, SteadfaasError

    async def limited() -> _T:
        async with asyncio.timeout(seconds):
            return await question

    try:
        return asyncio.run(limited())
    except TimeoutError as error:
        raise CommandError("The platform did not answer in time.", ExitCode.TRY_LATER) from error
    except SteadfaasError as error:
        sentence = str(error).rstrip(".") + "."
        code = ExitCode.USAGE if isinstance(error, BadRequest) else exit_code_of(error)
        status = getattr(error, "status", None)
        raise CommandError(sentence, code, status=status, code=error.code) from error
