"""
What the storage of an application is opened from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from asyncstore.config import StorageConfig
from asyncstore.storage import Storage
from asyncstore.storage.opening import open_storage
from asyncstore.uri import ObjectURI

#: A URI, a configuration, or a function that returns a storage or another context manager of one.
StorageSource = str | ObjectURI | StorageConfig | Callable[[], AbstractAsyncContextManager[Storage]]


@asynccontextmanager
async def opened(source: StorageSource) -> AsyncIterator[Storage]:
    """
    Open a storage for the time of the block.
    """
    async with source() if callable(source) else open_storage(source) as storage:
        yield storage
