"""
Tokens of the machine's own identity.

https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from asyncstore.auth import azure_arc
from asyncstore.auth.azure_entra import words_of
from asyncstore.auth.azure_places import IMDS, Place, check_near, place_of_identity
from asyncstore.auth.azure_token import RESOURCE, AccessGrant, token_grant
from asyncstore.auth.chain import MissingCredentialsError, NobodyThereError
from asyncstore.auth.method import Given
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

_IDS: Final = ("client_id", "object_id", "resource_id")

# While it is updated; new identities take a while, too.
# https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
_PASSING: Final = frozenset({404, 410})


class ManagedIdentity:
    """
    Asks the service of this machine, never through a proxy.

    Raises:
        ConfigurationError: More than one identity is named.
    """

    def __init__(self, given: Given, service: TokenService) -> None:
        self._service = service
        self._given = given
        ids = [name for name in _IDS if name in {setting.name for setting in given.declared} and name in given]
        if len(ids) > 1:
            raise ConfigurationError(f"a managed identity is named once: give {' or '.join(ids)}, not both")
        self._id = ids[0] if ids else None
        if "metadata_endpoint" in given.settings:
            check_near(str(given.settings["metadata_endpoint"]), "metadata_endpoint")

    async def fetch(self) -> tuple[AccessGrant, str]:
        """
        Return a token, and whose service gave it.
        """
        place = place_of_identity(str(self._given.get("metadata_endpoint") or IMDS))
        answer = await self._asked(place)
        if answer.status != 200:
            raise _refusal(answer, place, self._id)
        document = answer.document()
        if not document:
            # Networks have services of their own at this address.
            raise MissingCredentialsError(f"{answer.place} is no service of Azure", provider="azure")
        if place.name == azure_arc.NAME:
            azure_arc.check_identity(document, self._id, self._value)
        return token_grant(document, place.name, clock_offset=answer.clock_offset()), place.name

    async def _asked(self, place: Place) -> Answer:
        fields, send = {"resource": RESOURCE, **self._chosen(place)}, self._service.send
        if place.version is None:
            return await send("POST", place.url, place.headers, urlencode(fields).encode(), near=True)
        url = f"{place.url}?{urlencode({'api-version': place.version, **fields})}"
        answer = await send("GET", url, place.headers, near=True, pin=place.pin)
        if place.name == azure_arc.NAME and answer.status == 401:
            return await azure_arc.answered(self._service, url, answer)
        return answer

    @property
    def _value(self) -> str:
        return "" if self._id is None else str(self._given.get(self._id))

    def _chosen(self, place: Place) -> dict[str, str]:
        if self._id is None:
            return {}
        if self._id not in place.names:
            known = " or ".join(place.names) or "none"
            raise ConfigurationError(f"{place.name} takes no {self._id} to name an identity by; it takes {known}")
        return {place.names[self._id]: self._value}


def _refusal(answer: Answer, asked: Place, chosen: str | None) -> StorageError:
    document, place = answer.document(), f"{asked.name} at {answer.place}"
    kind: type[StorageError] = UnauthenticatedError
    said = document.get("error_description") or document.get("message")
    text = f"{place} gives no token" + (f": {words_of(said, asked.headers.values())}" if isinstance(said, str) else "")
    if answer.passing or answer.status in _PASSING:
        kind, text = UnavailableError, f"{place} is in trouble"
    elif answer.status == 403 and b"unreachable" in answer.body:
        # So says the proxy of Docker Desktop.
        kind, text = NobodyThereError, f"nobody at {answer.place}"
    elif answer.status == 400:
        what = f"no identity with this {chosen}" if chosen else "no identity of its own"
        kind, text = MissingCredentialsError, f"{place} says that there is {what}"
    code = document.get("error") or document.get("code")
    known = code if isinstance(code, str) and len(code) < 64 else None
    return kind(text, provider="azure", code=known, status=answer.status)
