"""
The SDK's own client, for what the portable verbs cannot say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncstore.auth.aws import AWSCredentials
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, NotSupportedError


@asynccontextmanager
async def native_client(
    credentials: AWSCredentials, http: HTTPOptions, *, endpoint: str, region: str, style: str
) -> AsyncIterator[Any]:
    """
    Yield an aiobotocore client on the same endpoint, region, trust and credentials.

    It is closed with the block. Its own retries are those of the SDK.

    Raises:
        ConfigurationError: aiobotocore is not installed.
        NotSupportedError: The storage trusts by an ``ssl.SSLContext``, which the SDK cannot take.
    """
    try:
        from aiobotocore.config import AioConfig
        from botocore import UNSIGNED
    except ImportError:
        raise ConfigurationError("native() needs aiobotocore: install asyncstore[s3]") from None
    if http.ssl_context is not None:
        raise NotSupportedError("the SDK takes no ssl_context: give ca_file", op="native", provider="s3")
    session = await credentials.for_botocore()
    config = AioConfig(
        # The SDK's default presigns by a method that S3 is giving up.
        signature_version=UNSIGNED if credentials.anonymous else "s3v4",
        connect_timeout=http.connect_timeout,
        read_timeout=http.stall_timeout,
        proxies={"http": http.proxy, "https": http.proxy} if http.proxy else {},
        s3={"addressing_style": style},
        # The description of the service is read from files: not on the event loop.
        warm_up_loader_caches=True,
    )
    verify = str(http.ca_file) if http.ca_file is not None else http.verify
    async with session.create_client(
        "s3", endpoint_url=endpoint, region_name=region, config=config, verify=verify
    ) as client:
        yield client
