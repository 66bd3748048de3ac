"""How a function is written in a call: a name or an ARN, with a qualifier or without.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html, FunctionName.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from steadfaas.testing.local_lambda.api_errors import ApiError, invalid_parameter

LATEST: Final = "$LATEST"

_FORM: Final = re.compile(
    r"(?:(?:arn:(?P<partition>aws[a-z-]*):lambda:(?P<region>[a-z0-9-]+):)?(?P<account>\d{12}):)?"
    r"(?:function:)?(?P<name>[A-Za-z0-9_-]+)(?::(?P<qualifier>\$LATEST|[A-Za-z0-9_-]+))?"
)


def partition_of(region: str) -> str:
    """The first part of ARNs in a region."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


@dataclass(frozen=True, slots=True)
class Place:
    """The region and account of a Lambda endpoint."""

    region: str
    account: str

    def arn(self, name: str, qualifier: str | None = None) -> str:
        """The ARN of a function, or of a version or alias of it."""
        partition = partition_of(self.region)
        arn = f"arn:{partition}:lambda:{self.region}:{self.account}:function:{name}"
        return f"{arn}:{qualifier}" if qualifier else arn

    def reference(self, written: str, qualifier: str | None = None) -> Reference:
        """What is meant by a function as written, and the separate qualifier of a call.

        Raises ApiError for what is no name, belongs elsewhere, or contradicts itself.
        """
        match = _FORM.fullmatch(written)
        if match is None:
            raise ApiError(
                400,
                "ValidationException",
                f"1 validation error detected: Value '{written}' at 'functionName' failed to"
                " satisfy constraint: Member must be a function name or an ARN",
            )
        if match["region"] not in (None, self.region):
            raise ApiError(
                404,
                "ResourceNotFoundException",
                f"Functions from '{match['region']}' are not reachable in this region"
                f" ('{self.region}')",
            )
        if match["account"] not in (None, self.account):
            raise ApiError(
                403,
                "AccessDeniedException",
                f"{written} belongs to another account than {self.account}",
            )
        if qualifier and match["qualifier"] and qualifier != match["qualifier"]:
            raise invalid_parameter(
                "The derived qualifier from the function name does not match the specified"
                " qualifier."
            )
        return Reference(match["name"], match["qualifier"] or qualifier)


@dataclass(frozen=True, slots=True)
class Reference:
    """A function by name, with the version or alias that was asked for, if any."""

    name: str
    qualifier: str | None = None
