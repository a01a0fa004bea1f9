"""
Microsoft Entra's token service, for applications that prove who they are.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from asyncstore.auth.azure_challenge import Challenge, is_tenant
from asyncstore.auth.azure_token import SCOPE, AccessGrant, token_grant
from asyncstore.auth.method import Given
from asyncstore.auth.redact import redact
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

#: Of the public cloud; others: https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
AUTHORITY: Final = "login.microsoftonline.com"

#: How the fields of a request are sent.
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}

# An application's id is a GUID, or the URI that it was given.
_CLIENT: Final = re.compile(r"[\w.:/-]{1,255}", re.ASCII)

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_PASSING: Final = frozenset({"temporarily_unavailable", "server_error"})
_CODE: Final = re.compile(r"AADSTS\d{4,9}")

# Assertions are good for minutes: clocks that differ by less are not what is refused.
_CLOCK_TOLERANCE: Final = 60.0

#: What an application proves itself by: fields of the form, for requests to the address
#: given, whose clock is ahead of ours by the seconds given.
Proof = Callable[[str, float], Awaitable[Mapping[str, str]]]


class Application:
    """
    An application of one directory, which asks for tokens in its own name.

    Args:
        given: Names both of them by the time that a token is asked for.
        challenge: What the storage last asked for.

    Raises:
        ConfigurationError: A setting is not what it can be.
    """

    def __init__(self, given: Given, service: TokenService, challenge: Challenge) -> None:
        self._given = given
        self._service = service
        self._challenge = challenge
        self._clock_offset = 0.0
        # Of another directory, which a storage asked for, and which gave us a token.
        self._accepted: str | None = None
        authority_of(given)
        for name, check in (("tenant_id", is_tenant), ("client_id", _CLIENT.fullmatch)):
            value = given.settings.get(name)
            if value is not None and not check(str(value)):
                raise ConfigurationError(f"{name} {value!r} is none: it has letters, digits, dots and hyphens")

    async def token(self, proof: Proof) -> AccessGrant:
        """
        Return a token for whoever *proof* proves.

        Raises:
            UnauthenticatedError: The service gives no token.
            UnavailableError: It could not be reached, or is in trouble.
        """
        tenant = self._tenant()
        url = f"{authority_of(self._given)}/{tenant}/oauth2/v2.0/token"
        fields = {
            "client_id": str(self._given.get("client_id")),
            "grant_type": "client_credentials",
            "scope": SCOPE,
        }
        if (claims := self._challenge.claims) is not None:
            fields["claims"] = claims
        answer, proved = await self._proved(url, fields, proof)
        if answer.status != 200:
            raise _refusal(answer, proved.values())
        grant = token_grant(answer.document(), answer.place)
        self._accepted = tenant
        return grant

    async def _proved(self, url: str, fields: Mapping[str, str], proof: Proof) -> tuple[Answer, Mapping[str, str]]:
        proved = await proof(url, self._clock_offset)
        answer = await self._send(url, {**fields, **proved})
        offset = answer.clock_offset()
        if answer.status not in (400, 401) or abs(offset - self._clock_offset) <= _CLOCK_TOLERANCE:
            return answer, proved
        self._clock_offset = offset
        again = await proof(url, offset)
        # A password tells no time: it would be refused again.
        return (answer, proved) if again == proved else (await self._send(url, {**fields, **again}), again)

    async def _send(self, url: str, fields: Mapping[str, str]) -> Answer:
        return await self._service.send("POST", url, FORM, urlencode(fields).encode())

    def _tenant(self) -> str:
        own, asked = str(self._given.get("tenant_id")), self._challenge.tenant or self._accepted
        if not is_tenant(own):
            raise ConfigurationError(f"tenant_id {own!r} is none: it has letters, digits, dots and hyphens")
        if asked is None or asked.lower() == own.lower():
            return own
        allowed = _listed(self._given.get("additionally_allowed_tenants"))
        if "*" in allowed or asked.lower() in allowed:
            return asked
        if "." in own:
            # A domain may well be that directory: only ids can be told apart.
            return own
        raise UnauthenticatedError(
            f"the storage account belongs to the directory {asked}, the application to {own}: set tenant_id to the "
            "former, or name it in additionally_allowed_tenants if the application is there too",
            provider="azure",
        )


def authority_of(given: Given) -> str:
    """
    Return the URL of the token service.

    Raises:
        ConfigurationError: It is not https.
    """
    text = str(given.get("authority_host") or AUTHORITY).strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:
        parts = urlsplit("")
    if not parts.hostname or parts.scheme != "https" or parts.query or parts.fragment or parts.username is not None:
        # Not shown: it could hold a password.
        raise ConfigurationError(f"authority_host is the https address of a token service, such as {AUTHORITY}")
    return f"https://{parts.netloc}{parts.path}".rstrip("/")


def _listed(value: Any) -> set[str]:
    items = value.split(",") if isinstance(value, str) else value or ()
    return {str(item).strip().lower() for item in items}


def words_of(text: str, secrets: Iterable[str]) -> str:
    """
    Return the first line of what a service said, without *secrets* that it repeats.
    """
    for secret in secrets:
        # Short ones are words, such as "true".
        text = text.replace(secret, "***") if len(secret) > 4 else text
    return redact(text.strip().partition("\n")[0].rstrip())[:300]


def _refusal(answer: Answer, secrets: Iterable[str]) -> StorageError:
    document = answer.document()
    error = document.get("error")
    code = error if isinstance(error, str) and len(error) < 64 else None
    kind = UnavailableError if answer.passing or code in _PASSING else UnauthenticatedError
    text = f"{answer.place} gives no token"
    description = document.get("error_description")
    if isinstance(description, str):
        text += f": {words_of(description, secrets)}"
        if found := _CODE.search(description):
            code = found.group()
    trace = document.get("trace_id")
    return kind(
        text,
        provider="azure",
        code=code,
        status=answer.status,
        request_id=trace[:64] if isinstance(trace, str) else None,
    )
