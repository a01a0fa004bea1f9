"""
URLs for others: signed by the account's key, or in the name of whoever has a token.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Final
from xml.etree import ElementTree as ET

import anyio

from asyncstore.auth.azure_access import KeyAccess, TokenAccess
from asyncstore.auth.azure_sas import BlobGrant, UserDelegationKey, service_sas, timestamp, user_delegation_sas
from asyncstore.drivers.azure.wire import MAX_REPLY, Wire, document
from asyncstore.drivers.azure.xml import key_info
from asyncstore.errors import ConfigurationError, NotSupportedError, UnavailableError
from asyncstore.http.xml import expect
from asyncstore.uri import ObjectURI

# A writer may create a blob and replace it.
_PERMISSIONS: Final = {"GET": "r", "HEAD": "r", "PUT": "cw", "DELETE": "d"}

#: Longest life of a delegation key, and so of what it signs:
#: https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key
MAX_DELEGATION: Final = timedelta(days=7)

# A key is asked for this much longer than is needed now, so that others need not ask.
_ROOM: Final = timedelta(hours=1)

# The service's clocks may not agree to the second on when a key begins.
_TOLERANCE: Final = timedelta(minutes=5)


class Signer:
    """
    Signs URLs, and keeps the delegation key that it has been given for it.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._key: UserDelegationKey | None = None
        self._key_until = datetime.min.replace(tzinfo=UTC)
        self._asking: anyio.Lock | None = None

    async def sign(self, method: str, uri: ObjectURI, expires: timedelta) -> str:
        """
        Return a URL for *method*, good until *expires* has passed.

        Whoever puts to it sends the header ``x-ms-blob-type: BlockBlob``.

        Raises:
            ConfigurationError: Another method, or another time.
            NotSupportedError: With these credentials nothing can be signed.
        """
        if method not in _PERMISSIONS:
            raise ConfigurationError(f"a URL is signed for one of {list(_PERMISSIONS)}, not {method!r}")
        if expires < timedelta(seconds=1):
            raise ConfigurationError(f"a signed URL lives for a second at least, not {expires}")
        path = self._wire.addresses.blob(uri)
        grant = BlobGrant(
            container=uri.bucket,
            blob=uri.key,
            permissions=_PERMISSIONS[method],
            expires=datetime.fromtimestamp(self._wire.now(), UTC) + expires,
            https_only=self._wire.addresses.origin.base.startswith("https:"),
        )
        return self._wire.addresses.url(path, await self._signed(uri, grant, expires))

    async def _signed(self, uri: ObjectURI, grant: BlobGrant, expires: timedelta) -> str:
        access = await self._wire.access()
        if isinstance(access, KeyAccess):
            return service_sas(access.key, grant)
        if not isinstance(access, TokenAccess):
            raise NotSupportedError("a URL is signed by an account_key or a token credential", provider="azure")
        account = self._wire.addresses.account
        if account is None:
            raise ConfigurationError("a URL is signed for an account: give account_name")
        if expires > MAX_DELEGATION:
            raise ConfigurationError(f"a URL signed by a token lives for up to seven days, not {expires}")
        return user_delegation_sas(account, await self._delegated(uri, grant.expires), grant)

    async def _delegated(self, uri: ObjectURI, until: datetime) -> UserDelegationKey:
        self._asking = self._asking or anyio.Lock()
        async with self._asking:
            if self._key is None or self._key_until < until:
                now = datetime.fromtimestamp(self._wire.now(), UTC)
                end = max(until, min(until + _ROOM, now + MAX_DELEGATION - _TOLERANCE))
                self._key = await self._ask(uri, max(now - _TOLERANCE, end - MAX_DELEGATION), end)
                self._key_until = end
            return self._key

    async def _ask(self, uri: ObjectURI, start: datetime, end: datetime) -> UserDelegationKey:
        request = document(
            "POST", uri, "comp=userdelegationkey&restype=service", key_info(timestamp(start), timestamp(end))
        )
        path = self._wire.addresses.origin.path or "/"
        reply = await self._wire.send_to(path, request)
        return _key_in(expect(await reply.read(MAX_REPLY), "UserDelegationKey"))


def _key_in(root: ET.Element) -> UserDelegationKey:
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion", "Value")
    said = {name: root.findtext(name) or "" for name in names}
    try:
        value = base64.b64decode(said["Value"], validate=True)
    except binascii.Error:
        value = b""
    if not value or not all(said.values()):
        raise UnavailableError("the reply has no whole user delegation key")
    return UserDelegationKey(
        oid=said["SignedOid"],
        tid=said["SignedTid"],
        start=said["SignedStart"],
        expiry=said["SignedExpiry"],
        service=said["SignedService"],
        version=said["SignedVersion"],
        value=value,
    )
