"""Reads the file: its tables, and the line of each key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from steadfaas.config.locate import lines_of
from steadfaas.config.places import Places
from steadfaas.config.problems import Problem, SettingsError

DEFAULT_CONFIG_FILE: Final = Path("steadfaas.toml")


def read_file(chosen: Path | None) -> tuple[dict[str, Any], Places]:
    """What a file holds, and where; nothing where none is chosen and there is none.

    Raises SettingsError.
    """
    path = chosen or DEFAULT_CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
        return tomllib.loads(text), Places(str(path), lines_of(text))
    except FileNotFoundError:
        if chosen is None:
            return {}, Places(str(path))
        raise _refused(path, "does not exist") from None
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _refused(path, "is no text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise _refused(path, f"is not valid TOML: {error}") from None
    except (RecursionError, ValueError):
        raise _refused(path, "is nested too deeply, or holds an absurdly long number") from None


def _refused(path: Path, why: str) -> SettingsError:
    return SettingsError(Problem("", None, "", f"The settings file {path} {why}."))
