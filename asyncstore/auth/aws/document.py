"""
The JSON documents in which AWS services and programs issue keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.auth.tokens import Grant
from asyncstore.errors import UnauthenticatedError

#: Keys; ``None`` for requests that are not signed.
KeyGrant = Grant[AWSKeys | None]


def grant_of(document: Mapping[str, Any], issuer: str, *, token: str = "SessionToken") -> KeyGrant:  # noqa: S107 - a name
    """
    Return the keys in *document*.

    Args:
        issuer: For messages.
        token: The name of the field with the session token.

    Raises:
        UnauthenticatedError: A field is missing or not text.
    """
    values = [document.get(name) for name in ("AccessKeyId", "SecretAccessKey", token)]
    key_id, secret, session = (value if isinstance(value, str) and value else None for value in values)
    if key_id is None or secret is None:
        raise UnauthenticatedError(f"{issuer} returned no AccessKeyId and SecretAccessKey")
    return Grant(AWSKeys(key_id, secret, session), seconds_until(document.get("Expiration"), issuer))


def seconds_until(expiration: Any, issuer: str) -> float | None:
    """
    Return the seconds until an ISO 8601 time; ``None`` for ``None``.

    Raises:
        UnauthenticatedError: It is not a time.
    """
    if expiration is None:
        return None
    try:
        end = datetime.fromisoformat(expiration)
    except (TypeError, ValueError):
        raise UnauthenticatedError(f"{issuer} returned an Expiration that is not an ISO 8601 time") from None
    return ((end if end.tzinfo else end.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
