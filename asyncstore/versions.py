"""
Old versions of objects, where the provider keeps them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from asyncstore.checks import Checks
from asyncstore.driver import Driver
from asyncstore.engine.calls import Calls
from asyncstore.options import ListOptions
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI, URILike

_LIST: Final = ListOptions()


class VersionVerbs:
    """
    The verb of :class:`~asyncstore.protocols.VersionedCapable`.

    Attributes:
        root: What the storage was opened with.
    """

    root: ObjectURI
    _driver: Driver
    _calls: Calls
    _checks: Checks

    async def list_versions(
        self, prefix: URILike | None = None, *, options: ListOptions = _LIST
    ) -> AsyncIterator[ObjectInfo]:
        """
        Yield every version of the objects whose keys start with that of *prefix*.

        Keys come in byte order and the versions of a key one after the other, newest or
        oldest first as the provider has it. Each entry has the ``version_id`` that
        reading, copying and deleting take, ``is_current``, and ``is_deleted`` where it stands
        for a deletion. In a bucket that keeps no versions each object is its only one.
        """
        start = self._checks.prefix(self.root if prefix is None else prefix)
        self._checks.require("versions", self._driver.capabilities.versions)
        token: str | None = None
        list_page = self._driver.list_versions_page
        while True:
            page = await self._calls("list_versions", start, list_page, start, options, token)
            for info in page.objects:
                yield info
            token = page.next_token
            if token is None:
                return
