"""
Shared access signatures: rights on one blob, for whoever holds the URL.

https://learn.microsoft.com/rest/api/storageservices/create-service-sas
https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, quote

from asyncstore.auth.azure_shared_key import SharedKey
from asyncstore.errors import ConfigurationError

#: The version that says what is signed, and in which order.
SAS_VERSION: Final = "2022-11-02"

# Parameters of signatures of every kind:
# https://learn.microsoft.com/rest/api/storageservices/create-account-sas
_PARAMETERS: Final = frozenset(
    (
        *("sv", "ss", "srt", "sp", "st", "se", "sip", "spr", "sig", "si", "sr", "sdd", "ses"),
        *("rscc", "rscd", "rsce", "rscl", "rsct"),
        *("skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid"),
    )
)

# Signed, but not used: start, policy, address, snapshot, encryption scope, headers of the reply.
_UNUSED_AFTER_RESOURCE: Final = [""] * 7


@dataclass(frozen=True, slots=True)
class UserDelegationKey:
    """
    A key that Azure gives to somebody with a token, to sign URLs in their name.

    https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key

    Attributes:
        oid, tid: Who asked for it, and their tenant.
        start, expiry: When it is good, as the service wrote it.
        service, version: What it is good for.
        value: Signs, and is never sent.
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
    What a signature allows.

    Attributes:
        container, blob: On which blob; both verbatim.
        permissions: Letters in the order ``racwdxltmeop``, such as ``"r"`` or ``"cw"``.
        expires: Until when.
        https_only: Whether plain HTTP is refused.
    """

    container: str
    blob: str
    permissions: str
    expires: datetime
    https_only: bool = True

    @property
    def protocol(self) -> str:
        """How the service spells *https_only*."""
        return "https" if self.https_only else "https,http"

    @property
    def expiry(self) -> str:
        """The end as it is signed, in whole seconds."""
        return timestamp(self.expires)


def timestamp(moment: datetime) -> str:
    """
    Return a moment as the service writes it.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def service_sas(key: SharedKey, grant: BlobGrant) -> str:
    """
    Return the query of a URL signed by the account's key.
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
        "b",
        *_UNUSED_AFTER_RESOURCE,
    ]
    return _query(_common(grant), key.sign("\n".join(signed)))


def user_delegation_sas(account: str, key: UserDelegationKey, grant: BlobGrant) -> str:
    """
    Return the query of a URL signed by somebody's delegation key.
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
        "b",
        *_UNUSED_AFTER_RESOURCE,
    ]
    digest = hmac.digest(key.value, "\n".join(signed).encode(), sha256)
    names = ("skoid", "sktid", "skt", "ske", "sks", "skv")
    pairs = [*_common(grant), *zip(names, identity, strict=True)]
    return _query(pairs, base64.b64encode(digest).decode("ascii"))


def read_sas(text: str) -> tuple[str, datetime | None]:
    """
    Return a token as it is appended to a query, and when it ends if it says so.

    Raises:
        ConfigurationError: It is no signature; the message does not show it.
    """
    query = text.strip().lstrip("?&")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    if "sig" not in pairs:
        raise ConfigurationError("a SAS token is a query such as sv=...&se=...&sp=...&sig=...")
    try:
        # An account's own policy can hold the end instead.
        end = datetime.fromisoformat(pairs["se"]) if "se" in pairs else None
    except ValueError:
        raise ConfigurationError("the end (se) of the SAS token is no date") from None
    return query, end if end is None or end.tzinfo else end.replace(tzinfo=UTC)


def without_sas(query: str) -> str:
    """
    Return a query without the signature that was appended to it.
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
        ("sr", "b"),
    ]


def _query(pairs: list[tuple[str, str]], signature: str) -> str:
    return "&".join([f"{name}={quote(value, safe='')}" for name, value in [*pairs, ("sig", signature)]])
