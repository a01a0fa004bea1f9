"""
Instance principals: session tokens for the certificate of a compute instance.

https://docs.oracle.com/iaas/Content/Identity/Tasks/callingservicesfrominstances.htm
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from asyncstore._support.threads import in_thread
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.oci.metadata import InstanceMetadata, Location
from asyncstore.auth.oci.regions import canonical_region, find_domain
from asyncstore.auth.oci.session import KeyGrant, SignedRequests, new_session_key, session_grant, token_of
from asyncstore.auth.oci.signature import OCIKeys
from asyncstore.auth.rsa_keys import load_rsa_key
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import MissingCredentialsError
from asyncstore.errors import UnavailableError
from asyncstore.http.origin import require_tls

_PATH: Final = "/v1/x509"
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_TENANCY: Final = re.compile(rb"opc-(?:tenant|identity):")


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    A certificate of an instance, in DER.
    """

    der: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Base64 of the certificate, without the PEM markers."""
        return base64.b64encode(self.der).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """SHA-1 of the certificate, in OCI's format."""
        return hashlib.sha1(self.der, usedforsecurity=False).digest().hex(":").upper()

    @property
    def tenancy(self) -> str:
        """
        The OCID of the tenancy, from the subject.

        Raises:
            UnavailableError: The certificate does not contain it.
        """
        # Not parsed with cryptography: it warns about names that are longer than X.509
        # allows, and Python cannot suppress a warning in one thread only.
        for found in _TENANCY.finditer(self.der):
            # In DER the byte before a string is its length, or the last byte of its length.
            stop = found.start() + self.der[found.start() - 1]
            value = self.der[found.end() : stop]
            if value.isascii() and value.startswith(b"ocid1."):
                return value.decode("ascii")
        raise UnavailableError("the certificate of the instance does not contain a tenancy", provider="oci")


class InstancePrincipal:
    """
    Requests session tokens with the certificate of this instance.

    Args:
        region: Region of the token service, instead of that of the instance.

    Raises:
        ConfigurationError: An address is plain HTTP to another host.
    """

    def __init__(
        self, settings: MethodSettings, service: TokenService, *, region: str | None, allow_http: bool
    ) -> None:
        self._metadata = InstanceMetadata(settings, service)
        self._requests = SignedRequests(service)
        self._region = None if region is None else canonical_region(region)
        self._endpoint: str | None = settings.get("federation_endpoint")
        if self._endpoint is not None:
            require_tls(str(self._endpoint), allow_http=allow_http)

    async def fetch(self) -> KeyGrant:
        """
        Return a new key with its session token.
        """
        leaf = _certificates(await self._metadata.text("/identity/cert.pem"))[:1]
        if not leaf:
            raise UnavailableError("the metadata service returned no certificate", provider="oci")
        pem = await self._metadata.text("/identity/key.pem")
        own = await in_thread(load_rsa_key, pem.encode(), None, "the key of the instance", extra="oci")
        keys = OCIKeys(f"{leaf[0].tenancy}/fed-x509/{leaf[0].fingerprint}", own)
        session, public = await new_session_key()
        request = {
            "certificate": leaf[0].text,
            "publicKey": public,
            "intermediateCertificates": [one.text for one in await self._intermediates()],
        }
        answer = await self._requests.send("POST", await self._url(), keys, request, sign_host=False)
        return session_grant(token_of(answer), session, answer.clock_offset(), answer.place)

    async def location(self) -> Location:
        """
        Return the location in the settings, else that of the instance.
        """
        if self._region is not None:
            return Location(self._region, await in_thread(find_domain, self._region))
        return await self._metadata.location()

    async def _intermediates(self) -> list[Certificate]:
        try:
            return _certificates(await self._metadata.text("/identity/intermediate.pem"))
        except MissingCredentialsError:
            return []

    async def _url(self) -> str:
        if self._endpoint is not None:
            return str(self._endpoint)
        location = await self.location()
        return f"https://auth.{location.region}.{location.domain}{_PATH}"


def _certificates(pem: str) -> list[Certificate]:
    try:
        return [
            Certificate(base64.b64decode("".join(text.split()), validate=True)) for text in _CERTIFICATE.findall(pem)
        ]
    except binascii.Error:
        return []
