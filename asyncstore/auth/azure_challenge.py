"""
What a refusal asks of the next token: another directory, or claims that the last one lacked.

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

# Of the header, and of the claims in it: both come from whoever answers.
_MAX: Final = 16 * 1024

# A name is looked for where a word begins, and is short: a header of one long word is
# not gone through over and over.
_PAIR: Final = re.compile(r'(?<!\w)(\w{1,64})\s*=\s*(?:"([^"]*)"|([^\s,"]+))')
_TENANT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Demand:
    """
    What one refusal asks for.

    Attributes:
        tenant: The directory that the storage trusts.
        claims: JSON, to be passed on as it is.
    """

    tenant: str | None = None
    claims: str | None = field(default=None, repr=False)


class Challenge:
    """
    The demands of those who wait for another token right now.

    A demand ends with the renewal that it led to: otherwise what one storage said,
    perhaps in error, would be asked for in the name of all, an hour later.
    """

    def __init__(self) -> None:
        self._pending: list[Demand] = []

    @contextmanager
    def pending(self, demand: Demand | None) -> Iterator[None]:
        """
        Have *demand* known for as long as the block lasts.
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
        """The directory that was asked for last."""
        return next((demand.tenant for demand in reversed(self._pending) if demand.tenant), None)

    @property
    def claims(self) -> str | None:
        """The claims that were asked for last."""
        return next((demand.claims for demand in reversed(self._pending) if demand.claims), None)


def read_demand(header: str) -> Demand | None:
    """
    Return what a ``WWW-Authenticate`` asks for; ``None`` if it is nothing that we know.

    No address is taken from it: where tokens are asked for is ours to decide.
    """
    scheme, _, rest = header[:_MAX].strip().partition(" ")
    if scheme.lower() != "bearer":
        return None
    pairs = {match[1].lower(): match[2] or match[3] or "" for match in _PAIR.finditer(rest)}
    demand = Demand(_tenant(pairs.get("authorization_uri", "")), _claims(pairs.get("claims", "")))
    return demand if demand.tenant or demand.claims else None


def is_tenant(text: str) -> bool:
    """
    Whether *text* can be the id or a domain of a directory.
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
