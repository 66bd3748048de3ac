"""What may be set for this adapter: variables that begin with `STEADFAAS_CLOUDFLARE_`.

The token is none of them: it is looked up when the API is asked (`_control_plane.secret`), and is
in no object that could be printed.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from steadfaas.errors import BadRequest
from steadfaas_adapters._settings import current

PREFIX: Final = "STEADFAAS_CLOUDFLARE_"
TOKEN: Final = f"{PREFIX}TOKEN"
ACCOUNT: Final = f"{PREFIX}ACCOUNT"


class CloudflareSettings(BaseSettings):
    """Read from the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    account: str | None = Field(
        default=None,
        pattern=r"^[0-9a-fA-F]{32}$",
        description="The id of the account whose Workers are meant where a target names none.",
    )
    api: str = Field(
        default="https://api.cloudflare.com/client/v4",
        pattern=r"^https?://",
        description="The base address of Cloudflare's API.",
    )
    # developers.cloudflare.com/workers/platform/limits, "Request and response limits": 100 MB on
    # the plans Free and Pro, 200 on Business, up to 500 on Enterprise.
    max_request_bytes: int = Field(
        default=100_000_000,
        gt=0,
        description="The largest request body that the plan of the zone takes, in bytes.",
    )


def settings() -> CloudflareSettings:
    """The settings of this moment. Raises BadRequest, naming the variable."""
    try:
        return current(CloudflareSettings)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(step) for step in problem["loc"]).upper()
        raise BadRequest(f"the variable {PREFIX}{name} is wrong: {problem['msg']}") from None
