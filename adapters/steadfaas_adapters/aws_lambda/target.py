"""The grammar of Lambda targets. Pure: nobody is asked.

A version ARN, whose last part is a number, means the same code for ever: aliases may not be all
digits, and Lambda never gives a number twice (API reference, `Alias`; developer guide, "Manage
Lambda function versions"). Every other form can move, and is taken only behind `lambda:`, which
says that it is to be looked up now: the number found is what is registered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from steadfaas.errors import BadRequest

PREFIX: Final = "lambda:"
LATEST: Final = "$LATEST"
# Moves with every publish, although it looks like a version (API model,
# `FunctionVersionLatestPublished`).
LATEST_PUBLISHED: Final = "$LATEST.PUBLISHED"

_LONGEST: Final = 512
_ARN_START: Final = re.compile(r"arn:[a-z-]*:lambda:", re.IGNORECASE)
_URL: Final = re.compile(r"https?://[^/?#]*\.lambda-url\.[^/?#]*", re.IGNORECASE)
_PARTIAL_START: Final = re.compile(r"\d{12}:function:")

_PARTITION: Final = r"(?P<partition>aws[a-z-]*)"
_REGION: Final = r"(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d{1,2})"
_ACCOUNT: Final = r"(?P<account>\d{12})"
_NAME: Final = r"(?P<name>[A-Za-z0-9_.-]{1,140})"
_QUALIFIER: Final = r"(?:[:@](?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[A-Za-z0-9_-]{1,128}))?"
_ARN: Final = re.compile(
    f"arn:{_PARTITION}:lambda:{_REGION}:{_ACCOUNT}:function:{_NAME}{_QUALIFIER}"
)
_PARTIAL: Final = re.compile(f"{_ACCOUNT}:(?:function:)?{_NAME}{_QUALIFIER}")
_NAMED: Final = re.compile(f"(?:function:)?{_NAME}{_QUALIFIER}")
_NUMBER: Final = re.compile(r"[0-9]+")


class Kind(Enum):
    """What a qualifier is."""

    VERSION = "version"  # a number: always the same code
    ALIAS = "alias"
    NEWEST = "newest"  # none: the published version with the highest number
    LATEST = "$LATEST"


@dataclass(frozen=True, slots=True)
class FunctionTarget:
    """A function, and which version of it. What is None is up to the client's configuration."""

    name: str
    kind: Kind
    qualifier: str = ""  # a number or an alias
    region: str | None = None
    account: str | None = None
    partition: str | None = None

    @property
    def function(self) -> str:
        """What the API takes as `FunctionName`: the ARN or partial ARN without a qualifier."""
        if self.region is not None:
            return function_arn(self.partition or "aws", self.region, self.account or "", self.name)
        return self.name if self.account is None else f"{self.account}:function:{self.name}"

    @property
    def arn(self) -> str | None:
        """The qualified ARN, where the target is one of a version or `$LATEST`."""
        if self.region is None:
            return None
        if self.kind is Kind.VERSION:
            return f"{self.function}:{self.qualifier}"
        return f"{self.function}:{LATEST}" if self.kind is Kind.LATEST else None


def function_arn(partition: str, region: str, account: str, name: str) -> str:
    """The ARN of a function, without a qualifier."""
    return f"arn:{partition}:lambda:{region}:{account}:function:{name}"


def claims(target: str) -> bool:
    """Whether a target is about Lambda, well written or not."""
    return bool(
        target.lower().startswith(PREFIX)
        or _ARN_START.match(target)
        or _PARTIAL_START.match(target)
        or _URL.match(target)
    )


def parse(target: str, *, dev: bool = False) -> FunctionTarget:
    """What a target means. `dev` allows `$LATEST`. Raises BadRequest."""
    if len(target) > _LONGEST:
        raise BadRequest(f"a Lambda target has {_LONGEST} characters at most, this one has more")
    if _URL.match(target):
        raise BadRequest(
            f"{target!a} is a function URL: it leads to $LATEST or to an alias, never to a version."
            " Write the function's name, 'lambda:NAME', which registers its newest published"
            " version, or 'lambda:NAME@ALIAS'"
        )
    asked_for = target.startswith(PREFIX)
    rest = target.removeprefix(PREFIX)
    found = _ARN.fullmatch(rest) or _PARTIAL.fullmatch(rest)
    if found is None and asked_for and not rest.startswith("arn:"):
        found = _NAMED.fullmatch(rest)
    if found is None:
        raise BadRequest(
            f"{target!a} is not a Lambda target. Write 'lambda:NAME' (the newest published"
            " version), 'lambda:NAME@ALIAS' (the version that the alias points to now), or the ARN"
            " of a version: arn:aws:lambda:REGION:ACCOUNT:function:NAME:NUMBER"
        )
    parts = found.groupdict()
    written = rest if parts["qualifier"] is None else rest[: -len(parts["qualifier"]) - 1]
    kind = _kind(written, parts["qualifier"], asked_for=asked_for, dev=dev)
    return FunctionTarget(
        name=parts["name"],
        kind=kind,
        qualifier=parts["qualifier"] if kind in (Kind.VERSION, Kind.ALIAS) else "",
        region=parts.get("region"),
        account=parts.get("account"),
        partition=parts.get("partition"),
    )


def _kind(function: str, qualifier: str | None, *, asked_for: bool, dev: bool) -> Kind:
    if qualifier is None:
        if asked_for:
            return Kind.NEWEST
        raise BadRequest(
            f"'{function}' names no version, so it means $LATEST, which changes with every deploy."
            f" Write '{PREFIX}{function}' to register its newest published version, or put a number"
            " behind it"
        )
    if qualifier == LATEST_PUBLISHED:
        raise BadRequest(
            f"'{qualifier}' moves with every publish. Write '{PREFIX}{function}' to register the"
            " version that is the newest published one now, by its number"
        )
    if qualifier == LATEST:
        if dev:
            return Kind.LATEST
        raise BadRequest(
            f"'{qualifier}' is the code that the next deploy overwrites. Publish a version and"
            f" register that ('{PREFIX}{function}' with --publish does both); for development only,"
            " run the engine with 'steadfaas up --dev' and register with --dev"
        )
    if _NUMBER.fullmatch(qualifier):
        if qualifier.startswith("0"):
            raise BadRequest(f"'{qualifier}' is not the number of a version: those start at 1")
        return Kind.VERSION
    if asked_for:
        return Kind.ALIAS
    raise BadRequest(
        f"'{qualifier}' is an alias, which can be pointed to another version at any time. Write"
        f" '{PREFIX}{function}@{qualifier}' to register the version that it points to now"
    )
