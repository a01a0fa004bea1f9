"""
Instance principals: the certificate of a compute instance, for which OCI gives a session token.

https://docs.oracle.com/iaas/Content/Identity/Tasks/callingservicesfrominstances.htm
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.credentials import require_tls
from asyncstore.auth.method import Given
from asyncstore.auth.oci_metadata import InstanceMetadata, Place
from asyncstore.auth.oci_regions import canonical_region, find_domain
from asyncstore.auth.oci_session import KeyGrant, SignedRequests, new_session_key, session_grant, token_of
from asyncstore.auth.oci_signature import OCIKeys
from asyncstore.auth.rsa_keys import load_rsa_key
from asyncstore.auth.token_service import TokenService
from asyncstore.errors import UnavailableError
from asyncstore.threads import in_thread

_PATH: Final = "/v1/x509"
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_TENANCY: Final = re.compile(rb"opc-(?:tenant|identity):")


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    That of an instance, in DER.
    """

    der: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Its base64: what stands between the lines of a PEM."""
        return base64.b64encode(self.der).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """Its SHA-1, as OCI writes it."""
        return hashlib.sha1(self.der, usedforsecurity=False).digest().hex(":").upper()

    @property
    def tenancy(self) -> str:
        """
        The OCID of the tenancy, which is in the subject.

        Raises:
            UnavailableError: It is not there.
        """
        # By hand: the names in these certificates are longer than X.509 allows, for which
        # a parser warns, and a warning cannot be held back in one thread alone.
        for found in _TENANCY.finditer(self.der):
            # The byte before a text of DER is its length, or the last one of it.
            stop = found.start() + self.der[found.start() - 1]
            value = self.der[found.end() : stop]
            if value.isascii() and value.startswith(b"ocid1."):
                return value.decode("ascii")
        raise UnavailableError("the certificate of the instance names no tenancy", provider="oci")


class InstancePrincipal:
    """
    Asks for a session token with the certificate of this instance.

    Args:
        region: Where to ask, instead of the region of the instance.

    Raises:
        ConfigurationError: An address is plain HTTP to another host.
    """

    def __init__(self, given: Given, service: TokenService, *, region: str | None, allow_http: bool) -> None:
        self._metadata = InstanceMetadata(given, service)
        self._requests = SignedRequests(service)
        self._region = None if region is None else canonical_region(region)
        self._endpoint: str | None = given.get("federation_endpoint")
        if self._endpoint is not None:
            require_tls(str(self._endpoint), allow_http=allow_http)

    async def fetch(self) -> KeyGrant:
        """
        Return a new key with the token for it.
        """
        leaf = _certificates(await self._metadata.text("/identity/cert.pem"))[:1]
        if not leaf:
            raise UnavailableError("the metadata service gives something else than a certificate", provider="oci")
        pem = await self._metadata.text("/identity/key.pem")
        own = await in_thread(load_rsa_key, pem.encode(), None, "the key of the instance", extra="oci")
        keys = OCIKeys(f"{leaf[0].tenancy}/fed-x509/{leaf[0].fingerprint}", own)
        session, public = await new_session_key()
        request = {
            "certificate": leaf[0].text,
            "publicKey": public,
            "intermediateCertificates": [one.text for one in await self._intermediates()],
        }
        answer = await self._requests.send("POST", await self._address(), keys, request, sign_host=False)
        return session_grant(token_of(answer), session, answer.clock_offset(), answer.place)

    async def place(self) -> Place:
        """
        Return where the instance is, or where it was said to be.
        """
        if self._region is not None:
            return Place(self._region, await in_thread(find_domain, self._region))
        return await self._metadata.place()

    async def _intermediates(self) -> list[Certificate]:
        try:
            return _certificates(await self._metadata.text("/identity/intermediate.pem"))
        except MissingCredentialsError:
            return []

    async def _address(self) -> str:
        if self._endpoint is not None:
            return str(self._endpoint)
        place = await self.place()
        return f"https://auth.{place.region}.{place.domain}{_PATH}"


def _certificates(pem: str) -> list[Certificate]:
    try:
        return [
            Certificate(base64.b64decode("".join(text.split()), validate=True)) for text in _CERTIFICATE.findall(pem)
        ]
    except binascii.Error:
        return []
