"""
The ways to be let into Azure Storage, and which of them some settings mean.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import anyio.to_thread

from asyncstore.auth.azure_access import Access, KeyAccess, SASAccess, TokenAccess
from asyncstore.auth.azure_account import ConnectionString, parse_connection_string
from asyncstore.auth.azure_sas import read_sas
from asyncstore.auth.azure_shared_key import SharedKey
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError, UnauthenticatedError

#: Settings that :func:`azure_credentials` takes.
SETTINGS: Final = ("account_name", "account_key", "sas_token", "connection_string", "credential", "anonymous")

AUTH_TYPES: Final = ("default", "account_key", "sas", "connection_string", "token", "anonymous")

#: What a token is asked for.
SCOPE: Final = "https://storage.azure.com/.default"

_ALIASES: Final = {f"azure_{name}": name for name in SETTINGS if name not in ("credential", "anonymous")}

# The setting that each type is about, and the variables that can stand for it:
# https://learn.microsoft.com/cli/azure/azure-cli-configuration and AzCopy's names.
_OF_TYPE: Final = {
    "connection_string": "connection_string",
    "token": "credential",
    "account_key": "account_key",
    "sas": "sas_token",
}
_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "connection_string": ("AZURE_STORAGE_CONNECTION_STRING",),
    "account_key": ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
    "sas_token": ("AZURE_STORAGE_SAS_TOKEN",),
    "account_name": ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
}

#: Access (``None`` for requests that go out bare).
Fetch = Callable[[], Awaitable[Grant[Access | None]]]


@dataclass(frozen=True, slots=True)
class Method:
    """
    One way to be let in, chosen by the settings.

    Attributes:
        source: Where the credentials come from; never a secret.
        account: The storage account, as far as settings and environment say.
        endpoint: Where a connection string says that the blobs are.
        renewable: Whether asking again can give something else.
    """

    auth_type: str
    source: str
    fetch: Fetch
    account: str | None = None
    endpoint: str | None = None
    renewable: bool = False


def take_settings(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for name in (*SETTINGS, *_ALIASES):
        if name not in settings:
            continue
        own = _ALIASES.get(name, name)
        if own in taken:
            raise ConfigurationError(f"give {own} or {name}, not both")
        taken[own] = settings.pop(name)
    return {name: value for name, value in taken.items() if value is not None}


def known_settings(auth: AuthConfig) -> dict[str, Any]:
    rest = dict(auth.settings)
    known = take_settings(rest)
    if rest:
        raise ConfigurationError(f"unknown settings {sorted(rest)} for Azure credentials; known are {sorted(SETTINGS)}")
    return known


def choose(auth_type: str, settings: Mapping[str, Any], account: str | None) -> Method:
    """
    Return the method that *settings* mean; *account* is that of the URI.

    Raises:
        ConfigurationError: Settings are missing or contradict each other.
    """
    if auth_type not in AUTH_TYPES:
        raise ConfigurationError(f"Azure has no auth_type {auth_type!r}; it has {', '.join(AUTH_TYPES)}")
    given = [kind for kind, name in _OF_TYPE.items() if name in settings]
    anonymous = flag(settings.get("anonymous", False))
    if len(given) + anonymous > 1:
        names = [_OF_TYPE[kind] for kind in given] + ["anonymous"] * anonymous
        raise ConfigurationError(f"give one of {', '.join(names)}, not several")
    said = "anonymous" if anonymous else given[0] if given else None
    if auth_type not in ("default", said) and said is not None:
        raise ConfigurationError(f"auth_type {auth_type!r} takes no {_OF_TYPE.get(said, said)}")
    kind = said if auth_type == "default" else auth_type
    source = "settings" if said is not None or kind == "anonymous" else "environment"
    values = settings if source == "settings" else _environment(kind)
    name = _one_account(settings.get("account_name"), account)
    if kind is None:
        kind = next((kind for kind, setting in _OF_TYPE.items() if setting in values), None)
    if kind is None:
        raise ConfigurationError(
            "no Azure credentials: give connection_string, account_key, sas_token, a credential of azure-identity, "
            "or anonymous=True; or set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"
        )
    return _made(kind, source, values, name)


def _environment(kind: str | None) -> dict[str, str]:
    wanted = [_OF_TYPE[kind]] if kind in _OF_TYPE else list(_OF_TYPE.values())
    return {name: value for name in wanted if (value := _variable(name))}


def _variable(name: str) -> str | None:
    return next((value for variable in _VARIABLES.get(name, ()) if (value := os.environ.get(variable))), None)


def _one_account(*names: str | None) -> str | None:
    said = sorted({name for name in names if name})
    if len(said) > 1:
        raise ConfigurationError(f"two storage accounts are named: {' and '.join(said)}")
    return said[0] if said else None


def _made(kind: str, source: str, values: Mapping[str, Any], account: str | None) -> Method:
    account_or_default = account or _variable("account_name")
    if kind == "anonymous":
        return Method(kind, source, _anonymous, account_or_default)
    value = values.get(_OF_TYPE[kind])
    if value is None:
        raise ConfigurationError(f"auth_type {kind!r} needs {_OF_TYPE[kind]}")
    if kind == "connection_string":
        return _of_connection_string(source, parse_connection_string(_plain(value)), account)
    if kind == "account_key":
        return Method(kind, source, _key(account_or_default, value), account_or_default, renewable=callable(value))
    if kind == "sas":
        return Method(kind, source, _sas(value), account_or_default, renewable=callable(value))
    return Method(kind, type(value).__name__, _token(value), account_or_default, renewable=True)


def _plain(value: Any) -> str:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise ConfigurationError(f"a connection string is text or a Secret, not {type(value).__name__}")
    return text


def _of_connection_string(source: str, said: ConnectionString, account: str | None) -> Method:
    name = _one_account(said.account, account)
    fetch: Fetch = _anonymous
    if said.key is not None:
        fetch = _key(name, said.key)
    elif said.sas is not None:
        fetch = _sas(said.sas)
    bare = fetch is _anonymous
    return Method("anonymous" if bare else "connection_string", source, fetch, name, said.endpoint)


async def _anonymous() -> Grant[Access | None]:
    return Grant(None)


def _key(account: str | None, value: Any) -> Fetch:
    # Known by now, so that a wrong one is refused before the first request.
    fixed = None if callable(value) else _shared_key(account, _text_of("account_key", value))

    async def fetch() -> Grant[Access | None]:
        key = fixed or _shared_key(account, await _called("account_key", value))
        return Grant(KeyAccess(key))

    return fetch


def _shared_key(account: str | None, text: str) -> SharedKey:
    if not account:
        # Filled in by the credentials, once the endpoint tells it.
        return SharedKey.parse("", text)
    return SharedKey.parse(account, text)


def _sas(value: Any) -> Fetch:
    if not callable(value):
        read_sas(_text_of("sas_token", value))

    async def fetch() -> Grant[Access | None]:
        query, end = read_sas(await _called("sas_token", value))
        # One that cannot be renewed is sent to its end and after: the service says best what is wrong.
        ttl = None if end is None or not callable(value) else end.timestamp() - time.time()
        return Grant(SASAccess(query), ttl)

    return fetch


def _token(credential: Any) -> Fetch:
    get_token = getattr(credential, "get_token", None)
    if not callable(get_token):
        raise ConfigurationError(
            f"credential is a token credential of azure-identity, with get_token(), not {type(credential).__name__}"
        )

    async def fetch() -> Grant[Access | None]:
        found: Any
        if inspect.iscoroutinefunction(get_token):
            found = await get_token(SCOPE)
        else:
            # A synchronous credential can wait for minutes; whoever waits for it is not held up.
            found = await anyio.to_thread.run_sync(get_token, SCOPE, abandon_on_cancel=True)
            if inspect.isawaitable(found):
                found = await found
        return Grant(TokenAccess(found.token), found.expires_on - time.time())

    return fetch


async def _called(name: str, value: Any) -> str:
    if inspect.iscoroutinefunction(value):
        value = await value()
    elif callable(value):
        value = await anyio.to_thread.run_sync(value, abandon_on_cancel=True)
        value = await value if inspect.isawaitable(value) else value
    return _text_of(name, value)


def _text_of(name: str, value: Any) -> str:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise ConfigurationError(f"{name} is text, a Secret or a function that returns one, not {type(value).__name__}")
    if not text:
        raise UnauthenticatedError(f"the {name} is empty")
    return text
