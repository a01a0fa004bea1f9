"""
Shared Key authorization: pure functions of the request.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key

Path and query are signed exactly as sent. Percent-encode them once and use the
same text for the URL and the signature.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

from asyncstore.errors import ConfigurationError

# Signed in this order, after Content-Encoding, Content-Language and Content-Length.
_SIGNED: Final = (
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)

# The service sorts header names with a word sort: hyphens and apostrophes matter only
# between names that are otherwise equal, and punctuation sorts before digits.
_ALPHABET: Final = "!#$%&*.^_`|~+0123456789abcdefghijklmnopqrstuvwxyz"
_PRIMARY: Final = {ord("-"): None, ord("'"): None} | {ord(c): chr(n) for n, c in enumerate(_ALPHABET, 1)}
_SECONDARY: Final = {ord(c): "\x00" for c in _ALPHABET} | {ord("'"): "\x01", ord("-"): "\x02"}


@dataclass(frozen=True, slots=True)
class SharedKey:
    """
    The key of a storage account; it grants full access.

    Attributes:
        account: The account name.
        key: The decoded key; it is never sent.
    """

    account: str
    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, account: str, text: str) -> SharedKey:
        """
        Decode a key in the portal's format.

        Raises:
            ConfigurationError: It is not base64, or it is empty.
        """
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not key:
            raise ConfigurationError("an account key must be base64: copy it from the portal")
        return cls(account, key)

    def sign(self, text: str) -> str:
        """
        Return the signature of *text*, in base64.
        """
        return base64.b64encode(hmac.digest(self.key, text.encode(), sha256)).decode("ascii")

    def authorization(
        self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]], length: int = 0
    ) -> str:
        """
        Return the value of the ``Authorization`` header.

        Args:
            path: Percent-encoded, exactly as sent, with the leading ``/``.
            query: Percent-encoded, exactly as sent, without the ``?``.
            headers: Every header that the signature covers, including ``x-ms-date``.
            length: Size of the body in bytes.
        """
        text = string_to_sign(method, self.account, path, query, headers, length)
        return f"SharedKey {self.account}:{self.sign(text)}"


def string_to_sign(
    method: str, account: str, path: str, query: str, headers: Iterable[tuple[str, str]], length: int = 0
) -> str:
    """
    Return the string to sign; for the arguments see :meth:`SharedKey.authorization`.
    """
    own: list[tuple[tuple[str, str], str, str]] = []
    standard: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower.startswith("x-ms-"):
            own.append((_sort_key(lower), lower, value))
        else:
            standard[lower] = value
    own.sort()
    get = standard.get
    # Since version 2015-02-21 a length of 0 is signed as an empty string.
    lines = [method, get("content-encoding", ""), get("content-language", ""), str(length) if length else ""]
    lines += [get(name, "") for name in _SIGNED]
    lines += [f"{name}:{value}" for _, name, value in own]
    lines.append(f"/{account}{path}")
    if query:
        lines += _canonical_query(query)
    return "\n".join(lines)


@lru_cache(maxsize=1024)
def _sort_key(name: str) -> tuple[str, str]:
    return name.translate(_PRIMARY), name.translate(_SECONDARY)


def _canonical_query(query: str) -> list[str]:
    pairs = [pair.partition("=") for pair in query.split("&")]
    return [f"{name}:{value}" for name, value in sorted([(unquote(n).lower(), unquote(v)) for n, _, v in pairs])]
