"""What can be set about Deno Deploy: by variables that begin with `STEADFAAS_DENO_`.

The token is not among them: it is read where it is used (`STEADFAAS_DENO_TOKEN`, or the file that
`STEADFAAS_DENO_TOKEN_FILE` names) and kept nowhere.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from steadfaas.errors import DiscoveryError
from steadfaas_adapters._settings import current

PREFIX: Final = "STEADFAAS_DENO_"
TOKEN_VARIABLE: Final = f"{PREFIX}TOKEN"

_Days = Annotated[float, Field(gt=0, le=36_500)]


class DenoSettings(BaseSettings):
    """Settings of the adapter. Lengths of time are in days."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True
    )

    api: str = Field(
        default="https://api.deno.com/v2",
        description="Where the control plane answers.",
        # The official Python client has https://console.deno.com/api/v2 instead.
        json_schema_extra={"source": "api.deno.com/v2/docs"},
    )
    idle_days: _Days = Field(
        default=30,
        description="A revision without traffic for so long is disabled.",
        json_schema_extra={"source": "docs.deno.com/deploy/changelog"},
    )
    delete_days: _Days = Field(
        default=7,
        description="A revision that was disabled is deleted so much later.",
        json_schema_extra={"source": "docs.deno.com/deploy/changelog"},
    )


def settings() -> DenoSettings:
    """The settings as the variables say now. Raises DiscoveryError for one that cannot be used."""
    try:
        return current(DenoSettings)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(step) for step in problem["loc"]).upper()
        raise DiscoveryError(
            f"the variable {PREFIX}{name} cannot be used: {problem['msg']}",
            code="META0003",
            status=400,
        ) from None
