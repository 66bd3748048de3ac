"""Whether a request's body and content type fit what a handler says it takes."""

from __future__ import annotations

from dataclasses import dataclass

from steadfaas.wire.manifest import InputRule


@dataclass(frozen=True, slots=True)
class InputCheck:
    """The rule of one handler, taken apart once so that each check costs a few comparisons.

    `type` and `subtype` are lower case; None stands for any.
    """

    nothing: bool = False  # neither body nor content type
    optional: bool = True  # neither body nor content type is fine
    body_needed: bool = False  # a content type without a body is not
    type: str | None = None
    subtype: str | None = None

    @classmethod
    def of(cls, rule: InputRule | None) -> InputCheck:
        """The check for a rule; without one, everything passes that says what it is."""
        if rule is None:
            return cls()
        if rule.content_type is None:
            return cls(nothing=True)
        type, _, subtype = _essence(rule.content_type).partition("/")
        return cls(
            optional=not rule.required,
            # A schema says that the input is a JSON value, and no value is empty.
            body_needed=rule.json_schema is not None,
            type=None if type == "*" else type,
            subtype=None if subtype == "*" else subtype,
        )

    def fault(self, content_type: str | None, has_body: bool) -> str | None:
        """What is wrong with a request, or None."""
        if content_type is None and not has_body and (self.optional or self.nothing):
            return None
        if self.nothing:
            return (
                "input validation error: this handler takes neither body nor content-type, but the"
                f" request has {self._brought(content_type, has_body)}"
            )
        if content_type is None:
            return "input validation error: Empty content-type"
        if not self._matches(content_type):
            return f"input validation error: Content-type '{content_type}' does not match '{self}'"
        if self.body_needed and not has_body:
            return "input validation error: the body is empty, but a JSON value is needed"
        return None

    @staticmethod
    def _brought(content_type: str | None, has_body: bool) -> str:
        named = "no content-type" if content_type is None else f"content-type '{content_type}'"
        return f"a body and {named}" if has_body else named

    def _matches(self, content_type: str) -> bool:
        if self.type is None:
            return True
        type, slash, subtype = _essence(content_type).partition("/")
        return bool(slash) and type == self.type and self.subtype in (None, subtype)

    def __str__(self) -> str:
        return f"{self.type or '*'}/{self.subtype or '*'}"


def _essence(content_type: str) -> str:
    """A media type without parameters; its two names are the same in any case of letters."""
    return content_type.partition(";")[0].strip().lower()
