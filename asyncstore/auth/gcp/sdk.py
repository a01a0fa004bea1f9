"""
An adapter of our credentials for Google SDKs.
"""

from __future__ import annotations

from typing import Any, Protocol

from asyncstore.auth.gcp.identity import Token
from asyncstore.auth.tokens import Lease


class _Credentials(Protocol):
    def current(self) -> Lease[Token] | None: ...

    async def get(self) -> Lease[Token]: ...


class GCloudToken:
    """
    The ``token`` argument of gcloud-aio's clients, which call :meth:`get` before each request.
    """

    token_type = None
    service_data: dict[str, Any] = {}  # noqa: RUF012 - never written to
    impersonation_uri = None

    def __init__(self, credentials: _Credentials) -> None:
        self._credentials = credentials

    async def get(self) -> str | None:
        """
        Return the token, refreshed if needed; ``None`` for anonymous access.
        """
        lease = self._credentials.current() or await self._credentials.get()
        return None if lease.value is None else lease.value.reveal()

    async def close(self) -> None:
        """
        The credentials stay open: their owner closes them.
        """
