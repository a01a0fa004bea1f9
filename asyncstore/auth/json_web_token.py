"""
JSON Web Tokens: reads the expiry of one, and signs new ones.

https://www.rfc-editor.org/rfc/rfc7519
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


def expiry_of(token: str) -> float | None:
    """
    Return when a token expires, in seconds since the epoch; ``None`` if unknown. Nothing is verified.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None


def signed_token(claims: Mapping[str, Any], key: RSAPrivateKey) -> str:
    """
    Return a token with *claims*, signed with RS256.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    text = unsigned_token({"alg": "RS256", "typ": "JWT"}, claims)
    return f"{text}.{base64url(key.sign(text.encode('ascii'), PKCS1v15(), SHA256()))}"


def unsigned_token(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """
    Return the part of a token that is signed; the token adds a dot and its signature in :func:`base64url`.
    """
    return ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))


def base64url(data: bytes) -> str:
    """
    Return *data* in URL-safe base64 without padding.
    """
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
