"""
Shared Key as Azure Storage wants it: pure functions of what is sent.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key

Path and query are signed as they go over the wire, so both are percent-encoded
once, and the same text is used for the URL and for the signature.
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

# In this order; the length is signed too, and stands after the second.
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

# The service sorts names as its database does, by words: hyphens and apostrophes
# count only between names that are equal without them, and signs come before digits.
_ALPHABET: Final = "!#$%&*.^_`|~+0123456789abcdefghijklmnopqrstuvwxyz"
_PRIMARY: Final = {ord("-"): None, ord("'"): None} | {ord(c): chr(n) for n, c in enumerate(_ALPHABET, 1)}
_SECONDARY: Final = {ord(c): "\x00" for c in _ALPHABET} | {ord("'"): "\x01", ord("-"): "\x02"}


@dataclass(frozen=True, slots=True)
class SharedKey:
    """
    The key of a storage account, which may do everything in it.

    Attributes:
        account: Name of the account.
        key: Decoded; it signs, and is never sent.
    """

    account: str
    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, account: str, text: str) -> SharedKey:
        """
        Read a key as the portal shows it.

        Raises:
            ConfigurationError: It is not base64, or empty.
        """
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not key:
            raise ConfigurationError("an account key is base64, as the portal shows it")
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
        Return the value of the header ``Authorization``.

        Args:
            path: As it is sent, percent-encoded, with its leading ``/``.
            query: As it is sent, percent-encoded, without the ``?``.
            headers: All that Azure reads, ``x-ms-date`` among them.
            length: Bytes of the body.
        """
        text = string_to_sign(method, self.account, path, query, headers, length)
        return f"SharedKey {self.account}:{self.sign(text)}"


def string_to_sign(
    method: str, account: str, path: str, query: str, headers: Iterable[tuple[str, str]], length: int = 0
) -> str:
    """
    Return what is signed of a request; see :meth:`SharedKey.authorization`.
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
    # A length of 0 is left out since version 2015-02-21.
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
