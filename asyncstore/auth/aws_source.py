"""
Whose keys a role is assumed with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from asyncstore.auth.method import Given
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError

# Settings of a role that are meant for its source.
_PASSED: Final = ("access_key_id", "secret_access_key", "session_token", "profile")

_WHAT: Final = "source is an AuthConfig, or a table of its fields"


def source_of(given: Given, region: str | None) -> AuthConfig:
    """
    Return the configuration that the settings of a role name, else the default one.

    Args:
        region: Of the role: the source has the same if it names none.

    Raises:
        ConfigurationError: There are two, or it is none.
    """
    passed = {name: given.settings[name] for name in _PASSED if name in given.settings}
    source = given.settings.get("source")
    if source is None:
        return AuthConfig(settings=passed, region=region)
    if passed:
        raise ConfigurationError(f"a role has one source: leave out source or {' and '.join(passed)}")
    found = _configuration(source)
    return dataclasses.replace(found, region=found.region or region)


def _configuration(value: Any) -> AuthConfig:
    if isinstance(value, AuthConfig):
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{_WHAT}, not {type(value).__name__}")
    fields = dict(value)
    if not isinstance(fields.get("settings", {}), Mapping):
        raise ConfigurationError(f"{_WHAT}; settings is a table too")
    if fields.get("fallback") is not None:
        fields["fallback"] = _configuration(fields["fallback"])
    try:
        return AuthConfig(**fields)
    except TypeError:
        known = [item.name for item in dataclasses.fields(AuthConfig)]
        raise ConfigurationError(f"{_WHAT}: {', '.join(known)}; not {', '.join(map(str, fields))}") from None
