"""
Who may sign.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """
    A service account, as the server knows it.

    Attributes:
        public_key: In PEM.
    """

    email: str
    public_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HmacKey:
    """
    A key of the `interoperable kind <https://cloud.google.com/storage/docs/authentication/hmackeys>`_.
    """

    access_id: str
    secret: str = field(repr=False)
