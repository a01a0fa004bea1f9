"""
What a request to Azure Storage can be let in with: a key, a signature or a token.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from asyncstore.auth.azure_shared_key import SharedKey


class Access(Protocol):
    """
    One kind of credentials.
    """

    def authorize(
        self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]], length: int
    ) -> tuple[str, dict[str, str]]:
        """
        Return the query to send, and the headers to add.

        Args:
            path, query: As they are sent, percent-encoded.
            headers: All that Azure reads, ``x-ms-date`` and ``x-ms-version`` among them.
            length: Bytes of the body.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """
    Every request is signed by the account's key.
    """

    key: SharedKey

    def authorize(
        self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]], length: int
    ) -> tuple[str, dict[str, str]]:
        return query, {"Authorization": self.key.authorization(method, path, query, headers, length)}


@dataclass(frozen=True, slots=True)
class SASAccess:
    """
    A signature that somebody made before goes along in the query.

    Attributes:
        token: Percent-encoded, without the ``?``.
    """

    token: str = field(repr=False)

    def authorize(
        self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]], length: int
    ) -> tuple[str, dict[str, str]]:
        return (f"{query}&{self.token}" if query else self.token), {}


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """
    A token of Microsoft Entra goes along in a header.
    """

    token: str = field(repr=False)

    def authorize(
        self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]], length: int
    ) -> tuple[str, dict[str, str]]:
        return query, {"Authorization": f"Bearer {self.token}"}
