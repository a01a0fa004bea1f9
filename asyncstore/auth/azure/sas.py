"""
Shared access signatures (SAS): limited access to one blob for the holder of a URL.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas
https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, quote

from asyncstore.auth.azure.shared_key import SharedKey
from asyncstore.errors import ConfigurationError

#: The service version, which defines the signed fields and their order.
SAS_VERSION: Final = "2022-11-02"

# Query parameters of every kind of SAS:
# https://learn.microsoft.com/rest/api/storageservices/create-account-sas
_PARAMETERS: Final = frozenset(
    (
        *("sv", "ss", "srt", "sp", "st", "se", "sip", "spr", "sig", "si", "sr", "sdd", "ses"),
        *("rscc", "rscd", "rsce", "rscl", "rsct"),
        *("skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid"),
    )
)

# Headers of replies, and the parameters that set them, in the order in which they are signed.
_RESPONSE: Final = {
    "cache-control": "rscc",
    "content-disposition": "rscd",
    "content-encoding": "rsce",
    "content-language": "rscl",
    "content-type": "rsct",
}


@dataclass(frozen=True, slots=True)
class UserDelegationKey:
    """
    A key that Azure issues to the owner of an Entra token for signing URLs.

    https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key

    Attributes:
        oid, tid: Object id and tenant id of the identity that requested it.
        start, expiry: Its period of validity, as the service wrote it.
        service, version: The service and version that it is valid for.
        value: The signing key; it is never sent.
    """

    oid: str
    tid: str
    start: str
    expiry: str
    service: str
    version: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobGrant:
    """
    The access that a SAS token allows.

    Attributes:
        container, blob: Names of the container and the blob, not encoded.
        permissions: Letters in the order ``racwdxltmeop``, such as ``"r"`` or ``"cw"``.
        expires: Time of expiry.
        https_only: Reject plain HTTP.
        resource: ``"b"`` for the blob, ``"bs"`` for a snapshot of it, ``"bv"`` for a version.
        moment: That of the snapshot or version.
        response: Headers that replies get, by their names in lower case.
    """

    container: str
    blob: str
    permissions: str
    expires: datetime
    https_only: bool = True
    resource: str = "b"
    moment: str = ""
    response: Mapping[str, str] = field(default_factory=dict)

    @property
    def protocol(self) -> str:
        """The value of ``spr`` for *https_only*."""
        return "https" if self.https_only else "https,http"

    @property
    def expiry(self) -> str:
        """The signed expiry time, in whole seconds."""
        return timestamp(self.expires)

    @property
    def last_signed(self) -> list[str]:
        """The signed fields from the resource on, of which the encryption scope is left empty."""
        return [self.resource, self.moment, "", *(self.response.get(name, "") for name in _RESPONSE)]


def timestamp(moment: datetime) -> str:
    """
    Return a time in the service's format.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def service_sas(key: SharedKey, grant: BlobGrant) -> str:
    """
    Return the query of a URL, signed with the account key.
    """
    signed = [
        grant.permissions,
        "",
        grant.expiry,
        f"/blob/{key.account}/{grant.container}/{grant.blob}",
        "",
        "",
        grant.protocol,
        SAS_VERSION,
        *grant.last_signed,
    ]
    return _query(_common(grant), key.sign("\n".join(signed)))


def user_delegation_sas(account: str, key: UserDelegationKey, grant: BlobGrant) -> str:
    """
    Return the query of a URL, signed with a user delegation key.
    """
    identity = [key.oid, key.tid, key.start, key.expiry, key.service, key.version]
    signed = [
        grant.permissions,
        "",
        grant.expiry,
        f"/blob/{account}/{grant.container}/{grant.blob}",
        *identity,
        "",
        "",
        "",
        "",
        grant.protocol,
        SAS_VERSION,
        *grant.last_signed,
    ]
    digest = hmac.digest(key.value, "\n".join(signed).encode(), sha256)
    names = ("skoid", "sktid", "skt", "ske", "sks", "skv")
    pairs = [*_common(grant), *zip(names, identity, strict=True)]
    return _query(pairs, base64.b64encode(digest).decode("ascii"))


def read_sas(text: str) -> tuple[str, datetime | None]:
    """
    Return a SAS token in the form that is appended to a query, and its expiry if it has one.

    Raises:
        ConfigurationError: It is not a SAS token; the message does not show it.
    """
    query = text.strip().lstrip("?&")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    if "sig" not in pairs:
        raise ConfigurationError("a SAS token must be a query such as sv=...&se=...&sp=...&sig=...")
    try:
        # The expiry can be in a stored access policy instead.
        end = datetime.fromisoformat(pairs["se"]) if "se" in pairs else None
    except ValueError:
        raise ConfigurationError("the expiry (se) of the SAS token is not a date") from None
    return query, end if end is None or end.tzinfo else end.replace(tzinfo=UTC)


def without_sas(query: str) -> str:
    """
    Return a query without the SAS token appended to it.
    """
    if "sig=" not in query:
        return query
    return "&".join([pair for pair in query.split("&") if pair.partition("=")[0] not in _PARAMETERS])


def _common(grant: BlobGrant) -> list[tuple[str, str]]:
    return [
        ("sv", SAS_VERSION),
        ("sp", grant.permissions),
        ("se", grant.expiry),
        ("spr", grant.protocol),
        ("sr", grant.resource),
        *((_RESPONSE[name], value) for name, value in grant.response.items()),
    ]


def _query(pairs: list[tuple[str, str]], signature: str) -> str:
    return "&".join([f"{name}={quote(value, safe='')}" for name, value in [*pairs, ("sig", signature)]])
