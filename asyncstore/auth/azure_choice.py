"""
Which way into Azure Storage some settings mean; and if they mean none, the default chain.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from asyncstore.auth.azure_applications import PROVING
from asyncstore.auth.azure_methods import (
    OF_ACCOUNT,
    Method,
    Outcome,
    Surroundings,
    account_key_method,
    account_of_settings,
    anonymous_method,
    application_method,
    cli_method,
    connection_string_method,
    environment_method,
    given_for,
    managed_identity_method,
    proving_method,
    sas_method,
    token_method,
)
from asyncstore.auth.azure_table import METHODS, STORAGE_VARIABLES
from asyncstore.auth.chain import Chain, MissingCredentialsError, NobodyThereError
from asyncstore.auth.method import GIVEN, Given, check_settings, method_of, own_names
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError

_NAMES: Final = own_names(METHODS)

#: Settings that :func:`azure_credentials` takes.
SETTINGS: Final = tuple(dict.fromkeys(_NAMES.values()))

AUTH_TYPES: Final = tuple(method.auth_type for method in METHODS)

# What a setting says of the method, if none is named; the first one counts.
_IMPLIED: Final = {
    "connection_string": "connection_string",
    "credential": "token",
    "account_key": "account_key",
    "sas_token": "sas",
    "client_secret": "client_secret",
    "certificate_path": "client_certificate",
    "certificate_data": "client_certificate",
    "federated_token_file": "workload_identity",
    "object_id": "managed_identity",
    "resource_id": "managed_identity",
    "subscription": "cli",
}

# As of azure-identity, as far as there are such:
# https://learn.microsoft.com/azure/developer/python/sdk/authentication/credential-chains#defaultazurecredential-overview
_DEFAULT: Final = {
    "environment": "environmentcredential",
    "workload_identity": "workloadidentitycredential",
    "managed_identity": "managedidentitycredential",
    "cli": "azureclicredential",
}
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "prod": ("environment", "workload_identity", "managed_identity"),
    "dev": ("cli",),
}


def take_settings(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    """
    Take the names of :data:`SETTINGS` out of *settings*.
    """
    taken: dict[str, Any] = {}
    for name in [name for name in _NAMES if name in settings]:
        own = _NAMES[name]
        if own in taken:
            raise ConfigurationError(f"give {own} or {name}, not both")
        taken[own] = settings.pop(name)
    return {name: value for name, value in taken.items() if value is not None}


def known_settings(auth: AuthConfig) -> dict[str, Any]:
    """
    Return the settings of *auth*, all of which must be known.
    """
    rest = dict(auth.settings)
    known = take_settings(rest)
    if rest:
        raise ConfigurationError(f"unknown settings {sorted(rest)} for Azure credentials; known are {sorted(SETTINGS)}")
    return known


def choose(auth_type: str, settings: Mapping[str, Any], around: Surroundings) -> Method:
    """
    Return the method that *auth_type* names, or that the settings imply.

    Raises:
        ConfigurationError: There is none such, it does not take a setting, or needs another.
    """
    anonymous = flag(settings.get("anonymous", False))
    own = {name: value for name, value in settings.items() if name != "anonymous"}
    if auth_type == "default":
        auth_type = "anonymous" if anonymous else _implied(own)
    elif anonymous and auth_type != "anonymous":
        raise ConfigurationError(f"auth_type {auth_type!r} is not anonymous: leave out one or the other")
    declared = method_of(METHODS, auth_type, "Azure")
    check_settings(declared, own)
    return _MAKERS[auth_type](Given(own, declared.settings), around)


def _implied(settings: Mapping[str, Any]) -> str:
    if found := next((method for name, method in _IMPLIED.items() if name in settings), None):
        return found
    if set(settings) - {"account_name"}:
        return "default"
    return next((kind for kind, name in OF_ACCOUNT.items() if name in given_for(kind, settings)), "default")


def _default(given: Given, around: Surroundings) -> Method:
    names = _names_of_chain()
    links = [_no_secret_of_account(given), *(_link(name, given, around) for name in names)]
    chain: Chain[Method, Outcome] = Chain(links, name="Azure", provider="azure", strict=True)

    async def fetch() -> Outcome:
        grant, source = await chain.fetch()
        return grant, f"{chain.found.auth_type if chain.found else 'default'}: {source}"

    return Method("default", ", ".join(names), given, fetch, account_of_settings(given, around))


def _no_secret_of_account(given: Given) -> Method:
    # Had there been one it would have been chosen: it is here for the message.
    async def fetch() -> Outcome:
        raise MissingCredentialsError(
            "none of connection_string, account_key and sas_token is given, nor a credential of azure-identity, nor "
            f"anonymous=True; none of {', '.join(STORAGE_VARIABLES)} is set"
        )

    return Method("account", GIVEN, given, fetch)


def _names_of_chain() -> tuple[str, ...]:
    wanted = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip().lower()
    if not wanted:
        return tuple(_DEFAULT)
    names: dict[str, tuple[str, ...]] = {**_KINDS, **{kind: (name,) for name, kind in _DEFAULT.items()}}
    if wanted not in names:
        raise ConfigurationError(f"AZURE_TOKEN_CREDENTIALS is one of {', '.join(names)} here, not {wanted!r}")
    return names[wanted]


def _link(auth_type: str, given: Given, around: Surroundings) -> Method:
    own = given_for(auth_type, given.settings)
    if auth_type == "environment":
        return environment_method(own, around)
    if auth_type == "workload_identity":
        return proving_method(auth_type, own, around)
    if auth_type == "cli":
        return _giving_way(cli_method(own, around), UnauthenticatedError)
    # Here, and only here, the variable of applications names the machine's identity too.
    client_id = given.get("client_id")
    named = own if client_id is None else replace(own, settings={**own.settings, "client_id": client_id})
    return _giving_way(managed_identity_method(named, around), NobodyThereError)


def _giving_way(method: Method, kind: type[StorageError]) -> Method:
    async def fetch() -> Outcome:
        try:
            return await method.fetch()
        except kind as exc:
            raise MissingCredentialsError(exc.message, provider="azure", code=exc.code) from None

    return replace(method, fetch=fetch)


_MAKERS: Final[Mapping[str, Callable[[Given, Surroundings], Method]]] = {
    "default": _default,
    "account_key": account_key_method,
    "sas": sas_method,
    "connection_string": connection_string_method,
    "anonymous": anonymous_method,
    "environment": environment_method,
    **{name: partial(application_method, name) for name in PROVING},
    "managed_identity": managed_identity_method,
    "cli": cli_method,
    "token": token_method,
}
