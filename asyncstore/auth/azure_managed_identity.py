"""
Tokens of the machine's own identity, from the service that Azure provides there.

=============== ============================================================= ============
where           what names the service                                        its secret
=============== ============================================================= ============
App Service     ``IDENTITY_ENDPOINT``, also of functions and container apps   a header
Azure Arc       ``IDENTITY_ENDPOINT`` with ``IMDS_ENDPOINT``                  a file of root's
Cloud Shell     ``MSI_ENDPOINT``                                              none
Machine Learning ``MSI_ENDPOINT`` with ``MSI_SECRET``                         a header
others          none: the metadata service of virtual machines                none
=============== ============================================================= ============

https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit

from asyncstore.auth import azure_arc
from asyncstore.auth.azure_entra import FORM, words_of
from asyncstore.auth.azure_token import RESOURCE, AccessGrant, token_grant
from asyncstore.auth.chain import MissingCredentialsError, NobodyThereError
from asyncstore.auth.credentials import is_loopback
from asyncstore.auth.method import Given
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

IMDS: Final = "http://169.254.169.254"

_IDS: Final = ("client_id", "object_id", "resource_id")
_METADATA: Final = {"Metadata": "true"}

# While it is updated; new identities take a while, too.
# https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
_PASSING: Final = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Place:
    """
    One kind of service, and how it is asked.

    Attributes:
        version: Of its interface; ``None`` is for a form that is posted.
        names: How it calls the ids of user-assigned identities; those it does not take are missing.
        headers: That prove who asks.
    """

    name: str
    url: str
    version: str | None
    names: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)


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
        fields = {"resource": RESOURCE, **self._chosen(place)}
        if place.version is None:
            answer = await self._service.send("POST", place.url, place.headers, urlencode(fields).encode(), near=True)
        else:
            url = f"{place.url}?{urlencode({'api-version': place.version, **fields})}"
            answer = await self._service.send("GET", url, place.headers, near=True)
            if place.name == azure_arc.NAME and answer.status == 401:
                answer = await azure_arc.answered(self._service, url, answer)
        if answer.status != 200:
            raise _refusal(answer, place, self._id)
        document = answer.document()
        if not document:
            # Networks have services of their own at this address.
            raise MissingCredentialsError(f"{answer.place} is no service of Azure", provider="azure")
        if place.name == azure_arc.NAME:
            azure_arc.check_identity(document, self._id, self._value)
        return token_grant(document, place.name, clock_offset=answer.clock_offset()), place.name

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


def place_of_identity(metadata_endpoint: str) -> Place:
    """
    Return the service that the environment names, else the metadata service of a virtual machine.

    Raises:
        ConfigurationError: It is plain HTTP to another machine, or of a kind that is not known here.
    """
    read = os.environ.get
    if endpoint := read("IDENTITY_ENDPOINT"):
        check_near(endpoint, "IDENTITY_ENDPOINT")
        if secret := read("IDENTITY_HEADER"):
            if read("IDENTITY_SERVER_THUMBPRINT"):
                raise ConfigurationError(
                    "managed identities of Service Fabric are not supported: give ManagedIdentityCredential of "
                    "azure-identity as credential"
                )
            names = {"client_id": "client_id", "object_id": "object_id", "resource_id": "mi_res_id"}
            headers = {"X-IDENTITY-HEADER": secret, **_METADATA}
            return Place("App Service", endpoint, "2019-08-01", names, headers)
        if read("IMDS_ENDPOINT"):
            names = {"client_id": "client_id", "object_id": "object_id", "resource_id": "msi_res_id"}
            return Place(azure_arc.NAME, endpoint, "2020-06-01", names, _METADATA)
        raise ConfigurationError("IDENTITY_ENDPOINT is set without IDENTITY_HEADER or IMDS_ENDPOINT")
    if endpoint := read("MSI_ENDPOINT"):
        check_near(endpoint, "MSI_ENDPOINT")
        if secret := read("MSI_SECRET"):
            return Place(
                "Azure Machine Learning", endpoint, "2017-09-01", {"client_id": "clientid"}, {"secret": secret}
            )
        return Place("Cloud Shell", endpoint, None, {}, {**_METADATA, **FORM})
    check_near(metadata_endpoint, "metadata_endpoint")
    names = {"client_id": "client_id", "object_id": "object_id", "resource_id": "msi_res_id"}
    url = metadata_endpoint.rstrip("/") + "/metadata/identity/oauth2/token"
    return Place("the metadata service", url, "2018-02-01", names, _METADATA)


def check_near(url: str, name: str) -> None:
    """
    Check that tokens may be asked for at *url*.

    Raises:
        ConfigurationError: It is plain HTTP to another machine.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    host = parts.hostname or ""
    near = is_loopback(host) or _is_link_local(host)
    if not host or parts.scheme not in ("http", "https") or (parts.scheme == "http" and not near) or parts.query:
        raise ConfigurationError(f"{name} is https, or http to this machine or an address such as 169.254.169.254")


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


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
