"""
The ways to be let into Azure Storage, each made of its own settings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
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
from asyncstore.auth.azure_table import METHODS
from asyncstore.auth.azure_token import AccessGrant
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.method import GIVEN, Given, method_of
from asyncstore.auth.token_service import TokenService
from asyncstore.errors import ConfigurationError

#: Secrets of the account itself: the setting of each method.
OF_ACCOUNT: Final = {"connection_string": "connection_string", "account_key": "account_key", "sas": "sas_token"}

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


def given_for(auth_type: str, settings: Mapping[str, Any]) -> Given:
    """
    Return those of *settings* that *auth_type* takes.
    """
    declared = method_of(METHODS, auth_type, "Azure").settings
    names = {setting.name for setting in declared}
    return Given({name: value for name, value in settings.items() if name in names}, declared)


def account_of_settings(given: Given, around: Surroundings, *others: str | None) -> str | None:
    """
    Return the one account that settings and URI name, else that of the environment.

    Raises:
        ConfigurationError: They name two.
    """
    said = sorted({name for name in (given.settings.get("account_name"), around.account, *others) if name})
    if len(said) > 1:
        raise ConfigurationError(f"two storage accounts are named: {' and '.join(said)}")
    return said[0] if said else given.get("account_name")


def _source(given: Given, name: str) -> str:
    return GIVEN if given.source(name) == GIVEN else "environment"


def _value(given: Given, auth_type: str) -> Any:
    name = OF_ACCOUNT.get(auth_type, "credential")
    value = given.get(name)
    if value is None:
        raise ConfigurationError(f"auth_type {auth_type!r} needs {name}")
    return value


def _told(fetch: Fetch, source: str) -> Callable[[], Awaitable[Outcome]]:
    async def fetch_and_tell() -> Outcome:
        return await fetch(), source

    return fetch_and_tell


def anonymous_method(given: Given, around: Surroundings) -> Method:
    """
    Return access for requests that go out bare.
    """
    account = account_of_settings(given, around)
    return Method("anonymous", GIVEN, given, _told(nothing, GIVEN), account, renewable=False)


def account_key_method(given: Given, around: Surroundings) -> Method:
    """
    Return access by the account's key.
    """
    value, source = _value(given, "account_key"), _source(given, "account_key")
    account = account_of_settings(given, around)
    fetch = key_fetch(account, value)
    return Method("account_key", source, given, _told(fetch, source), account, renewable=callable(value))


def sas_method(given: Given, around: Surroundings) -> Method:
    """
    Return access by a signature.
    """
    value, source = _value(given, "sas"), _source(given, "sas_token")
    fetch = _told(sas_fetch(value), source)
    return Method("sas", source, given, fetch, account_of_settings(given, around), renewable=callable(value))


def connection_string_method(given: Given, around: Surroundings) -> Method:
    """
    Return access by whichever of the two a connection string holds.
    """
    text, source = _value(given, "connection_string"), _source(given, "connection_string")
    said = parse_connection_string(plain_text("connection_string", text))
    # Not that of the environment: a string can name a domain of its own, and no account.
    named = Given(given.settings, tuple(replace(setting, variables=()) for setting in given.declared))
    account = account_of_settings(named, around, said.account)
    fetch: Fetch = nothing
    if said.key is not None:
        fetch = key_fetch(account, said.key)
    elif said.sas is not None:
        fetch = sas_fetch(said.sas)
    kind = "anonymous" if fetch is nothing else "connection_string"
    return Method(kind, source, given, _told(fetch, source), account, said.endpoint, renewable=False)


def token_method(given: Given, around: Surroundings) -> Method:
    """
    Return access by somebody else's credential.
    """
    credential = _value(given, "token")
    source = type(credential).__name__
    fetch = TokenCredential(credential, around.challenge).fetch
    return Method("token", source, given, _told(fetch, source), account_of_settings(given, around))


def application_method(auth_type: str, given: Given, around: Surroundings) -> Method:
    """
    Return an application, all or nothing of which has to be set.

    Raises:
        ConfigurationError: Some of it is missing.
    """
    check_complete(given, auth_type)
    return proving_method(auth_type, given, around)


def proving_method(auth_type: str, given: Given, around: Surroundings) -> Method:
    """
    Return an application that proves itself, if it can by the time that a token is wanted.
    """
    application = Application(given, around.service, around.challenge)
    client_id = given.get("client_id")
    source = "the environment" if client_id is None else f"the application {client_id}"
    fetch = PROVING[auth_type](given, application).fetch
    return Method(auth_type, source, given, _told(fetch, source), account_of_settings(given, around))


def environment_method(given: Given, around: Surroundings) -> Method:
    """
    Return whichever application the variables are there for.
    """
    methods = [
        proving_method(kind, given_for(kind, given.settings), around)
        for kind in ("client_secret", "client_certificate")
    ]

    async def fetch() -> Outcome:
        for method in methods:
            if proof_in(method.given, method.auth_type):
                grant, source = await method.fetch()
                return grant, f"{source}, by {method.auth_type}"
        raise MissingCredentialsError("neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set")

    return Method("environment", "environment", given, fetch, account_of_settings(given, around))


def managed_identity_method(given: Given, around: Surroundings) -> Method:
    """
    Return the machine's identity.
    """
    identity = ManagedIdentity(given, around.service)
    return Method(
        "managed_identity", "the machine's identity", given, identity.fetch, account_of_settings(given, around)
    )


def cli_method(given: Given, around: Surroundings) -> Method:
    """
    Return whoever logged in by the Azure CLI.
    """
    source = "the account of az login"
    fetch = AzureCLI(given, around.challenge).fetch
    return Method("cli", source, given, _told(fetch, source), account_of_settings(given, around))
