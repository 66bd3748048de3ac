"""Groups of commands, the options that they share, and how each of them ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from steadfaas.cli.exits import CommandError, fail

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. CI=true does the same.")]
AssumeRole = Annotated[
    str | None,
    typer.Option(metavar="ARN", help="AWS: the role to take on for everything about it."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, change nothing.")]

_F = TypeVar("_F", bound=Callable[..., None])


class Command(TyperCommand):
    """A command that ends as its CommandError says: in words, or in JSON if that was asked for."""

    def __init__(self, name: str | None, *, help: str | None = None, **options: Any) -> None:
        # An example is to be copied: it stays on one line.
        unwrapped = (help or "").replace("\n\nExample:", "\n\n\b\nExample:")
        super().__init__(name, help=unwrapped, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run it. Raises typer.Exit with the exit code of what went wrong."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            fail(error, as_json=bool(ctx.params.get("as_json")))


class Group(typer.Typer):
    """Commands about one kind of thing."""

    def __init__(self, about: str) -> None:
        super().__init__(help=about, no_args_is_help=True)

    def verb(self, name: str | None = None) -> Callable[[_F], _F]:
        """Add a function as a command, called `name` or like the function."""
        return self.command(name, cls=Command)


def pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    """The `name=value` texts of a repeated option. Raises BadParameter."""
    found = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"'{text}' is not of the form name=value", param_hint=option)
        found[name.strip()] = value
    return found


def duration(text: str, option: str) -> int:
    """Milliseconds of an option's duration. Raises BadParameter."""
    from steadfaas.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
