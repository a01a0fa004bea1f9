"""
The SDK's own client, for what the portable verbs cannot say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread

from asyncstore.auth.oci import OCICredentials, OCIKeys
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, NotSupportedError


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
    keys = (await credentials.get()).value
    if keys is None:
        raise NotSupportedError("the SDK signs every request: it has no anonymous access", op="native", provider="oci")
    client = await anyio.to_thread.run_sync(_make, credentials, keys, http, endpoint, region)
    try:
        yield client
    finally:
        client.base_client.session.close()


def _make(credentials: OCICredentials, keys: OCIKeys, http: HTTPOptions, endpoint: str, region: str | None) -> Any:
    try:
        from oci.auth.signers import SecurityTokenSigner
        from oci.object_storage import ObjectStorageClient
    except ImportError:
        raise ConfigurationError("native() needs the SDK: install asyncstore[oci]") from None

    # Of a kind that the SDK takes to need nothing of the configuration.
    class Signer(SecurityTokenSigner):  # type: ignore[misc] # the SDK comes without types
        """Signs with the credentials of the storage, renewed or not."""

        def __init__(self) -> None:
            self._keys = keys
            names = ["content-length", "content-type", "x-content-sha256"]
            self.create_signers(keys.key_id, keys.private_key, ["date", "(request-target)", "host"], names)

        def do_request_sign(self, request: Any, enforce_content_headers: bool = True) -> Any:
            lease = credentials.current()
            if lease is not None and lease.value is not None and lease.value is not self._keys:
                self._keys = lease.value
                for signer in (self._basic_signer, self._body_signer):
                    signer.reset_signer(self._keys.key_id, self._keys.private_key)
            return super().do_request_sign(request, enforce_content_headers)

    config = {"region": region} if region else {}
    timeout = (http.connect_timeout, http.stall_timeout)
    client = ObjectStorageClient(config, signer=Signer(), service_endpoint=endpoint, timeout=timeout)
    session: Any = client.base_client.session
    # The SDK's requests read the environment's proxies, which a storage does not.
    session.trust_env = False
    session.verify = str(http.ca_file) if http.ca_file is not None else http.verify
    if http.proxy is not None:
        session.proxies = {"http": http.proxy, "https": http.proxy}
    return client
