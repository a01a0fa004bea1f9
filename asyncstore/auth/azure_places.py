"""
Where the machine's own identity gets its tokens: what Azure put into the environment says it.

================= ============================================================== ==============
where             what names the service                                         who may ask
================= ============================================================== ==============
App Service       ``IDENTITY_ENDPOINT``; also in functions and container apps    a header says
Service Fabric    the same, with ``IDENTITY_SERVER_THUMBPRINT``                  a header says
Azure Arc         ``IDENTITY_ENDPOINT`` with ``IMDS_ENDPOINT``                   reads a file
Machine Learning  ``MSI_ENDPOINT`` with ``MSI_SECRET``                           a header says
Cloud Shell       ``MSI_ENDPOINT``                                               all
virtual machines  nothing: the metadata service has an address of its own        all
================= ============================================================== ==============

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

from asyncstore.auth import azure_arc
from asyncstore.auth.azure_entra import FORM
from asyncstore.auth.credentials import is_loopback
from asyncstore.errors import ConfigurationError

#: The metadata service of virtual machines.
IMDS: Final = "http://169.254.169.254"

_METADATA: Final = {"Metadata": "true"}

# What the services call the ids of user-assigned identities.
_IMDS_NAMES: Final = {"client_id": "client_id", "object_id": "object_id", "resource_id": "msi_res_id"}
_APP_NAMES: Final = {**_IMDS_NAMES, "resource_id": "mi_res_id"}


@dataclass(frozen=True, slots=True)
class Place:
    """
    One kind of service, and how it is asked.

    Attributes:
        version: Of its interface; ``None`` is for a form that is posted.
        names: What it calls the ids of user-assigned identities; those it does not take are missing.
        headers: That prove who asks.
        pin: Its certificate, where nobody vouches for it.
    """

    name: str
    url: str
    version: str | None
    names: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    pin: aiohttp.Fingerprint | None = None


class Thumbprint(aiohttp.Fingerprint):
    """
    The one certificate that a server may show, known by its SHA-1, as Service Fabric tells it.

    Raises:
        ConfigurationError: It is no SHA-1.
    """

    def __init__(self, text: str) -> None:
        try:
            self._sha1 = bytes.fromhex(text.replace(":", ""))
        except ValueError:
            self._sha1 = b""
        if len(self._sha1) != hashlib.sha1(usedforsecurity=False).digest_size:
            raise ConfigurationError("IDENTITY_SERVER_THUMBPRINT is a SHA-1 of a certificate, in 40 digits")

    @property
    def fingerprint(self) -> bytes:
        """The SHA-1."""
        return self._sha1

    def check(self, transport: Transport) -> None:
        """
        Check the certificate of a new connection, before anything is sent over it.
        """
        shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        found = hashlib.sha1(shown, usedforsecurity=False).digest()
        if not hmac.compare_digest(found, self._sha1):
            host, port, *_ = transport.get_extra_info("peername")
            raise aiohttp.ServerFingerprintMismatch(self._sha1, found, host, port)


def place_of_identity(metadata_endpoint: str = IMDS) -> Place:
    """
    Return the service that the environment names, else the metadata service of a virtual machine.

    Raises:
        ConfigurationError: It is plain HTTP to another machine, or half of what names it is missing.
    """
    if endpoint := os.environ.get("IDENTITY_ENDPOINT"):
        check_near(endpoint, "IDENTITY_ENDPOINT")
        return _of_identity_endpoint(endpoint)
    if endpoint := os.environ.get("MSI_ENDPOINT"):
        check_near(endpoint, "MSI_ENDPOINT")
        if secret := os.environ.get("MSI_SECRET"):
            names = {"client_id": "clientid"}
            return Place("Azure Machine Learning", endpoint, "2017-09-01", names, {"secret": secret})
        return Place("Cloud Shell", endpoint, None, {}, {**_METADATA, **FORM})
    check_near(metadata_endpoint, "metadata_endpoint")
    url = metadata_endpoint.rstrip("/") + "/metadata/identity/oauth2/token"
    return Place("the metadata service", url, "2018-02-01", _IMDS_NAMES, _METADATA)


def _of_identity_endpoint(endpoint: str) -> Place:
    secret, thumbprint = os.environ.get("IDENTITY_HEADER"), os.environ.get("IDENTITY_SERVER_THUMBPRINT")
    if secret and thumbprint:
        if not endpoint.startswith("https://"):
            raise ConfigurationError("the IDENTITY_ENDPOINT of Service Fabric is https")
        # Which identity it is, the cluster decides.
        version, pin = "2019-07-01-preview", Thumbprint(thumbprint)
        return Place("Service Fabric", endpoint, version, {}, {"Secret": secret}, pin)
    if secret:
        headers = {"X-IDENTITY-HEADER": secret, **_METADATA}
        return Place("App Service", endpoint, "2019-08-01", _APP_NAMES, headers)
    if os.environ.get("IMDS_ENDPOINT"):
        return Place(azure_arc.NAME, endpoint, "2020-06-01", _IMDS_NAMES, _METADATA)
    raise ConfigurationError("IDENTITY_ENDPOINT is set without IDENTITY_HEADER or IMDS_ENDPOINT")


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
