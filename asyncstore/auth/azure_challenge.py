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
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

# Of the header, and of the claims in it: both come from whoever answers.
_MAX: Final = 16 * 1024

# A name is looked for where a word begins, and is short: a header of one long word is
# not gone through over and over.
_PAIR: Final = re.compile(r'(?<!\w)(\w{1,64})\s*=\s*(?:"([^"]*)"|([^\s,"]+))')
_TENANT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")


@dataclass(slots=True)
class Challenge:
    """
    What the storage asked for when it last refused a token.

    Attributes:
        tenant: The directory that it trusts.
        claims: JSON, to be passed on as it is.
    """

    tenant: str | None = None
    claims: str | None = field(default=None, repr=False)

    def heed(self, header: str) -> None:
        """
        Take note of a ``WWW-Authenticate``; one that asks for nothing changes nothing.

        No address is taken from it: where tokens are asked for is ours to decide.
        """
        scheme, _, rest = header[:_MAX].strip().partition(" ")
        if scheme.lower() != "bearer":
            return
        pairs = {match[1].lower(): match[2] or match[3] or "" for match in _PAIR.finditer(rest)}
        if tenant := _tenant(pairs.get("authorization_uri", "")):
            self.tenant = tenant
        if claims := _claims(pairs.get("claims", "")):
            self.claims = claims

    def take_claims(self) -> str | None:
        """
        Return the claims, which are for one request: whoever still misses them says so again.
        """
        claims, self.claims = self.claims, None
        return claims


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
