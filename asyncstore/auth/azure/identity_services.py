"""
The services that issue managed identity tokens, found by the variables that Azure sets.

================= ============================================================== ================
environment       variables                                                      proof of caller
================= ============================================================== ================
App Service       ``IDENTITY_ENDPOINT``; also Functions and Container Apps       secret in header
Service Fabric    the same, with ``IDENTITY_SERVER_THUMBPRINT``                  secret in header
Azure Arc         ``IDENTITY_ENDPOINT`` with ``IMDS_ENDPOINT``                   key in a file
Machine Learning  ``MSI_ENDPOINT`` with ``MSI_SECRET``                           secret in header
Cloud Shell       ``MSI_ENDPOINT``                                               none
virtual machines  none: the metadata service has a fixed address                 none
================= ============================================================== ================

https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
https://learn.microsoft.com/azure/service-fabric/how-to-managed-identity-service-fabric-app-code
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
from asyncio import Transport
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from asyncstore.auth.azure import arc as azure_arc
from asyncstore.auth.azure.entra import FORM
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import is_loopback

#: The metadata service of virtual machines.
IMDS: Final = "http://169.254.169.254"

_METADATA: Final = {"Metadata": "true"}

# The services' own parameter names for the ids of user-assigned identities.
_IMDS_NAMES: Final = {"client_id": "client_id", "object_id": "object_id", "resource_id": "msi_res_id"}
_APP_NAMES: Final = {**_IMDS_NAMES, "resource_id": "mi_res_id"}


@dataclass(frozen=True, slots=True)
class IdentityService:
    """
    One identity service and its request format.

    Attributes:
        version: API version; ``None`` means a form is posted instead.
        id_names: Its parameter name for each supported id of a user-assigned identity.
        headers: Headers that it requires, including the proof of the caller.
        pin: Its self-signed certificate, if it has one.
    """

    name: str
    url: str
    version: str | None
    id_names: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    pin: aiohttp.Fingerprint | None = None


class Thumbprint(aiohttp.Fingerprint):
    """
    Pins a server certificate by its SHA-1, the only digest that Service Fabric publishes.

    Raises:
        ConfigurationError: The text is not a SHA-1 digest.
    """

    def __init__(self, text: str) -> None:
        try:
            self._sha1 = bytes.fromhex(text.replace(":", ""))
        except ValueError:
            self._sha1 = b""
        if len(self._sha1) != hashlib.sha1(usedforsecurity=False).digest_size:
            raise ConfigurationError(
                "IDENTITY_SERVER_THUMBPRINT must be the SHA-1 of a certificate, in 40 hexadecimal digits"
            )

    @property
    def fingerprint(self) -> bytes:
        """The SHA-1."""
        return self._sha1

    def check(self, transport: Transport) -> None:
        """
        Check the certificate of a new connection before anything is sent.
        """
        shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        found = hashlib.sha1(shown, usedforsecurity=False).digest()
        if not hmac.compare_digest(found, self._sha1):
            host, port, *_ = transport.get_extra_info("peername")
            raise aiohttp.ServerFingerprintMismatch(self._sha1, found, host, port)


def find_identity_service(metadata_endpoint: str = IMDS) -> IdentityService:
    """
    Return the service that the environment names, else the metadata service of a virtual machine.

    Raises:
        ConfigurationError: It is plain HTTP to another machine, or a required variable is missing.
    """
    if endpoint := os.environ.get("IDENTITY_ENDPOINT"):
        check_near(endpoint, "IDENTITY_ENDPOINT")
        return _of_identity_endpoint(endpoint)
    if endpoint := os.environ.get("MSI_ENDPOINT"):
        check_near(endpoint, "MSI_ENDPOINT")
        if secret := os.environ.get("MSI_SECRET"):
            names = {"client_id": "clientid"}
            return IdentityService("Azure Machine Learning", endpoint, "2017-09-01", names, {"secret": secret})
        return IdentityService("Cloud Shell", endpoint, None, {}, {**_METADATA, **FORM})
    check_near(metadata_endpoint, "metadata_endpoint")
    url = metadata_endpoint.rstrip("/") + "/metadata/identity/oauth2/token"
    return IdentityService("the metadata service", url, "2018-02-01", _IMDS_NAMES, _METADATA)


def _of_identity_endpoint(endpoint: str) -> IdentityService:
    secret, thumbprint = os.environ.get("IDENTITY_HEADER"), os.environ.get("IDENTITY_SERVER_THUMBPRINT")
    if secret and thumbprint:
        if not endpoint.startswith("https://"):
            raise ConfigurationError("the IDENTITY_ENDPOINT of Service Fabric must be https")
        # The cluster decides which identity is used.
        version, pin = "2019-07-01-preview", Thumbprint(thumbprint)
        return IdentityService("Service Fabric", endpoint, version, {}, {"Secret": secret}, pin)
    if secret:
        headers = {"X-IDENTITY-HEADER": secret, **_METADATA}
        return IdentityService("App Service", endpoint, "2019-08-01", _APP_NAMES, headers)
    if os.environ.get("IMDS_ENDPOINT"):
        return IdentityService(azure_arc.NAME, endpoint, "2020-06-01", _IMDS_NAMES, _METADATA)
    raise ConfigurationError("IDENTITY_ENDPOINT is set, but neither IDENTITY_HEADER nor IMDS_ENDPOINT is")


def check_near(url: str, name: str) -> None:
    """
    Check that requesting tokens from *url* is safe.

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
        raise ConfigurationError(
            f"{name} must be https, or http to this machine or a link-local address such as 169.254.169.254"
        )


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False
