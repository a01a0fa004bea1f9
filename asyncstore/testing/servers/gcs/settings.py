"""
What can be set about a server.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from asyncstore.testing.servers.gcs.signers import HmacKey, ServiceAccount

_MiB: Final = 1024 * 1024
_WEEK: Final = 7 * 24 * 3600.0
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    What a server checks, and how long things last.

    Attributes:
        tokens: Bearer tokens that are good, beside those that the server itself has issued.
            ``None`` lets everybody do everything; signatures are checked all the same.
        accounts: Who may sign, and ask for tokens.
        hmac_keys: With which requests may be signed as well.
        refresh_tokens: For which the token endpoint gives tokens.
        token_lifetime: Seconds for which an issued token is good.
        session_lifetime: Seconds after which a resumable upload is gone.
        rewrite_size: Bytes up to which one call copies an object to another storage
            class or place.
    """

    tokens: Collection[str] | None = field(default=None, repr=False)
    accounts: Collection[ServiceAccount] = ()
    hmac_keys: Collection[HmacKey] = ()
    refresh_tokens: Collection[str] = field(default=(), repr=False)
    token_lifetime: float = _HOUR
    session_lifetime: float = _WEEK
    rewrite_size: int = 64 * _MiB
