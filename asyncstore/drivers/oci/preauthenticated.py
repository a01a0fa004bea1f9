"""
Pre-authenticated requests: addresses that work for whoever holds them, kept by OCI until they end.

https://docs.oracle.com/iaas/Content/Object/Tasks/usingpreauthenticatedrequests.htm
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from asyncstore.drivers.oci.addresses import encode_query, encode_segment
from asyncstore.drivers.oci.listing import MAX_KEYS, parse_time
from asyncstore.drivers.oci.wire import Request, Wire, document, read_json
from asyncstore.errors import ConfigurationError, NotFoundError, UnavailableError
from asyncstore.http.reply import Reply
from asyncstore.uri import ObjectURI

_ACCESS: Final[Mapping[str, str]] = {"GET": "ObjectRead", "HEAD": "ObjectRead", "PUT": "ObjectWrite"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreauthenticatedRequest:
    """
    One that exists. Its address is told once, to whoever made it, and is not here.

    Attributes:
        id: What it is deleted by.
        name: As whoever made it called it.
        key: The object; ``None`` for all of a bucket.
        access: Such as ``"ObjectRead"``.
        created: When it was made.
        expires: When it ends.
    """

    id: str
    name: str
    key: str | None
    access: str
    created: datetime | None
    expires: datetime | None


async def create(wire: Wire, method: str, uri: ObjectURI, expires: timedelta) -> str:
    """
    Return a new address that lets whoever holds it do *method*.

    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/CreatePreauthenticatedRequest

    Raises:
        ConfigurationError: Another method, or a time that has passed.
    """
    if method not in _ACCESS:
        raise ConfigurationError(f"a pre-authenticated request is for one of {[*_ACCESS]}, not {method!r}")
    if expires < timedelta(seconds=1):
        raise ConfigurationError(f"a pre-authenticated request lives for a second at least, not {expires}")
    ends = datetime.now(UTC) + timedelta(seconds=wire.clock_offset) + expires
    details = {
        "name": f"asyncstore-{uuid.uuid4()}",
        "objectName": uri.key,
        "accessType": _ACCESS[method],
        "timeExpires": ends.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    reply, found = await wire.read(Request("POST", uri, "/p", document=document(details)))
    path = found.get("accessUri") if isinstance(found, dict) else None
    if not isinstance(path, str) or not path.startswith("/"):
        raise UnavailableError("the reply has no address", request_id=reply.request_id)
    endpoint = wire.addresses.known(uri) or await wire.addresses.find(uri)
    return endpoint.origin.base + path


async def list_all(wire: Wire, prefix: ObjectURI) -> AsyncIterator[PreauthenticatedRequest]:
    """
    Yield those for objects whose keys start with ``prefix.key``; all of the bucket's if that is empty.

    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/ListPreauthenticatedRequests
    """
    token: str | None = None
    while True:
        pairs = [("limit", str(MAX_KEYS))]
        pairs += [("objectNamePrefix", prefix.key)] if prefix.key else []
        pairs += [] if token is None else [("page", token)]
        reply = await wire.send(Request("GET", prefix, "/p", encode_query(pairs)))
        for item in await _items(reply):
            yield item
        token = reply.headers.get("opc-next-page")
        if token is None:
            return


async def _items(reply: Reply) -> list[PreauthenticatedRequest]:
    try:
        return [_item(item) for item in await read_json(reply)]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UnavailableError("a list has an entry that cannot be read", request_id=reply.request_id) from None


def _item(item: Mapping[str, Any]) -> PreauthenticatedRequest:
    return PreauthenticatedRequest(
        id=item["id"],
        name=item["name"],
        key=item.get("objectName"),
        access=item["accessType"],
        created=parse_time(item.get("timeCreated")),
        expires=parse_time(item.get("timeExpires")),
    )


async def delete(wire: Wire, bucket: ObjectURI, request_id: str) -> None:
    """
    End one before its time; that it is gone already is no error.

    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/DeletePreauthenticatedRequest
    """
    try:
        reply = await wire.send(Request("DELETE", bucket, f"/p/{encode_segment(request_id)}"))
    except NotFoundError as exc:
        if exc.code in ("BucketNotFound", "NamespaceNotFound"):
            raise
        return
    await reply.read_error()
