"""
Our credentials, in the shape that Google's SDKs take.
"""

from __future__ import annotations

from typing import Any, Protocol

from asyncstore.auth.gcp_identity import Token
from asyncstore.auth.tokens import Lease


class _Credentials(Protocol):
    def current(self) -> Lease[Token] | None: ...

    async def get(self) -> Lease[Token]: ...


class GCloudToken:
    """
    What the clients of gcloud-aio take as their ``token``: they ask it before each request.
    """

    token_type = None
    service_data: dict[str, Any] = {}  # noqa: RUF012 - never written to
    impersonation_uri = None

    def __init__(self, credentials: _Credentials) -> None:
        self._credentials = credentials

    async def get(self) -> str | None:
        """
        Return the token, renewed if it has to be; ``None`` for anonymous access.
        """
        lease = self._credentials.current() or await self._credentials.get()
        return None if lease.value is None else lease.value.reveal()

    async def close(self) -> None:
        """
        Do nothing: the credentials belong to whoever made them.
        """
