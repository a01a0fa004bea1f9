"""
The JSON replies that contain Microsoft Entra tokens, from any of the services that issue them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

from asyncstore.auth.azure.access import Access, TokenAccess
from asyncstore.auth.tokens import Grant
from asyncstore.errors import UnauthenticatedError

#: The scope or resource of a token request, whichever the service uses; the same in all clouds.
#: https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory#microsoft-authentication-library-msal
SCOPE: Final = "https://storage.azure.com/.default"
RESOURCE: Final = "https://storage.azure.com"

# Smaller offsets mean nothing: the Date header has whole seconds.
_SAME_CLOCK: Final = 2.0

#: Access with its lifetime; ``None`` for anonymous requests.
AccessGrant = Grant[Access | None]


def token_grant(document: Mapping[str, Any], issuer: str, *, clock_offset: float = 0.0) -> AccessGrant:
    """
    Return the token in *document* with its lifetime.

    Args:
        issuer: The source of the document, for messages.
        clock_offset: Seconds by which the issuer's clock is ahead of ours.

    Raises:
        UnauthenticatedError: The token or its expiry is missing.
    """
    token = document.get("access_token")
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UnauthenticatedError(f"{issuer} returned no usable access_token", provider="azure")
    ttl = _seconds(document.get("expires_in"))
    if ttl is None and (end := _seconds(document.get("expires_on"))) is not None:
        ttl = end - time.time() - (clock_offset if abs(clock_offset) > _SAME_CLOCK else 0.0)
    if ttl is None:
        raise UnauthenticatedError(f"{issuer} returned a token without an expiry", provider="azure")
    refresh_in = _seconds(document.get("refresh_in"))
    early = ttl - refresh_in if refresh_in is not None and 0 < refresh_in < ttl else None
    return Grant(TokenAccess(token), ttl, early)


def _seconds(value: Any) -> float | None:
    """Parse a number; services write it as a number or as text."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None
