"""
Tags of objects, which can be changed without writing the object again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncstore.checks import Checks
from asyncstore.driver import Driver
from asyncstore.engine.calls import Calls
from asyncstore.errors import InvalidRequestError
from asyncstore.uri import ObjectURI, URILike


class TagVerbs:
    """
    The verbs of :class:`~asyncstore.protocols.TaggingCapable`.
    """

    _driver: Driver
    _calls: Calls
    _checks: Checks

    async def get_tags(self, uri: URILike) -> Mapping[str, str]:
        """
        Return the tags of an object; empty if it has none.

        Raises:
            NotFoundError: There is no such object.
        """
        target = self._tagged(uri)
        return await self._calls("get_tags", target, self._driver.get_tags, target)

    async def set_tags(self, uri: URILike, tags: Mapping[str, str]) -> None:
        """
        Put *tags* in the place of all the tags that an object has; the object stays as it is.

        Raises:
            NotFoundError: There is no such object.
            InvalidRequestError: These are more tags than the provider allows, or a
                key or value is not as it wants them.
        """
        target = self._tagged(uri)
        most = self._driver.capabilities.tags
        if len(tags) > most:
            raise InvalidRequestError(f"these are {len(tags)} tags, and {self._driver.provider} allows {most}")
        _check(tags)
        await self._calls("set_tags", target, self._driver.set_tags, target, dict(tags))

    def _tagged(self, uri: URILike) -> ObjectURI:
        self._checks.require("tags", bool(self._driver.capabilities.tags))
        return self._checks.object(uri)


def _check(tags: Mapping[Any, Any]) -> None:
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidRequestError(f"keys and values of tags are text, not {key!r}: {value!r}")
        if not key:
            raise InvalidRequestError("a tag has an empty key")
