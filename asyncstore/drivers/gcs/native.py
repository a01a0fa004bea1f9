"""
An SDK's own client, for what the portable verbs cannot say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from asyncstore.auth.gcp import GCPCredentials
from asyncstore.errors import ConfigurationError


@asynccontextmanager
async def native_client(
    session: aiohttp.ClientSession, credentials: GCPCredentials, endpoint: str, *, proxy: str | None = None
) -> AsyncIterator[Any]:
    """
    Yield a ``gcloud.aio.storage.Storage`` on the same connections, endpoint and token.

    It is closed with the block. Its own retries are those of the SDK, and so is its
    limit on the time of a request.

    Raises:
        ConfigurationError: gcloud-aio-storage is not installed.
    """
    try:
        from gcloud.aio.storage import Storage
    except ImportError:
        raise ConfigurationError("native() needs gcloud-aio-storage: install asyncstore[gcs]") from None
    # The same connections, but a session that decompresses: the SDK takes replies as they come.
    async with aiohttp.ClientSession(
        connector=session.connector, connector_owner=False, cookie_jar=aiohttp.DummyCookieJar(), proxy=proxy
    ) as shared:
        # Given an endpoint, it would send no token unless told otherwise.
        arguments: dict[str, Any] = {"session": shared, "token": credentials.for_gcloud()}
        yield Storage(**arguments, api_root=endpoint, api_is_dev=credentials.anonymous)
