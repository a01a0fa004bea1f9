"""
The SDK's own client, for what the portable verbs cannot say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncstore.auth.azure import AzureCredentials
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
        endpoint, credential=await credentials.for_azure(), transport=transport, proxies=proxies
    ) as client:
        yield client
