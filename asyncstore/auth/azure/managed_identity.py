"""
Managed identities: tokens from a service on the machine itself.

https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from asyncstore.auth.azure import arc as azure_arc
from asyncstore.auth.azure.entra import redacted_message
from asyncstore.auth.azure.identity_services import IMDS, IdentityService, check_near, find_identity_service
from asyncstore.auth.azure.token import RESOURCE, AccessGrant, token_grant
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import MissingCredentialsError, NoLocalServiceError
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

_IDS: Final = ("client_id", "object_id", "resource_id")

# The service answers these while it is updated, and for new identities.
# https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
_TRANSIENT: Final = frozenset({404, 410})


class ManagedIdentity:
    """
    Requests tokens from the identity service of this machine, never through a proxy.

    Raises:
        ConfigurationError: The settings name more than one identity.
    """

    def __init__(self, settings: MethodSettings, service: TokenService) -> None:
        self._service = service
        self._settings = settings
        ids = [name for name in _IDS if name in settings]
        if len(ids) > 1:
            raise ConfigurationError(f"a managed identity needs one id: set {' or '.join(ids)}, not both")
        self._id = ids[0] if ids else None
        if "metadata_endpoint" in settings.explicit:
            check_near(str(settings.explicit["metadata_endpoint"]), "metadata_endpoint")

    async def fetch(self) -> AccessGrant:
        """
        Return a new token.
        """
        source = find_identity_service(str(self._settings.get("metadata_endpoint") or IMDS))
        answer = await self._request(source)
        if answer.status != 200:
            raise _refusal(answer, source, self._id)
        document = answer.document()
        if not document:
            # Other networks run different services at this address.
            raise MissingCredentialsError(f"{answer.place} is not an Azure identity service", provider="azure")
        if source.name == azure_arc.NAME:
            azure_arc.check_identity(document, self._id, self._value)
        grant = token_grant(document, source.name, clock_offset=answer.clock_offset())
        return replace(grant, source=source.name)

    async def _request(self, source: IdentityService) -> Answer:
        fields, send = {"resource": RESOURCE, **self._id_field(source)}, self._service.send
        if source.version is None:
            return await send("POST", source.url, source.headers, urlencode(fields).encode(), near=True)
        url = f"{source.url}?{urlencode({'api-version': source.version, **fields})}"
        answer = await send("GET", url, source.headers, near=True, pin=source.pin)
        if source.name == azure_arc.NAME and answer.status == 401:
            return await azure_arc.answer_challenge(self._service, url, answer)
        return answer

    @property
    def _value(self) -> str:
        return "" if self._id is None else str(self._settings.get(self._id))

    def _id_field(self, source: IdentityService) -> dict[str, str]:
        if self._id is None:
            return {}
        if self._id not in source.id_names:
            known = " or ".join(source.id_names) or "none"
            raise ConfigurationError(
                f"{source.name} does not support selecting an identity by {self._id}; it supports {known}"
            )
        return {source.id_names[self._id]: self._value}


def _refusal(answer: Answer, source: IdentityService, id_name: str | None) -> StorageError:
    document, place = answer.document(), f"{source.name} at {answer.place}"
    kind: type[StorageError] = UnauthenticatedError
    message = document.get("error_description") or document.get("message")
    text = f"{place} refused to issue a token"
    if isinstance(message, str):
        text += f": {redacted_message(message, source.headers.values())}"
    if answer.transient or answer.status in _TRANSIENT:
        kind, text = UnavailableError, f"{place} is temporarily unavailable"
    elif answer.status == 403 and b"unreachable" in answer.body:
        # The reply of Docker Desktop's proxy.
        kind, text = NoLocalServiceError, f"{answer.place} is unreachable"
    elif answer.status == 400:
        which = f"no identity with this {id_name}" if id_name else "no identity assigned to this machine"
        kind, text = MissingCredentialsError, f"{place} reports {which}"
    code = document.get("error") or document.get("code")
    known = code if isinstance(code, str) and len(code) < 64 else None
    return kind(text, provider="azure", code=known, status=answer.status)
