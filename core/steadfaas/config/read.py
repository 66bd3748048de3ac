"""Reads the file: its tables, and the line of each key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from steadfaas.config.locate import lines_of
from steadfaas.config.places import Places
from steadfaas.config.problems import SettingsError

DEFAULT_CONFIG_FILE: Final = Path("steadfaas.toml")


def read_file(chosen: Path | None) -> tuple[dict[str, Any], Places]:
    """What a file holds, and where; nothing where none is chosen and there is none.

    Raises SettingsError.
    """
    path = chosen or DEFAULT_CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), Places(str(path), lines_of(text))
    except FileNotFoundError:
        if chosen is None:
            return {}, Places(str(path))
        raise SettingsError(f"The settings file {path} does not exist.") from None
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except RecursionError:
        raise SettingsError(f"The settings file {path} is nested too deeply.") from None
    except ValueError as error:  # of TOML, of UTF-8, and absurdly long numbers
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}.") from None
