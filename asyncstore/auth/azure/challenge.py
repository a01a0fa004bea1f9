"""
Bearer challenges: a 401 can ask for a token of another tenant, or with further claims.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory#bearer-challenge
https://learn.microsoft.com/entra/identity-platform/claims-challenge
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

# Longest header that is parsed, since any server can send one.
_MAX: Final = 16 * 1024

# Matches names only at the start of a word and up to 64 characters, so that parsing
# a header of one long word is not quadratic.
_PAIR: Final = re.compile(r'(?<!\w)(\w{1,64})\s*=\s*(?:"([^"]*)"|([^\s,"]+))')
_TENANT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Demand:
    """
    The fields of one challenge.

    Attributes:
        tenant: The tenant that the storage account trusts.
        claims: JSON, passed on unchanged.
    """

    tenant: str | None = None
    claims: str | None = field(default=None, repr=False)


class Challenge:
    """
    The demands of all refreshes that are running now.

    A demand lasts only for the refresh that it triggers. Otherwise one wrong challenge
    would affect every later token, for every user of the credentials.
    """

    def __init__(self) -> None:
        self._pending: list[Demand] = []

    @contextmanager
    def pending(self, demand: Demand | None) -> Iterator[None]:
        """
        Make *demand* visible to token requests while the block runs.
        """
        if demand is None:
            yield
            return
        self._pending.append(demand)
        try:
            yield
        finally:
            self._pending.remove(demand)

    @property
    def tenant(self) -> str | None:
        """The tenant of the latest demand."""
        return next((demand.tenant for demand in reversed(self._pending) if demand.tenant), None)

    @property
    def claims(self) -> str | None:
        """The claims of the latest demand."""
        return next((demand.claims for demand in reversed(self._pending) if demand.claims), None)


def read_demand(header: str) -> Demand | None:
    """
    Parse a ``WWW-Authenticate`` header; return ``None`` if it has no supported challenge.

    Addresses in it are ignored: a server must not choose the token service.
    """
    scheme, _, rest = header[:_MAX].strip().partition(" ")
    if scheme.lower() != "bearer":
        return None
    pairs = {match[1].lower(): match[2] or match[3] or "" for match in _PAIR.finditer(rest)}
    demand = Demand(_tenant(pairs.get("authorization_uri", "")), _claims(pairs.get("claims", "")))
    return demand if demand.tenant or demand.claims else None


def is_tenant(text: str) -> bool:
    """
    Return whether *text* can be a tenant's id or domain.
    """
    return _TENANT.fullmatch(text) is not None


def _tenant(address: str) -> str | None:
    try:
        first = urlsplit(address).path.strip("/").partition("/")[0]
    except ValueError:
        return None
    return first if is_tenant(first) and first.lower() not in ("common", "organizations", "consumers") else None


def _claims(encoded: str) -> str | None:
    padded = encoded.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        text = base64.urlsafe_b64decode(padded + "=" * (-len(padded) % 4)).decode()
        return text if isinstance(json.loads(text), dict) else None
    except (binascii.Error, ValueError):
        return None
