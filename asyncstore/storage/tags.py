"""
Tags of objects, which change without rewriting the object.
"""

from __future__ import annotations

from collections.abc import Mapping

from asyncstore._support.argument_types import check_argument
from asyncstore.driver import Driver
from asyncstore.engine.requests import Requests
from asyncstore.options import checked_tags
from asyncstore.storage.arguments import Checks
from asyncstore.uri import URILike


class TagVerbs:
    """
    The verbs of :class:`~asyncstore.protocols.TaggingCapable`.
    """

    _driver: Driver
    _requests: Requests
    _checks: Checks

    async def get_tags(self, uri: URILike) -> Mapping[str, str]:
        """
        Return the tags of an object; empty if it has none.

        Raises:
            NotFoundError: The object does not exist.
        """
        target = self._checks.object(uri)
        self._require_tags()
        return await self._requests("get_tags", target, self._driver.get_tags, target)

    async def set_tags(self, uri: URILike, tags: Mapping[str, str]) -> None:
        """
        Replace all tags of an object with *tags*; its bytes and metadata stay the same.

        Raises:
            NotFoundError: The object does not exist.
            InvalidRequestError: There are more tags than the provider allows, or it does not
                accept a key or value.
        """
        target = self._checks.target(uri)
        self._require_tags()
        check_argument("tags", tags, Mapping[str, str])
        self._checks.tags(tags)
        await self._requests("set_tags", target, self._driver.set_tags, target, checked_tags(tags))

    def _require_tags(self) -> None:
        self._checks.require("tags", bool(self._driver.capabilities.tags))
