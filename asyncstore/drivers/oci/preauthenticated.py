"""
Pre-authenticated requests: URLs that need no credentials, stored by OCI until they expire.

https://docs.oracle.com/iaas/Content/Object/Tasks/usingpreauthenticatedrequests.htm
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from asyncstore.driver.cycles import Cycle
from asyncstore.driver.presigning import expiry_of_url
from asyncstore.drivers.oci.addresses import encode_segment
from asyncstore.drivers.oci.errors import MALFORMED, malformed
from asyncstore.drivers.oci.listing import MAX_KEYS, NEXT_PAGE, parse_time
from asyncstore.drivers.oci.objects import Objects
from asyncstore.drivers.oci.wire import Request, document
from asyncstore.errors import UnavailableError
from asyncstore.http.driver import check_presigning
from asyncstore.http.origin import encode_query
from asyncstore.options import PLAIN_PRESIGN, PresignOptions
from asyncstore.types import PresignedURL
from asyncstore.uri import ObjectURI

_ACCESS: Final[Mapping[str, str]] = {"GET": "ObjectRead", "HEAD": "ObjectRead", "PUT": "ObjectWrite"}


class PreauthenticatedRequests(Objects):
    """
    Pre-authenticated requests, the presigned URLs of OCI.
    """

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        """
        Return a new URL that allows *method* without credentials.

        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/CreatePreauthenticatedRequest

        Raises:
            ConfigurationError: The method is another one, or *expires* is less than a second.
        """
        check_presigning("OCI", method, expires, methods=_ACCESS)
        ends = expiry_of_url(self._wire.clock.now(), expires)
        details = {
            "name": f"asyncstore-{uuid.uuid4()}",
            "objectName": uri.key,
            "accessType": _ACCESS[method],
            "timeExpires": ends.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        reply, found = await self._wire.read_json(Request("POST", uri, "/p", body=document(details)))
        path = found.get("accessUri") if isinstance(found, dict) else None
        if not isinstance(path, str) or not path.startswith("/"):
            raise malformed(reply, "a pre-authenticated request")
        return PresignedURL((await self._wire.endpoint_of(uri)).origin.base + path, ends)

    async def list_preauthenticated_requests(self, prefix: ObjectURI) -> AsyncIterator[PreauthenticatedRequest]:
        """
        Yield the pre-authenticated requests for keys that start with ``prefix.key``.

        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/ListPreauthenticatedRequests
        """
        token: str | None = None
        tokens = Cycle()
        while True:
            pairs = [("limit", str(MAX_KEYS))]
            pairs += [("objectNamePrefix", prefix.key)] if prefix.key else []
            pairs += [] if token is None else [("page", token)]
            reply, found = await self._wire.read_json(Request("GET", prefix, "/p", encode_query(pairs)))
            try:
                items = [_item(item) for item in found]
            except MALFORMED as exc:
                raise malformed(reply, "a page of pre-authenticated requests") from exc
            for item in items:
                yield item
            token = reply.headers.get(NEXT_PAGE)
            if token is None:
                return
            if tokens.closes(token):
                raise UnavailableError("the listing has no end: a token came twice", provider="oci", retryable=False)

    async def delete_preauthenticated_request(self, bucket: ObjectURI, request_id: str) -> None:
        """
        Delete a pre-authenticated request; deleting one that does not exist succeeds.

        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/DeletePreauthenticatedRequest
        """
        request = Request("DELETE", bucket, f"/p/{encode_segment(request_id)}")
        await self._wire.remove(request, ("BucketNotFound", "NamespaceNotFound"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreauthenticatedRequest:
    """
    A pre-authenticated request. Its URL is not here: OCI returns it once, when the request is created.

    Attributes:
        id: Needed to delete it.
        name: The name that its creator chose.
        key: The object; ``None`` for all of a bucket.
        access: Such as ``"ObjectRead"``.
        created: When it was created.
        expires: When its URL stops working.
    """

    id: str
    name: str
    key: str | None
    access: str
    created: datetime | None
    expires: datetime | None


def _item(item: Mapping[str, Any]) -> PreauthenticatedRequest:
    return PreauthenticatedRequest(
        id=item["id"],
        name=item["name"],
        key=item.get("objectName"),
        access=item["accessType"],
        created=parse_time(item.get("timeCreated")),
        expires=parse_time(item.get("timeExpires")),
    )
