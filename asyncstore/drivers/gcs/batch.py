"""
Deleting many objects with one request: many small ones in the parts of its body.

https://cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Final

from asyncstore.body import BytesBody
from asyncstore.drivers.gcs.errors import is_missing_bucket, named
from asyncstore.drivers.gcs.names import check_name, object_path
from asyncstore.drivers.gcs.wire import Request, Wire
from asyncstore.errors import InvalidURIError, NotFoundError, NotSupportedError, StorageError, UnavailableError
from asyncstore.http.reply import Reply, parse_retry_after
from asyncstore.uri import ObjectURI

#: https://cloud.google.com/storage/quotas#requests
MAX_CALLS: Final = 100

_NO_SUCH_REQUEST: Final = (404, 405, 501)

_BOUNDARY: Final = re.compile(r'boundary="?([^";\s]+)"?', re.IGNORECASE)
_CONTENT_ID: Final = re.compile(rb"(?im)^Content-ID:\s*<?response-item([0-9]+)>?\s*$")
_STATUS: Final = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})")
_RETRY_AFTER: Final = re.compile(rb"(?im)^Retry-After:\s*(.+?)\s*$")


async def delete_batch(wire: Wire, uris: Sequence[ObjectURI]) -> list[StorageError | None]:
    """
    Delete *uris*, all of one bucket; an outcome for each.

    Raises:
        NotSupportedError: The endpoint has no batches.
    """
    outcomes: list[StorageError | None] = [None] * len(uris)
    asked = []
    for index, uri in enumerate(uris):
        try:
            check_name(uri)
        except InvalidURIError as exc:
            outcomes[index] = exc
        else:
            asked.append(index)
    if not asked:
        return outcomes
    boundary = secrets.token_hex(16)
    parts = [_part(boundary, index, wire.billed(object_path(uris[index]))) for index in asked]
    content = "".join([*parts, f"--{boundary}--\r\n"]).encode()
    headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
    request = Request("POST", "/batch/storage/v1", "", headers, BytesBody(content))
    try:
        reply, body = await wire.read(request)
    except StorageError as exc:
        # GCS itself has it everywhere.
        if exc.status in _NO_SUCH_REQUEST:
            raise NotSupportedError("the endpoint has no batches", provider="gcs", status=exc.status) from None
        raise
    answers = _answers(reply, body, asked)
    for index in asked:
        if index not in answers:
            raise UnavailableError("the reply to a batch leaves out some of its parts", request_id=reply.request_id)
        outcomes[index] = answers[index]
    return outcomes


def _part(boundary: str, index: int, path: str) -> str:
    return (
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <item{index}>\r\n\r\nDELETE {path} HTTP/1.1\r\n\r\n\r\n"
    )


def _answers(reply: Reply, body: bytes, asked: Sequence[int]) -> dict[int, StorageError | None]:
    match = _BOUNDARY.search(reply.headers.get("Content-Type", ""))
    if match is None:
        raise UnavailableError("the reply to a batch has no parts", request_id=reply.request_id)
    found = []
    for part in body.split(b"--" + match.group(1).encode())[1:]:
        if status := _STATUS.search(part):
            which = _CONTENT_ID.search(part[: status.start()])
            answer = _outcome(int(status.group(1)), part[status.start() :], reply)
            found.append((None if which is None else int(which.group(1)), answer))
    if len(found) == len(asked) and all(which is None for which, _ in found):
        # Whoever names no part answers them in their order.
        return dict(zip(asked, (answer for _, answer in found), strict=True))
    return {which: answer for which, answer in found if which is not None}


def _outcome(status: int, answer: bytes, reply: Reply) -> StorageError | None:
    if status < 300:
        return None
    head, _, body = answer.replace(b"\r\n", b"\n").partition(b"\n\n")
    asked = _RETRY_AFTER.search(head)
    error = named(
        status,
        body.strip(),
        request_id=reply.request_id,
        retry_after=parse_retry_after(asked.group(1).decode("latin-1")) if asked else None,
    )
    return None if isinstance(error, NotFoundError) and not is_missing_bucket(error) else error
