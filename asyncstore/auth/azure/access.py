"""
What authorizes a request to Azure Storage: an account key, a SAS token or an Entra token.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from asyncstore.auth.azure.shared_key import SharedKey


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
            path, query: Percent-encoded, exactly as sent.
            headers: Every header that the signature covers, including ``x-ms-date`` and ``x-ms-version``.
            length: Size of the body in bytes.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """
    Signs every request with the account key (Shared Key).
    """

    key: SharedKey

    def authorize(
        self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]], length: int
    ) -> tuple[str, dict[str, str]]:
        return query, {"Authorization": self.key.authorization(method, path, query, headers, length)}


@dataclass(frozen=True, slots=True)
class SASAccess:
    """
    Appends a SAS token to the query.

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
    Sends a Microsoft Entra token as a bearer token.
    """

    token: str = field(repr=False)

    def authorize(
        self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]], length: int
    ) -> tuple[str, dict[str, str]]:
        return query, {"Authorization": f"Bearer {self.token}"}
