"""
The SDK's own client, for what the portable verbs cannot say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread

from asyncstore.auth.oci import OCICredentials
from asyncstore.config import HTTPOptions
from asyncstore.errors import NotSupportedError


@asynccontextmanager
async def native_client(
    credentials: OCICredentials, http: HTTPOptions, *, endpoint: str, region: str | None
) -> AsyncIterator[Any]:
    """
    Yield an ``ObjectStorageClient`` on the same endpoint, trust and credentials.

    Its methods block: call them in a thread. Its own retries are those of the SDK.

    Raises:
        ConfigurationError: The SDK is not installed.
        NotSupportedError: The SDK cannot do what this storage is set to.
    """
    if http.ssl_context is not None:
        raise NotSupportedError("the SDK takes no ssl_context: give ca_file", op="native", provider="oci")
    signer = await credentials.for_oci()
    client = await anyio.to_thread.run_sync(_make, signer, http, endpoint, region)
    try:
        yield client
    finally:
        client.base_client.session.close()


def _make(signer: Any, http: HTTPOptions, endpoint: str, region: str | None) -> Any:
    from oci.object_storage import ObjectStorageClient

    config = {"region": region} if region else {}
    timeout = (http.connect_timeout, http.stall_timeout)
    client = ObjectStorageClient(config, signer=signer, service_endpoint=endpoint, timeout=timeout)
    session: Any = client.base_client.session
    # The SDK's requests read the environment's proxies, which a storage does not.
    session.trust_env = False
    session.verify = str(http.ca_file) if http.ca_file is not None else http.verify
    if http.proxy is not None:
        session.proxies = {"http": http.proxy, "https": http.proxy}
    return client
