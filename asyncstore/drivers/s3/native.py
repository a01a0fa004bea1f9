"""
The SDK's own client, on our endpoint and credentials.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncstore.config import HTTPOptions, StorageConfig
from asyncstore.drivers.s3.requests import Requests
from asyncstore.drivers.s3.settings import S3Settings


@asynccontextmanager
async def client(config: StorageConfig, settings: S3Settings, requests: Requests) -> AsyncIterator[Any]:
    """
    Yield an aiobotocore S3 client.

    Raises:
        ConfigurationError: aiobotocore is not installed.
    """
    session = await requests.credentials.for_botocore()
    from aiobotocore.config import AioConfig

    anonymous = {"signature_version": _unsigned()} if requests.credentials.anonymous else {"signature_version": "s3v4"}
    options = AioConfig(
        **anonymous,
        connect_timeout=config.http.connect_timeout,
        read_timeout=config.http.stall_timeout,
        max_pool_connections=config.max_requests,
        s3={"addressing_style": settings.addressing_style},
        proxies={"http": config.http.proxy, "https": config.http.proxy} if config.http.proxy else None,
        # The model of the service is read from files: not on the event loop.
        warm_up_loader_caches=True,
    )
    async with session.create_client(
        "s3",
        region_name=await requests.default_region(),
        endpoint_url=requests.explicit_endpoint,
        verify=_verify(config.http),
        config=options,
    ) as opened:
        yield opened


def _verify(options: HTTPOptions) -> str | bool | None:
    if options.ca_file is not None:
        return str(options.ca_file)
    return None if options.verify else False


def _unsigned() -> Any:
    from botocore import UNSIGNED

    return UNSIGNED
