"""
What a storage account itself gives out: keys, signatures, and connection strings with one of them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from asyncstore.auth.azure_access import KeyAccess, SASAccess
from asyncstore.auth.azure_sas import read_sas
from asyncstore.auth.azure_shared_key import SharedKey
from asyncstore.auth.azure_token import AccessGrant
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import ConfigurationError, UnauthenticatedError

Fetch = Callable[[], Awaitable[AccessGrant]]


async def nothing() -> AccessGrant:
    """
    Return what lets requests in that go out bare.
    """
    return Grant(None)


def key_fetch(account: str | None, value: Any) -> Fetch:
    """
    Return what fetches the key of *account*: text, a :class:`Secret` or a function.

    Without an account it is filled in later, once the endpoint tells it.

    Raises:
        ConfigurationError: It is no key.
    """
    # Known by now, so that a wrong one is refused before the first request.
    fixed = None if callable(value) else SharedKey.parse(account or "", plain_text("account_key", value))

    async def fetch() -> AccessGrant:
        key = fixed or SharedKey.parse(account or "", await _called("account_key", value))
        return Grant(KeyAccess(key))

    return fetch


def sas_fetch(value: Any) -> Fetch:
    """
    Return what fetches a signature: text, a :class:`Secret` or a function.

    Raises:
        ConfigurationError: It is no signature.
    """
    if not callable(value):
        read_sas(plain_text("sas_token", value))

    async def fetch() -> AccessGrant:
        query, end = read_sas(await _called("sas_token", value))
        # One that cannot be renewed is sent to its end and after: the service says best what is wrong.
        ttl = None if end is None or not callable(value) else end.timestamp() - time.time()
        return Grant(SASAccess(query), ttl)

    return fetch


def plain_text(name: str, value: Any) -> str:
    """
    Return the text of a secret that is no function.

    Raises:
        ConfigurationError: It is something else.
        UnauthenticatedError: It is empty.
    """
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise ConfigurationError(f"{name} is text or a Secret, not {type(value).__name__}")
    if not text:
        raise UnauthenticatedError(f"the {name} is empty")
    return text


async def _called(name: str, value: Any) -> str:
    return plain_text(name, await secret_text(name, value) or "")
