"""`steadfaas up`: read the settings, run the engine until it is told to stop."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import steadfaas
from steadfaas.cli.exits import CommandError, ExitCode, exit_code_of, fail
from steadfaas.cli.rollout.options import CONFIG_VARIABLE, Sets
from steadfaas.errors import SteadfaasError

if TYPE_CHECKING:
    from steadfaas.config import Address, ConfigFile, Settings


def up(
    ingress: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where requests arrive.  [default: 127.0.0.1:8080]"),
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where the admin API listens.  [default: 127.0.0.1:9070]"
        ),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the database.  [default: ./steadfaas-data]"),
    ] = None,
    dev: Annotated[
        bool,
        typer.Option(
            "--dev", help="For development: take deployments whose code may change ($LATEST)."
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar=CONFIG_VARIABLE,
            show_envvar=False,
            help="Settings, and what is deployed once the engine is healthy.  [default:"
            " ./steadfaas.toml, if there is one]",
        ),
    ] = None,
    sets: Sets = None,
) -> None:
    """Run the engine: one process, one data folder.

    Example: steadfaas up --ingress 127.0.0.1:8080 --data-dir ./steadfaas-data
    """
    flags: dict[str, object] = {"ingress": ingress, "admin": admin, "data_dir": data_dir}
    found = _read({**flags, "dev": dev or None}, config, sets)
    settings = found.settings
    typer.echo(start_line(settings))
    try:
        code = _run(found)
    except SteadfaasError as error:
        fail(CommandError(str(error), exit_code_of(error)))
    except OSError as error:
        fail(explain(error, settings))
    raise typer.Exit(code)


def start_line(settings: Settings) -> str:
    """What is started, where it can be reached and how safe its data is, on one line."""
    return (
        f"steadfaas {steadfaas.__version__} · ingress {settings.ingress.url}"
        f" · admin {settings.admin.url} · data {settings.data_dir}"
        f" ({settings.durability} durability){' · for development' if settings.dev else ''}"
    )


def explain(error: OSError, settings: Settings) -> CommandError:
    """The sentence and next step for what the operating system refused at start-up."""
    unnamed_refusal = error.errno in (errno.EACCES, errno.EPERM) and error.filename is None
    if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL) or unnamed_refusal:
        return CommandError(_about_addresses(error, settings), ExitCode.REFUSED)
    if isinstance(error, socket.gaierror):
        return CommandError(_about_addresses(error, settings), ExitCode.REFUSED)
    place = error.filename or settings.data_dir
    return CommandError(
        f"Cannot use {place}: {error.strerror or error}. Give the engine a folder it may write, "
        f"with --data-dir DIR (now: {settings.data_dir}).",
        ExitCode.REFUSED,
    )


def _read(flags: dict[str, object], config: Path | None, sets: list[str] | None) -> ConfigFile:
    # Loaded here: pydantic would double the time of every other command.
    from steadfaas.config import SettingsError, load_file

    try:
        return load_file(config, sets=sets or (), flags=flags)
    except SettingsError as error:
        fail(CommandError(str(error), ExitCode.USAGE))


def _run(found: ConfigFile) -> int:
    from steadfaas.servers.app import run

    if not (found.declared.deployments or found.declared.services):
        return run(found.settings)
    from steadfaas.cli.rollout.at_start import applying

    return run(found.settings, applying(found.declared, found.settings.admin))


def _about_addresses(error: OSError, settings: Settings) -> str:
    """Name the address that cannot be taken. asyncio's error tells it only in prose."""
    for name, address in (("ingress", settings.ingress), ("admin", settings.admin)):
        refusal = _refusal(address)
        if refusal is None:
            continue
        if refusal.errno == errno.EADDRINUSE:
            return (
                f"Cannot listen on {address} ({name}): another program has taken the port. "
                f"Stop it, or choose another with --{name} HOST:PORT."
            )
        return (
            f"Cannot listen on {address} ({name}): {refusal.strerror or refusal}. "
            f"Choose another address with --{name} HOST:PORT."
        )
    return f"Cannot listen on {settings.ingress} or {settings.admin}: {error.strerror or error}."


def _refusal(address: Address) -> OSError | None:
    """What binding the address meets now."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
            probe.listen(1)
        except OSError as error:
            return error
    return None
