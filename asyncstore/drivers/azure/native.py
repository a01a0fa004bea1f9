"""
The SDK's own client, for what the portable verbs cannot say.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from asyncstore.auth.azure import AzureCredentials
from asyncstore.auth.azure_access import KeyAccess, SASAccess, TokenAccess
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, NotSupportedError


@asynccontextmanager
async def native_client(credentials: AzureCredentials, http: HTTPOptions, *, endpoint: str) -> AsyncIterator[Any]:
    """
    Yield an azure-storage-blob client on the same endpoint, trust and credentials.

    It is closed with the block. Its own retries are those of the SDK.

    Raises:
        ConfigurationError: azure-storage-blob is not installed.
        NotSupportedError: The storage trusts by an ``ssl.SSLContext``, which the SDK cannot take.
    """
    try:
        from azure.core.pipeline.transport import AioHttpTransport
        from azure.storage.blob.aio import BlobServiceClient
    except ImportError:
        raise ConfigurationError("native() needs azure-storage-blob: install asyncstore[azure]") from None
    if http.ssl_context is not None:
        raise NotSupportedError("the SDK takes no ssl_context: give ca_file", op="native", provider="azure")
    transport = AioHttpTransport(
        connection_timeout=http.connect_timeout,
        read_timeout=http.stall_timeout,
        connection_verify=str(http.ca_file) if http.ca_file is not None else http.verify,
        use_env_settings=False,
    )
    proxies = {"http": http.proxy, "https": http.proxy} if http.proxy else {}
    async with BlobServiceClient(
        endpoint, credential=await _credential(credentials), transport=transport, proxies=proxies
    ) as client:
        yield client


async def _credential(credentials: AzureCredentials) -> Any:
    from azure.core.credentials import AzureSasCredential

    access = (await credentials.get()).value
    if isinstance(access, KeyAccess):
        import base64

        return {"account_name": access.key.account, "account_key": base64.b64encode(access.key.key).decode("ascii")}
    if isinstance(access, SASAccess):
        return AzureSasCredential(access.token)
    return _SharedToken(credentials) if isinstance(access, TokenAccess) else None


class _SharedToken:
    """
    Lets the SDK use our token, which is renewed once for all.
    """

    def __init__(self, credentials: AzureCredentials) -> None:
        self._credentials = credentials

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        from azure.core.credentials import AccessToken

        lease = await self._credentials.get()
        assert isinstance(lease.value, TokenAccess)
        # Asked again well before its end, and answered from the lease.
        return AccessToken(lease.value.token, int(time.time()) + 600)

    async def close(self) -> None:
        """
        Do nothing: the storage closes its credentials.
        """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.close()
