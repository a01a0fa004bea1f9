"""
Microsoft Entra's token service: the client credentials flow.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from asyncstore._support.redact import redact
from asyncstore.auth.azure.challenge import Challenge, is_tenant
from asyncstore.auth.azure.token import SCOPE, AccessGrant, token_grant
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError
from asyncstore.http.clock import ServerClock

#: The token services of the public cloud, and of others by the DNS suffix of their storage:
#: https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
AUTHORITY: Final = "login.microsoftonline.com"
AUTHORITIES: Final = {
    "core.usgovcloudapi.net": "login.microsoftonline.us",
    "core.chinacloudapi.cn": "login.chinacloudapi.cn",
}

FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}

# An application id is a GUID or an application ID URI.
_CLIENT: Final = re.compile(r"[\w.:/-]{1,255}", re.ASCII)

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_TRANSIENT: Final = frozenset({"temporarily_unavailable", "server_error"})
_CODE: Final = re.compile(r"AADSTS\d{4,9}")


#: Returns the form fields that authenticate an application. Arguments: the token URL,
#: and the seconds by which the clock of that service is ahead of ours.
Proof = Callable[[str, float], Awaitable[Mapping[str, str]]]


class Application:
    """
    Requests tokens for one application in its tenant.

    Args:
        settings: Tenant and client id; both are needed only when a token is requested.
        challenge: What the storage service asks of the next token.
        authority: The token service, if the settings name none.

    Raises:
        ConfigurationError: A setting has an invalid value.
    """

    def __init__(
        self, settings: MethodSettings, service: TokenService, challenge: Challenge, authority: str = AUTHORITY
    ) -> None:
        self._settings = settings
        self._authority = authority
        self._service = service
        self._challenge = challenge
        self._clock = ServerClock()
        # The tenant of an earlier challenge that issued a token to this application.
        self._accepted: str | None = None
        authority_of(settings, authority)
        for name, check in (("tenant_id", is_tenant), ("client_id", _CLIENT.fullmatch)):
            value = settings.explicit.get(name)
            if value is not None and not check(str(value)):
                raise ConfigurationError(f"{name} {value!r} is not valid: use letters, digits, dots and hyphens")

    async def token(self, proof: Proof) -> AccessGrant:
        """
        Return a token for the application that *proof* authenticates.

        Raises:
            UnauthenticatedError: The service refused to issue a token.
            UnavailableError: The service could not be reached or failed.
        """
        tenant = self._tenant()
        url = f"{authority_of(self._settings, self._authority)}/{tenant}/oauth2/v2.0/token"
        fields = {
            "client_id": str(self._settings.get("client_id")),
            "grant_type": "client_credentials",
            "scope": SCOPE,
        }
        if (claims := self._challenge.claims) is not None:
            fields["claims"] = claims
        answer, secrets = await self._send_with_proof(url, fields, proof)
        if answer.status != 200:
            raise _refusal(answer, secrets.values())
        grant = token_grant(answer.document(), answer.place)
        self._accepted = tenant
        return grant

    async def _send_with_proof(
        self, url: str, fields: Mapping[str, str], proof: Proof
    ) -> tuple[Answer, Mapping[str, str]]:
        first = await proof(url, self._clock.offset)
        answer = await self._send(url, {**fields, **first})
        if answer.status not in (400, 401) or not self._clock.learn(answer.headers):
            return answer, first
        second = await proof(url, self._clock.offset)
        # A client secret does not depend on the clock and would be rejected again.
        return (answer, first) if second == first else (await self._send(url, {**fields, **second}), second)

    async def _send(self, url: str, fields: Mapping[str, str]) -> Answer:
        return await self._service.send("POST", url, FORM, urlencode(fields).encode())

    def _tenant(self) -> str:
        own, wanted = str(self._settings.get("tenant_id")), self._challenge.tenant or self._accepted
        if not is_tenant(own):
            raise ConfigurationError(f"tenant_id {own!r} is not valid: use letters, digits, dots and hyphens")
        if wanted is None or wanted.lower() == own.lower():
            return own
        allowed = _parse_list(self._settings.get("additionally_allowed_tenants"))
        if "*" in allowed or wanted.lower() in allowed:
            return wanted
        if "." in own:
            # A domain can belong to the wanted tenant: only ids can be compared.
            return own
        raise UnauthenticatedError(
            f"the storage account is in tenant {wanted}, the application in {own}: set tenant_id to {wanted}, or "
            "add it to additionally_allowed_tenants if the application exists there too",
            provider="azure",
        )


def authority_of(settings: MethodSettings, default: str = AUTHORITY) -> str:
    """
    Return the URL of the token service.

    Raises:
        ConfigurationError: It is not an HTTPS address.
    """
    text = str(settings.get("authority_host") or default).strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:
        parts = urlsplit("")
    if not parts.hostname or parts.scheme != "https" or parts.query or parts.fragment or parts.username is not None:
        # The value is not shown: it can contain a password.
        raise ConfigurationError(f"authority_host must be the https address of a token service, such as {AUTHORITY}")
    return f"https://{parts.netloc}{parts.path}".rstrip("/")


def _parse_list(value: Any) -> set[str]:
    items = value.split(",") if isinstance(value, str) else value or ()
    return {str(item).strip().lower() for item in items}


def redacted_message(text: str, secrets: Iterable[str]) -> str:
    """
    Return the first line of a service's error message, with *secrets* that it repeats removed.
    """
    for secret in secrets:
        # Short values are ordinary words, such as "true".
        text = text.replace(secret, "***") if len(secret) > 4 else text
    return redact(text.strip().partition("\n")[0].rstrip())[:300]


def _refusal(answer: Answer, secrets: Iterable[str]) -> StorageError:
    document = answer.document()
    error = document.get("error")
    code = error if isinstance(error, str) and len(error) < 64 else None
    transient = code in _TRANSIENT
    text = f"{answer.place} refused to issue a token"
    description = document.get("error_description")
    if isinstance(description, str):
        text += f": {redacted_message(description, secrets)}"
        if found := _CODE.search(description):
            code = found.group()
    trace = document.get("trace_id")
    request_id = trace[:64] if isinstance(trace, str) else None
    return answer.refusal(text, provider="azure", code=code, transient=transient, request_id=request_id)
