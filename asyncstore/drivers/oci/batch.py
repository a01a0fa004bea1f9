"""
Deleting many objects with one request.

https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/BatchDeleteObjects
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from asyncstore.drivers.oci.errors import make_error
from asyncstore.drivers.oci.wire import PATIENCE, Request, Wire, document
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.uri import ObjectURI

#: Keys of one request.
MAX_KEYS: Final = 1000

_GONE: Final = 404


async def delete_batch(wire: Wire, uris: Sequence[ObjectURI]) -> list[StorageError | None]:
    """
    Delete *uris*, all of one bucket.
    """
    details = {"objects": [{"objectName": uri.key} for uri in uris], "isSkipDeletedResult": True}
    request = Request("POST", uris[0], "/actions/batchDeleteObjects", document=document(details), patience=PATIENCE)
    reply, found = await wire.read(request)
    try:
        failed = {item["objectName"]: _error(item, reply.request_id) for item in found.get("failed") or ()}
    except (AttributeError, KeyError, TypeError):
        raise UnavailableError("the reply is not the outcome that was expected", request_id=reply.request_id) from None
    return [failed.get(uri.key) for uri in uris]


def _error(item: dict[str, Any], request_id: str | None) -> StorageError | None:
    status = item.get("statusCode")
    if status == _GONE:
        return None
    return make_error(
        None,
        str(item.get("errorMessage") or "the object was not deleted"),
        status=status if isinstance(status, int) else None,
        request_id=request_id,
    )
