"""
The ways to be let into Azure Storage, and which of them some settings mean.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from asyncstore.auth.azure_account import parse_connection_string
from asyncstore.auth.azure_account_secrets import Fetch, key_fetch, nothing, plain_text, sas_fetch
from asyncstore.auth.azure_applications import PROVING, check_complete, proof_in
from asyncstore.auth.azure_challenge import Challenge
from asyncstore.auth.azure_cli import AzureCLI
from asyncstore.auth.azure_credential import TokenCredential
from asyncstore.auth.azure_entra import Application
from asyncstore.auth.azure_managed_identity import ManagedIdentity
from asyncstore.auth.azure_table import METHODS, STORAGE_VARIABLES
from asyncstore.auth.azure_token import AccessGrant
from asyncstore.auth.chain import Chain, MissingCredentialsError, NobodyThereError
from asyncstore.auth.method import GIVEN, Given, check_settings, method_of, own_names
from asyncstore.auth.token_service import TokenService
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

# Of the account itself: what the environment has of these goes before all identities.
_OF_ACCOUNT: Final = {"connection_string": "connection_string", "account_key": "account_key", "sas": "sas_token"}

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

#: Access and where it came from.
Outcome = tuple[AccessGrant, str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What all methods of one configuration share.

    Attributes:
        challenge: What the storage asked for when it last refused a token.
        account: The storage account of the URI.
    """

    service: TokenService
    challenge: Challenge
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """
    One way to be let in, chosen by the settings.

    Attributes:
        source: Where the credentials come from; never a secret.
        fetch: Gives access, and says where it came from.
        account: The storage account, as far as settings and environment say.
        endpoint: Where a connection string says that the blobs are.
        renewable: Whether asking again can give something else.
    """

    auth_type: str
    source: str
    given: Given
    fetch: Callable[[], Awaitable[Outcome]] = field(repr=False)
    account: str | None = None
    endpoint: str | None = None
    renewable: bool = True


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
    return next((kind for kind, name in _OF_ACCOUNT.items() if name in _given(kind, settings)), "default")


def _given(auth_type: str, settings: Mapping[str, Any]) -> Given:
    declared = method_of(METHODS, auth_type, "Azure").settings
    names = {setting.name for setting in declared}
    return Given({name: value for name, value in settings.items() if name in names}, declared)


def _account(given: Given, around: Surroundings, *others: str | None) -> str | None:
    said = sorted({name for name in (given.settings.get("account_name"), around.account, *others) if name})
    if len(said) > 1:
        raise ConfigurationError(f"two storage accounts are named: {' and '.join(said)}")
    return said[0] if said else given.get("account_name")


def _source(given: Given, name: str) -> str:
    return GIVEN if given.source(name) == GIVEN else "environment"


def _value(given: Given, auth_type: str) -> Any:
    name = _OF_ACCOUNT.get(auth_type, "credential")
    value = given.get(name)
    if value is None:
        raise ConfigurationError(f"auth_type {auth_type!r} needs {name}")
    return value


def _told(fetch: Fetch, source: str) -> Callable[[], Awaitable[Outcome]]:
    async def fetch_and_tell() -> Outcome:
        return await fetch(), source

    return fetch_and_tell


def _anonymous(given: Given, around: Surroundings) -> Method:
    account = _account(given, around)
    return Method("anonymous", GIVEN, given, _told(nothing, GIVEN), account, renewable=False)


def _account_key(given: Given, around: Surroundings) -> Method:
    value, account, source = _value(given, "account_key"), _account(given, around), _source(given, "account_key")
    fetch = key_fetch(account, value)
    return Method("account_key", source, given, _told(fetch, source), account, renewable=callable(value))


def _sas(given: Given, around: Surroundings) -> Method:
    value, source = _value(given, "sas"), _source(given, "sas_token")
    fetch = _told(sas_fetch(value), source)
    return Method("sas", source, given, fetch, _account(given, around), renewable=callable(value))


def _connection_string(given: Given, around: Surroundings) -> Method:
    text, source = _value(given, "connection_string"), _source(given, "connection_string")
    said = parse_connection_string(plain_text("connection_string", text))
    # Not that of the environment: a string can name a domain of its own, and no account.
    named = Given(given.settings, tuple(replace(setting, variables=()) for setting in given.declared))
    account = _account(named, around, said.account)
    fetch = nothing
    if said.key is not None:
        fetch = key_fetch(account, said.key)
    elif said.sas is not None:
        fetch = sas_fetch(said.sas)
    kind = "anonymous" if fetch is nothing else "connection_string"
    return Method(kind, source, given, _told(fetch, source), account, said.endpoint, renewable=False)


