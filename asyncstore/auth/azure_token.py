"""
The documents that tokens of Microsoft Entra come in, whoever hands them out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

from asyncstore.auth.azure_access import Access, TokenAccess
from asyncstore.auth.tokens import Grant
from asyncstore.errors import UnauthenticatedError

#: What a token is asked for, of the services that want a scope and of those that want a resource.
#: It is the same in all clouds.
#: https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory#microsoft-authentication-library-msal
SCOPE: Final = "https://storage.azure.com/.default"
RESOURCE: Final = "https://storage.azure.com"

# Seconds by which clocks seem to differ that tell the time in whole seconds.
_SAME_CLOCK: Final = 2.0

#: Access, for as long as it lasts; ``None`` for requests that go out bare.
AccessGrant = Grant[Access | None]


def token_grant(document: Mapping[str, Any], giver: str, *, clock_offset: float = 0.0) -> AccessGrant:
    """
    Return the token in *document*, for as long as it says that it lasts.

    Args:
        giver: Who gave it, for messages.
        clock_offset: Seconds by which the giver's clock is ahead of ours.

    Raises:
        UnauthenticatedError: There is no token in it, or no end.
    """
    token = document.get("access_token")
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UnauthenticatedError(f"{giver} gave no access_token", provider="azure")
    ttl = _seconds(document.get("expires_in"))
    if ttl is None and (end := _seconds(document.get("expires_on"))) is not None:
        ttl = end - time.time() - (clock_offset if abs(clock_offset) > _SAME_CLOCK else 0.0)
    if ttl is None:
        raise UnauthenticatedError(f"{giver} gave a token without its end", provider="azure")
    renewal = _seconds(document.get("refresh_in"))
    early = ttl - renewal if renewal is not None and 0 < renewal < ttl else None
    return Grant(TokenAccess(token), ttl, early)


def _seconds(value: Any) -> float | None:
    """Services write numbers as numbers and as text."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None
