"""Settings of the adapter: variables that begin with `STEADFAAS_VERCEL_`, read when needed.

The token is none of them: it is a secret, and looked up where it is sent (`api.py`).
"""

from __future__ import annotations

from typing import Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from steadfaas.errors import BadRequest
from steadfaas_adapters._settings import current

PREFIX: Final = "STEADFAAS_VERCEL_"
TOKEN: Final = f"{PREFIX}TOKEN"


class Settings(BaseSettings):
    """What may be set. Days of retention are Vercel's defaults; a project may have others."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    api: str = Field(
        "https://api.vercel.com",
        description="Where the API is (vercel.com/docs/rest-api).",
    )
    team: str = Field(
        "",
        description="The team that is asked about deployment URLs: its slug or its `team_…` id."
        " Targets that begin with `vercel:` name theirs.",
    )
    retention_production_days: int = Field(
        365,
        ge=0,
        description="After so many days Vercel may remove a production deployment; 0: never"
        " (vercel.com/changelog/updated-defaults-for-deployment-retention).",
    )
    retention_preview_days: int = Field(
        180,
        ge=0,
        description="After so many days Vercel may remove any other deployment; 0: never"
        " (vercel.com/changelog/updated-defaults-for-deployment-retention).",
    )


def load() -> Settings:
    """The settings as they are now. Raises BadRequest for a value that is none."""
    try:
        return current(Settings)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = f"{PREFIX}{str(problem['loc'][0]).upper()}"
        raise BadRequest(f"the variable {name} is not right: {problem['msg']}") from None
