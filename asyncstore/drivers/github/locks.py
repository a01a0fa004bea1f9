"""
One lock for each name, while it is in use.
"""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakValueDictionary

import anyio


class _Lock:
    """
    A lock that can be referred to weakly, which anyio's cannot.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


class Locks:
    """
    The locks of all names that are in use.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, _Lock] = WeakValueDictionary()

    def of(self, name: Hashable) -> _Lock:
        """
        Return the lock of *name*, which the caller enters at once.
        """
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = _Lock()
        return lock
