"""
Presigned URLs: signed by the account key, or by a user delegation key that a token obtains.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Final
from xml.etree import ElementTree as ET

import anyio

from asyncstore.auth.azure.access import KeyAccess, TokenAccess
from asyncstore.auth.azure.sas import BlobGrant, UserDelegationKey, service_sas, timestamp, user_delegation_sas
from asyncstore.driver.presigning import expiry_of_url
from asyncstore.drivers.azure.headers import SNAPSHOT, version_query
from asyncstore.drivers.azure.wire import Wire, xml_request
from asyncstore.errors import ConfigurationError, NotSupportedError, UnavailableError
from asyncstore.http.driver import check_presigning
from asyncstore.http.xml import expect
from asyncstore.options import PLAIN_PRESIGN, PresignOptions
from asyncstore.types import PresignedURL
from asyncstore.uri import ObjectURI

# A PUT may create a blob or replace it; with the first letter alone it may only create one. A version has a letter
# of its own: https://learn.microsoft.com/rest/api/storageservices/create-service-sas
_PERMISSIONS: Final = {"GET": "r", "HEAD": "r", "PUT": "cw", "DELETE": "d"}
_CREATE_ONLY: Final = "c"
_DELETE_VERSION: Final = "x"

#: A signature covers no headers of requests.
PRESIGN_OPTIONS: Final = frozenset(
    {
        "if_none_match",
        "version_id",
        "response_content_type",
        "response_content_disposition",
        "response_content_encoding",
        "response_content_language",
        "response_cache_control",
    }
)

#: Longest lifetime of a delegation key, and so of the URLs that it signs:
#: https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key
MAX_DELEGATION: Final = timedelta(days=7)

# A key is requested for this much longer than needed now, so that later URLs can share it.
_MARGIN: Final = timedelta(hours=1)

# The service's own clocks may differ by seconds on when a key becomes valid.
_TOLERANCE: Final = timedelta(minutes=5)


class Signer:
    """
    Signs URLs, and caches the user delegation key.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._key: UserDelegationKey | None = None
        self._key_until = datetime.min.replace(tzinfo=UTC)
        self._requesting: anyio.Lock | None = None

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        """
        Return a URL for *method*, valid for *expires*.

        Raises:
            ConfigurationError: The method or the lifetime is not possible, or the account is unknown.
            NotSupportedError: The credentials are neither a key nor a token.
        """
        check_presigning("Azure", method, expires)
        path = self._wire.addresses.blob(uri)
        kind, moment = _resource(options.version_id)
        grant = BlobGrant(
            container=uri.bucket,
            blob=uri.key,
            permissions=_permissions(method, options, kind),
            expires=expiry_of_url(self._wire.clock.now(), expires),
            https_only=self._wire.addresses.origin.base.startswith("https:"),
            resource=kind,
            moment=moment,
            response=options.response_headers(),
        )
        signed = await self._signed(uri, grant, expires)
        query = "&".join(filter(None, [version_query(options.version_id), signed]))
        headers = {"x-ms-blob-type": "BlockBlob"} if method == "PUT" else {}
        return PresignedURL(self._wire.addresses.url(path, query), grant.expires, headers)

    async def _signed(self, uri: ObjectURI, grant: BlobGrant, expires: timedelta) -> str:
        access = await self._wire.lease_value()
        if isinstance(access, KeyAccess):
            return service_sas(access.key, grant)
        if not isinstance(access, TokenAccess):
            raise NotSupportedError("presigned URLs need an account_key or a token credential", provider="azure")
        account = self._wire.addresses.account
        if account is None:
            raise ConfigurationError("presigned URLs need the name of the account: set account_name")
        if expires > MAX_DELEGATION:
            raise ConfigurationError(f"a URL presigned with a token is valid for up to seven days, not {expires}")
        return user_delegation_sas(account, await self._delegated(uri, grant.expires), grant)

    async def _delegated(self, uri: ObjectURI, until: datetime) -> UserDelegationKey:
        self._requesting = self._requesting or anyio.Lock()
        async with self._requesting:
            if self._key is None or self._key_until < until:
                now = datetime.fromtimestamp(self._wire.clock.now(), UTC)
                end = max(until, min(until + _MARGIN, now + MAX_DELEGATION - _TOLERANCE))
                self._key = await self._request_key(uri, max(now - _TOLERANCE, end - MAX_DELEGATION), end)
                self._key_until = end
            return self._key

    async def _request_key(self, uri: ObjectURI, start: datetime, end: datetime) -> UserDelegationKey:
        content = f"<KeyInfo><Start>{timestamp(start)}</Start><Expiry>{timestamp(end)}</Expiry></KeyInfo>"
        request = xml_request("POST", uri, "comp=userdelegationkey&restype=service", content)
        _, body = await self._wire.read(request._replace(level="account"))
        return _parse_key(expect(body, "UserDelegationKey"))


def _resource(version_id: str | None) -> tuple[str, str]:
    """
    Return what is signed for: a blob, or a version or snapshot and its moment.
    """
    if version_id is None:
        return "b", ""
    if version_id.startswith(SNAPSHOT):
        return "bs", version_id.removeprefix(SNAPSHOT)
    return "bv", version_id


def _permissions(method: str, options: PresignOptions, resource: str) -> str:
    if method == "PUT" and options.if_none_match is not None:
        return _CREATE_ONLY
    return _DELETE_VERSION if method == "DELETE" and resource == "bv" else _PERMISSIONS[method]


def _parse_key(root: ET.Element) -> UserDelegationKey:
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion", "Value")
    values = {name: root.findtext(name) or "" for name in names}
    try:
        value = base64.b64decode(values["Value"], validate=True)
    except binascii.Error:
        value = b""
    if not value or not all(values.values()):
        raise UnavailableError("the reply has an incomplete user delegation key")
    return UserDelegationKey(
        oid=values["SignedOid"],
        tid=values["SignedTid"],
        start=values["SignedStart"],
        expiry=values["SignedExpiry"],
        service=values["SignedService"],
        version=values["SignedVersion"],
        value=value,
    )
