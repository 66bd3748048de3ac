"""moto's storage of functions, with its numbering of versions replaced by that of AWS.

moto numbers a version by how many there are, so that a number comes back after a deletion, and it
publishes again what has not changed. On AWS a number is never used again, also not by another
function of the same name, and publishing without a change gives the version that is there:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from moto.awslambda.models import LambdaAlias, LambdaFunction, LambdaStorage

from steadfaas.testing.local_lambda.names import LATEST

# What is said of a configuration without being part of it.
_NOT_CONFIGURATION: Final = {
    *("CodeSha256", "CodeSize", "ConfigSha256", "FunctionArn", "LastModified", "LastUpdateStatus"),
    *("RevisionId", "State", "Version"),
}


class Storage(LambdaStorage):
    """moto's storage of functions, numbering versions as AWS does."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self._published: Counter[str] = Counter()
        # What each version was made of: its description may differ from that of $LATEST.
        self._made_of: dict[str, str] = {}

    def find(self, name: str, qualifier: str | None) -> LambdaFunction | None:
        """A version by its number, or $LATEST; None where there is none.

        May be called while another thread changes something.
        """
        entry = self._functions.get(name)
        if entry is None or qualifier in (None, LATEST):
            return None if entry is None else entry["latest"]
        versions: tuple[LambdaFunction, ...] = tuple(entry["versions"])
        return next((each for each in versions if str(each.version) == qualifier), None)

    def aliases_of(self, function_arn: str) -> dict[str, LambdaAlias]:
        """The aliases of a function by name."""
        return self._aliases[function_arn]

    def publish_version(self, name_or_arn: str, description: str = "") -> LambdaFunction:
        """The new version, or the newest one where nothing has changed since."""
        latest = self.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
        name = latest.function_name
        versions: list[LambdaFunction] = self._functions[name]["versions"]
        made_of = revision_id(latest.get_configuration())
        if versions and self._made_of[versions[-1].function_arn] == made_of:
            return versions[-1]
        self._published[name] += 1
        version = copy.copy(latest)
        version.code = dict(latest.code)
        version.set_version(self._published[name])
        version.description = description or latest.description
        versions.append(version)
        self._arns[version.function_arn] = version
        self._made_of[version.function_arn] = made_of
        return version


def config_sha256(configuration: Mapping[str, Any]) -> str:
    """The hash of what is configured, whatever the code."""
    configured = {
        name: value for name, value in configuration.items() if name not in _NOT_CONFIGURATION
    }
    text = json.dumps(configured, sort_keys=True).encode()
    return base64.b64encode(hashlib.sha256(text).digest()).decode()


def revision_id(configuration: Mapping[str, Any]) -> str:
    """A name of the present code and configuration of $LATEST or a version.

    AWS gives every change a new one. Here equal states have equal names.
    """
    parts = (configuration[name] for name in ("FunctionName", "Version", "CodeSha256"))
    state = "\n".join((*map(str, parts), config_sha256(configuration)))
    return str(uuid.uuid5(uuid.NAMESPACE_OID, state))
