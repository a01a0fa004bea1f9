"""
Credentials of the storage account itself: account keys and SAS tokens.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from asyncstore.auth.azure.access import KeyAccess, SASAccess
from asyncstore.auth.azure.sas import read_sas
from asyncstore.auth.azure.shared_key import SharedKey
from asyncstore.auth.azure.token import AccessGrant
from asyncstore.auth.tokens import Grant, Secret, secret_text
from asyncstore.errors import ConfigurationError, UnauthenticatedError

Fetch = Callable[[], Awaitable[AccessGrant]]


async def no_access() -> AccessGrant:
    """
    Return the grant for requests that are sent without credentials.
    """
    return Grant(None)


def key_fetch(account: str | None, value: Any) -> Fetch:
    """
    Return a function that fetches the key of *account* from text, a :class:`Secret` or a function.

    If the account is not known yet, it is filled in later from the endpoint.

    Raises:
        ConfigurationError: The value is not an account key.
    """
    # Parsed now, so that an invalid key fails before the first request.
    fixed = None if callable(value) else SharedKey.parse(account or "", plain_text("account_key", value))

    async def fetch() -> AccessGrant:
        key = fixed or SharedKey.parse(account or "", await _called("account_key", value))
        return Grant(KeyAccess(key))

    return fetch


def sas_fetch(value: Any) -> Fetch:
    """
    Return a function that fetches a SAS token from text, a :class:`Secret` or a function.

    Raises:
        ConfigurationError: The value is not a SAS token.
    """
    if not callable(value):
        read_sas(plain_text("sas_token", value))

    async def fetch() -> AccessGrant:
        query, end = read_sas(await _called("sas_token", value))
        # A fixed token is sent even after it has expired: the service's error is the most precise.
        ttl = None if end is None or not callable(value) else end.timestamp() - time.time()
        return Grant(SASAccess(query), ttl)

    return fetch


def plain_text(name: str, value: Any) -> str:
    """
    Return the text of a secret: text or a :class:`Secret`, not a function.

    Raises:
        ConfigurationError: It has another type.
        UnauthenticatedError: It is empty.
    """
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise ConfigurationError(f"{name} must be text or a Secret, not {type(value).__name__}")
    if not text:
        raise UnauthenticatedError(f"the {name} is empty")
    return text


async def _called(name: str, value: Any) -> str:
    return plain_text(name, await secret_text(name, value) or "")
