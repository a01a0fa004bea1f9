"""
Deleting many keys with one request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

from asyncstore.drivers.s3.copying import outcome
from asyncstore.drivers.s3.errors import make_error
from asyncstore.drivers.s3.objects import delete
from asyncstore.drivers.s3.wire import Wire, document
from asyncstore.drivers.s3.xml import deletion
from asyncstore.errors import InvalidRequestError, NotSupportedError, StorageError
from asyncstore.http.xml import can_carry, child
from asyncstore.options import DeleteOptions
from asyncstore.uri import ObjectURI

#: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
MAX_KEYS: Final = 1000

_PLAIN: Final = DeleteOptions()


async def delete_batch(wire: Wire, uris: Sequence[ObjectURI]) -> list[StorageError | None]:
    """
    Delete *uris*, all of one bucket; those that XML cannot name one by one.

    Raises:
        NotSupportedError: The endpoint has no batches.
    """
    named = [uri for uri in uris if can_carry(uri.key)]
    failed = await _delete_named(wire, named) if named else {}
    return [failed.get(_line_ends(uri.key)) if can_carry(uri.key) else await _delete_one(wire, uri) for uri in uris]


async def _delete_named(wire: Wire, uris: Sequence[ObjectURI]) -> dict[str, StorageError]:
    content = deletion(uri.key for uri in uris)
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    headers = {"Content-MD5": base64.b64encode(digest).decode("ascii"), "Content-Type": "application/xml"}
    request = document(uris[0], "delete=", content, headers, whole_bucket=True)
    try:
        reply, body = await wire.read(request)
    except InvalidRequestError as exc:
        # Not every service that speaks S3 has it.
        if exc.status == 405:
            raise NotSupportedError("the endpoint has no batches", provider="s3", status=405) from None
        raise
    root = outcome(reply, body, "DeleteResult")
    failed = {}
    for item in root.iterfind("Error"):
        code = child(item, "Code")
        if code not in ("NoSuchKey", "NoSuchVersion"):
            error = make_error(code, child(item, "Message") or "", request_id=reply.request_id)
            failed[_line_ends(child(item, "Key") or "")] = error
    return failed


def _line_ends(key: str) -> str:
    # What a reader of XML makes of a line end that the server did not escape.
    return key.replace("\r\n", "\n").replace("\r", "\n")


async def _delete_one(wire: Wire, uri: ObjectURI) -> StorageError | None:
    try:
        await delete(wire, uri, _PLAIN)
    except StorageError as exc:
        return exc
    return None
