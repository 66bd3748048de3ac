"""The `steadfaas` command: runs the engine, and speaks to a running one over its admin API.

Modules here load what they need when a command runs. Settings, the engine and rich cost more time
than the command line itself, and `steadfaas --help` needs none of them.
"""

from __future__ import annotations

from typing import Annotated

import typer

import steadfaas
from steadfaas.cli import (
    adapters,
    admin,
    apply,
    audit,
    check,
    config,
    deployments,
    gc,
    invocations,
    local_lambda,
    plan,
    services,
    sql,
    state,
    status,
    up,
    whoami,
)
from steadfaas.cli.commands import Command
from steadfaas.cli.dev.command import dev
from steadfaas.cli.rollout.options import file_here

app = typer.Typer(
    name="steadfaas",
    help="Durable invocations, each finished by the version of the code that started it.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 75 try again later.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("plan", cls=Command)(plan.plan)
app.command("apply", cls=Command)(apply.apply)
app.command("gc", cls=Command)(gc.gc)
app.command("status", cls=Command)(status.status)
app.add_typer(deployments.app, name="deployments")
app.add_typer(adapters.app, name="adapters")
app.add_typer(services.app, name="services")
app.add_typer(invocations.app, name="invocations")
app.command("check", cls=Command)(check.check)
app.add_typer(config.app, name="config")
app.add_typer(state.app, name="state")
app.command("audit", cls=Command)(audit.audit)
app.command("sql", cls=Command)(sql.sql)
app.command("dev", cls=Command)(dev)
app.command("local-lambda", cls=Command)(local_lambda.local_lambda)
app.command("whoami", cls=Command)(whoami.whoami)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"steadfaas {steadfaas.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    admin_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help=f"The admin API to speak to, else {admin.URL_VARIABLE}, else "
            f"{admin.FALLBACK_VARIABLE}, else what ./steadfaas.toml says, else"
            f" {admin.DEFAULT_URL}.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Durable invocations, each finished by the version of the code that started it."""
    admin.use(admin_url, otherwise=file_here)


def main() -> int:
    """Run the command line of this process. Ends by SystemExit with the command's exit code."""
    app(prog_name="steadfaas")
    return 0
