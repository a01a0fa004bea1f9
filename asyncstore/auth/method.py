"""
How a provider declares its methods, so that settings are checked and documented from one place.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyncstore.errors import ConfigurationError

#: Where a value came from that was given and not found.
GIVEN: Final = "settings"


# Settings that name who is asking, whatever the provider. None of them is secret.
_WHO: Final = (
    "profile",
    "role_arn",
    "account_name",
    "tenant_id",
    "client_id",
    "object_id",
    "resource_id",
    "service_account",
    "target_principal",
    "subject",
    "tenancy",
    "user",
    "app_id",
    "installation_id",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One setting of a method.

    Attributes:
        meaning: For the reference.
        variables: Of the environment, read in this order where it is not set.
        aliases: Other names that it can be given by.
        secret: Whether its value is never shown.
    """

    name: str
    meaning: str
    variables: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    secret: bool = False


@dataclass(frozen=True, slots=True)
class AuthMethod:
    """
    One way to obtain credentials, as it is documented.

    Attributes:
        meaning: Where the credentials come from.
        reference: The provider's page on it.
        settings: All that it takes.
        variables: Of the environment, besides those of the settings.
        refreshes: Whether what it gives expires and is renewed.
        extra: The optional part of the package that it needs.
    """

    auth_type: str
    meaning: str
    reference: str
    settings: tuple[Setting, ...] = ()
    variables: tuple[str, ...] = ()
    refreshes: bool = False
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """
    What was set for one method, and what the environment says in place of the rest.

    The environment is read when a value is asked for.
    """

    settings: Mapping[str, Any] = field(repr=False)
    declared: tuple[Setting, ...]

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> Any:
        """
        Return the value of a setting; ``None`` if there is none anywhere.
        """
        return self._look(name)[0]

    def source(self, name: str) -> str:
        """
        Return ``"settings"`` or the variable that a value comes from.
        """
        return self._look(name)[1]

    def sources(self) -> dict[str, str]:
        """
        Return where each value comes from that there is.
        """
        found = {setting.name: self._look(setting.name) for setting in self.declared}
        return {name: source for name, (value, source) in found.items() if value is not None}

    def identity(self) -> dict[str, str]:
        """
        Return the values of settings that name who is asking.
        """
        found = {setting.name: self.get(setting.name) for setting in self.declared if setting.name in _WHO}
        return {name: str(value) for name, value in found.items() if isinstance(value, str | int)}

    def _look(self, name: str) -> tuple[Any, str]:
        if (value := self.settings.get(name)) is not None:
            return value, GIVEN
        setting = next(setting for setting in self.declared if setting.name == name)
        found = ((os.environ.get(variable), variable) for variable in setting.variables)
        return next(((value, variable) for value, variable in found if value), (None, ""))


def method_of(methods: Iterable[AuthMethod], auth_type: str, provider: str) -> AuthMethod:
    """
    Return the declaration of *auth_type*.

    Raises:
        ConfigurationError: There is none; names those there are.
    """
    known = {method.auth_type: method for method in methods}
    if auth_type not in known:
        raise ConfigurationError(f"{provider} has no auth_type {auth_type!r}; it has {', '.join(known)}")
    return known[auth_type]


def check_settings(method: AuthMethod, settings: Iterable[str]) -> None:
    """
    Check that *method* takes all *settings*.

    Raises:
        ConfigurationError: It does not take one; names those it does.
    """
    known = [setting.name for setting in method.settings]
    if foreign := sorted(set(settings) - set(known)):
        raise ConfigurationError(
            f"auth_type {method.auth_type!r} takes no {' or '.join(foreign)}; "
            f"it takes {', '.join(known) or 'no settings'}"
        )


def own_names(methods: Iterable[AuthMethod]) -> dict[str, str]:
    """
    Return every name and alias of a setting with its own name.
    """
    names: dict[str, str] = {}
    for method in methods:
        for setting in method.settings:
            names.update(dict.fromkeys((setting.name, *setting.aliases), setting.name))
    return names
