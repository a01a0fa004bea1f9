"""
Retention and legal holds of objects that exist.
"""

from __future__ import annotations

from functools import partial

from asyncstore._support.argument_types import check_argument
from asyncstore.driver import Driver
from asyncstore.engine.requests import Requests
from asyncstore.retention import Retention
from asyncstore.storage.arguments import Checks
from asyncstore.uri import ObjectURI, URILike


class RetentionVerbs:
    """
    The verbs of :class:`~asyncstore.protocols.RetentionCapable`. ``stat`` tells what is set.
    """

    _driver: Driver
    _requests: Requests
    _checks: Checks

    async def set_retention(
        self,
        uri: URILike,
        retention: Retention | None,
        *,
        version_id: str | None = None,
        bypass_retention: bool = False,
    ) -> None:
        """
        Protect an object from being deleted or replaced until a moment; its bytes and metadata stay the same.

        A cancelled call may have taken effect.

        Args:
            uri: The object.
            retention: Until when, and in which mode; ``None`` removes the retention.
            version_id: This version instead of the current one.
            bypass_retention: Shorten or remove a retention in governance mode, which takes a permission of its own.

        Raises:
            NotFoundError: The object or version does not exist.
            PermissionDeniedError: The retention may not be shortened or removed.
            NotSupportedError: The provider has no retention of objects.
        """
        target = self._protectable(uri, version_id)
        check_argument("retention", retention, Retention | None)
        check_argument("bypass_retention", bypass_retention, bool)
        set_retention = partial(self._driver.set_retention, bypass=bypass_retention)
        await self._requests("set_retention", target, set_retention, target, retention, version_id)

    async def set_legal_hold(self, uri: URILike, held: bool, *, version_id: str | None = None) -> None:
        """
        Protect an object from being deleted or replaced until the hold is ended; or end it.

        A cancelled call may have taken effect.

        Args:
            uri: The object.
            held: Whether it is protected from now on.
            version_id: This version instead of the current one.

        Raises:
            NotFoundError: The object or version does not exist.
            NotSupportedError: The provider has no legal holds of objects.
        """
        target = self._protectable(uri, version_id)
        check_argument("held", held, bool)
        await self._requests("set_legal_hold", target, self._driver.set_legal_hold, target, held, version_id)

    def _protectable(self, uri: URILike, version_id: str | None) -> ObjectURI:
        target = self._checks.target(uri)
        able = self._driver.capabilities
        self._checks.require("retention and legal holds of an object", able.object_lock)
        check_argument("version_id", version_id, str | None)
        self._checks.require("versions", able.versions, version_id)
        return target
