"""
The documents that AWS services and programs hand out keys in.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.auth.tokens import Grant
from asyncstore.errors import UnauthenticatedError

#: Keys; ``None`` for requests that stay unsigned.
KeyGrant = Grant[AWSKeys | None]


def grant_of(document: Mapping[str, Any], giver: str, *, token: str = "SessionToken") -> KeyGrant:  # noqa: S107 - a name
    """
    Return the keys in *document*, for as long as it says that they last.

    Args:
        giver: Who gave it, for messages.
        token: The field with the session token.

    Raises:
        UnauthenticatedError: A field is missing or no text.
    """
    values = [document.get(name) for name in ("AccessKeyId", "SecretAccessKey", token)]
    key_id, secret, session = (value if isinstance(value, str) and value else None for value in values)
    if key_id is None or secret is None:
        raise UnauthenticatedError(f"{giver} gave no AccessKeyId and SecretAccessKey")
    return Grant(AWSKeys(key_id, secret, session), seconds_until(document.get("Expiration"), giver))


def seconds_until(expiration: Any, giver: str) -> float | None:
    """
    Return the seconds until an ISO 8601 time; ``None`` if there is none.

    Raises:
        UnauthenticatedError: It is something else.
    """
    if expiration is None:
        return None
    try:
        end = datetime.fromisoformat(expiration)
    except (TypeError, ValueError):
        raise UnauthenticatedError(f"{giver} gave an Expiration that is no ISO 8601 time") from None
    return ((end if end.tzinfo else end.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
