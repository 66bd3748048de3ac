"""Settings of adapters, from variables: checked once for as long as the variables stay the same.

They are asked for with every list of deployments and with every request, and checking them takes
longer than all else that is done there.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TypeVar, cast

from pydantic_settings import BaseSettings

_S = TypeVar("_S", bound=BaseSettings)


def current(model: type[_S]) -> _S:
    """The settings as the variables say now. Raises ValidationError."""
    prefix = model.model_config["env_prefix"]
    values = tuple(os.environ.get(f"{prefix}{name.upper()}") for name in model.model_fields)
    return cast(_S, _checked(model, values))


@lru_cache(maxsize=16)
def _checked(model: type[BaseSettings], values: tuple[str | None, ...]) -> BaseSettings:
    """`values` are those of its variables, and say whether it has to be made anew."""
    return model()