def _token(given: Given, around: Surroundings) -> Method:
    credential = _value(given, "token")
    source = type(credential).__name__
    fetch = TokenCredential(credential, around.challenge).fetch
    return Method("token", source, given, _told(fetch, source), _account(given, around))


def _application(auth_type: str) -> Callable[[Given, Surroundings], Method]:
    def make(given: Given, around: Surroundings) -> Method:
        check_complete(given, auth_type)
        return _proving(auth_type, given, around)

    return make


def _proving(auth_type: str, given: Given, around: Surroundings) -> Method:
    application = Application(given, around.service, around.challenge)
    client_id = given.get("client_id")
    source = "the environment" if client_id is None else f"the application {client_id}"
    fetch = PROVING[auth_type](given, application).fetch
    return Method(auth_type, source, given, _told(fetch, source), _account(given, around))


def _environment(given: Given, around: Surroundings) -> Method:
    methods = [_proving(kind, _given(kind, given.settings), around) for kind in ("client_secret", "client_certificate")]

    async def fetch() -> Outcome:
        for method in methods:
            if proof_in(method.given, method.auth_type):
                grant, source = await method.fetch()
                return grant, f"{source}, by {method.auth_type}"
        raise MissingCredentialsError("neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set")

    return Method("environment", "environment", given, fetch, _account(given, around))


def _managed_identity(given: Given, around: Surroundings) -> Method:
    identity = ManagedIdentity(given, around.service)
    return Method("managed_identity", "the machine's identity", given, identity.fetch, _account(given, around))


def _cli(given: Given, around: Surroundings) -> Method:
    source = "the account of az login"
    fetch = AzureCLI(given, around.challenge).fetch
    return Method("cli", source, given, _told(fetch, source), _account(given, around))


def _default(given: Given, around: Surroundings) -> Method:
    names = _names_of_chain()
    links = [_no_secret_of_account(given), *(_link(name, given, around) for name in names)]
    chain: Chain[Method, Outcome] = Chain(links, name="Azure", provider="azure", strict=True)

    async def fetch() -> Outcome:
        grant, source = await chain.fetch()
        return grant, f"{chain.found.auth_type if chain.found else 'default'}: {source}"

    return Method("default", ", ".join(names), given, fetch, _account(given, around))


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
    names = {kind: (name,) for name, kind in _DEFAULT.items()} | _KINDS
    if wanted not in names:
        raise ConfigurationError(f"AZURE_TOKEN_CREDENTIALS is one of {', '.join(names)} here, not {wanted!r}")
    return names[wanted]


def _link(auth_type: str, given: Given, around: Surroundings) -> Method:
    own = _given(auth_type, given.settings)
    if auth_type == "environment":
        return _environment(own, around)
    if auth_type == "workload_identity":
        return _proving(auth_type, own, around)
    if auth_type == "cli":
        return _giving_way(_cli(own, around), UnauthenticatedError)
    # Here, and only here, the variable of applications names the machine's identity too.
    client_id = given.get("client_id")
    named = own if client_id is None else replace(own, settings={**own.settings, "client_id": client_id})
    return _giving_way(_managed_identity(named, around), NobodyThereError)


def _giving_way(method: Method, kind: type[StorageError]) -> Method:
    async def fetch() -> Outcome:
        try:
            return await method.fetch()
        except kind as exc:
            raise MissingCredentialsError(exc.message, provider="azure", code=exc.code) from None

    return replace(method, fetch=fetch)


_MAKERS: Final[Mapping[str, Callable[[Given, Surroundings], Method]]] = {
    "default": _default,
    "account_key": _account_key,
    "sas": _sas,
    "connection_string": _connection_string,
    "anonymous": _anonymous,
    "environment": _environment,
    "client_secret": _application("client_secret"),
    "client_certificate": _application("client_certificate"),
    "managed_identity": _managed_identity,
    "workload_identity": _application("workload_identity"),
    "cli": _cli,
    "token": _token,
}
