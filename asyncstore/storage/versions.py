"""
Old versions of objects, if the bucket keeps them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final, Unpack

from asyncstore._support.argument_types import check_argument
from asyncstore.driver import Driver
from asyncstore.engine.copy import copy
from asyncstore.engine.pages import OBJECTS, Pages
from asyncstore.engine.progress import measured
from asyncstore.engine.requests import Requests
from asyncstore.errors import InvalidRequestError
from asyncstore.keywords import CopyFields, ListFields, merged
from asyncstore.options import CopyOptions, ListOptions
from asyncstore.protocols import ProgressSink
from asyncstore.storage.arguments import Checks, check_type
from asyncstore.storage.listing import check_one_by_one
from asyncstore.types import CopyResult, ObjectInfo
from asyncstore.uri import ObjectURI, URILike

_LIST: Final = ListOptions()
_COPY: Final = CopyOptions()


class VersionVerbs:
    """
    The verbs of :class:`~asyncstore.protocols.VersionedCapable`.

    Attributes:
        root: The URI that the storage was opened with.
    """

    root: ObjectURI
    _driver: Driver
    _requests: Requests
    _checks: Checks

    async def list_versions(
        self, prefix: URILike | None = None, *, options: ListOptions = _LIST, **fields: Unpack[ListFields]
    ) -> AsyncIterator[ObjectInfo]:
        """
        Yield every version of the objects whose keys start with that of *prefix*, or that are under :attr:`root`.

        Keys come in byte order, and the versions of a key one after the other, newest or
        oldest first depending on the provider. Each entry has the ``version_id`` that
        reads, copies and deletions take, ``is_current``, and ``is_deleted`` for a delete
        marker. In a bucket without versioning, each object is its only version.
        """
        options = merged(options, ListOptions, fields)
        check_type(options, ListOptions)
        check_one_by_one(options, "list_versions")
        start = self._checks.start(prefix)
        self._checks.require("versions", self._driver.capabilities.versions)
        fetch = self._driver.list_versions_page
        pages = Pages(self._requests, "list_versions", start, fetch, start, options, entries=OBJECTS)
        while (page := await pages.next()) is not None:
            for info in page.objects:
                yield info

    async def restore_version(
        self,
        uri: URILike,
        version_id: str,
        *,
        options: CopyOptions = _COPY,
        progress: ProgressSink | None = None,
        **fields: Unpack[CopyFields],
    ) -> CopyResult:
        """
        Make an old version of an object the current one again, by a copy inside the provider.

        The result is a new version with the bytes and metadata of the old one, and its tags where copies keep them. The
        old one stays. An object that was deleted exists again. What Azure or GCS has deleted softly must be undeleted
        with their own tools first.

        Args:
            version_id: As :meth:`list_versions` returns it.
            options: As those of ``copy()``; the source is *version_id*.
            progress: Called in the event loop with cumulative counts; must not block.

        Raises:
            NotFoundError: The version does not exist, or is a delete marker.
            NotSupportedError: The provider has no versions, or does not copy objects.
        """
        target = self._checks.target(uri)
        check_argument("version_id", version_id, str)
        options = merged(options, CopyOptions, fields)
        check_type(options, CopyOptions)
        if options.source_version_id not in (None, version_id):
            raise InvalidRequestError("restore_version() takes the version as an argument, not as source_version_id")
        self._checks.require("versions", self._driver.capabilities.versions)
        options = replace(options, source_version_id=version_id)
        self._checks.copy(options)
        with measured(progress, target) as meter:
            return await copy(self._requests, target, target, options, meter)
