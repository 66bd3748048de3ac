"""Settings and declarations: one file, read once, checked whole, and never changed afterwards."""

from __future__ import annotations

from steadfaas.config.address import Address
from steadfaas.config.declared import (
    Declared,
    DeclaredDeployment,
    DeclaredEngine,
    DeclaredRetry,
    DeclaredService,
    Secret,
)
from steadfaas.config.load import ConfigFile, load_file, load_settings
from steadfaas.config.missing import missing_secrets
from steadfaas.config.problems import Problem, SettingsError
from steadfaas.config.read import DEFAULT_CONFIG_FILE
from steadfaas.config.settings import VARIABLE_PREFIX, Settings, variable_of
from steadfaas.config.whose import Engine, engine_of, engine_of_file

__all__ = [
    "DEFAULT_CONFIG_FILE",
    "VARIABLE_PREFIX",
    "Address",
    "ConfigFile",
    "Declared",
    "DeclaredDeployment",
    "DeclaredEngine",
    "DeclaredRetry",
    "DeclaredService",
    "Engine",
    "Problem",
    "Secret",
    "Settings",
    "SettingsError",
    "engine_of",
    "engine_of_file",
    "load_file",
    "load_settings",
    "missing_secrets",
    "variable_of",
]
