"""AWS Lambda: published versions, which are immutable by the grammar of their ARNs.

| file | what it knows |
| --- | --- |
| `target.py` | what may be written, and what each form means |
| `control.py` | the control plane: aliases, versions, hashes; publish and delete |
| `data_plane.py` | calls, signed and sent asynchronously |
| `envelope.py` | the JSON around a request and its answer |
| `failures.py` | each failure and its verdict |
| `clients.py` | boto3, loaded on first use |
| `keys.py` | what calls are signed with, and its renewal |
| `threads.py` | how what blocks runs beside the event loop |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from steadfaas.spi import ANYBODY, Access, Promise
from steadfaas_adapters.aws_lambda import target as grammar
from steadfaas_adapters.aws_lambda.threads import in_thread

if TYPE_CHECKING:
    from steadfaas.spi import DataPlane, EndpointReference, Version


class AwsLambda:
    """Published versions of Lambda functions."""

    name = "aws-lambda"

    def claims(self, target: str) -> bool:
        """ARNs and partial ARNs of functions, function URLs, and whatever begins with `lambda:`."""
        return grammar.claims(target)

    async def resolve(
        self, target: str, access: Access = ANYBODY, *, promise: Promise = Promise.NONE
    ) -> EndpointReference:
        """The version that a target means now; a promise of `DEV` allows `$LATEST`.

        Raises BadRequest, DiscoveryError.
        """
        dev = promise is Promise.DEV
        grammar.parse(target, dev=dev)  # says what is wrong without loading boto3
        from steadfaas_adapters.aws_lambda import control

        return await in_thread(control.resolve, target, access, dev=dev)

    def data_plane(self) -> DataPlane:
        """Calls to versions. Its connections belong to the running event loop."""
        from steadfaas_adapters.aws_lambda.data_plane import LambdaDataPlane

        return LambdaDataPlane()

    async def list_versions(self, target: str, access: Access = ANYBODY) -> list[Version]:
        """All published versions of a function, newest first. Raises BadRequest, DiscoveryError."""
        grammar.parse(target, dev=True)
        from steadfaas_adapters.aws_lambda import control

        return await in_thread(control.list_versions, target, access)

    async def verify(self, reference: EndpointReference, access: Access = ANYBODY) -> list[str]:
        """What is other than it was at registration. Raises DiscoveryError."""
        from steadfaas_adapters.aws_lambda import control

        return await in_thread(control.verify, reference, access)

    async def needed_by(self, reference: EndpointReference, access: Access = ANYBODY) -> str | None:
        """Which aliases point to the version, if any. Raises BadRequest, DiscoveryError."""
        from steadfaas_adapters.aws_lambda import control

        return await in_thread(control.needed_by, reference, access)

    async def retire(self, reference: EndpointReference, access: Access = ANYBODY) -> None:
        """Delete the version. Raises BadRequest, Conflict, DiscoveryError."""
        from steadfaas_adapters.aws_lambda import control

        await in_thread(control.retire, reference, access)

    async def publish(
        self, target: str, access: Access = ANYBODY, *, description: str = ""
    ) -> EndpointReference:
        """Publish the function's code as it is now. Raises BadRequest, DiscoveryError."""
        grammar.parse(target, dev=True)
        from steadfaas_adapters.aws_lambda import control

        return await in_thread(control.publish, target, access, description)


ADAPTER: Final = AwsLambda()
