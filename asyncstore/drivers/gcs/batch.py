"""
Deletes many objects with one request, whose body has a small request for each.

https://cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Final

from asyncstore.driver import NotInBatchError
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.gcs.errors import is_missing_bucket, named
from asyncstore.drivers.gcs.names import check_name, object_path
from asyncstore.drivers.gcs.objects import Objects
from asyncstore.drivers.gcs.wire import Request
from asyncstore.errors import InvalidURIError, NotFoundError, NotSupportedError, StorageError, UnavailableError
from asyncstore.http.error_documents import has_error
from asyncstore.http.reply import Reply, parse_retry_after
from asyncstore.uri import ObjectURI

#: https://cloud.google.com/storage/quotas#requests
MAX_CALLS: Final = 100

# Replies of endpoints without batches; GCS itself always has them.
_NO_SUCH_REQUEST: Final = (404, 405, 501)

_BOUNDARY: Final = re.compile(r'boundary="?([^";\s]+)"?', re.IGNORECASE)
_CONTENT_ID: Final = re.compile(rb"(?im)^Content-ID:\s*<?response-item([0-9]+)>?\s*$")
_STATUS: Final = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})")
_RETRY_AFTER: Final = re.compile(rb"(?im)^Retry-After:\s*(.+?)\s*$")


class Batches(Objects):
    """
    Batch deletion.
    """

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> list[StorageError | None]:
        """
        Delete *uris*, all in one bucket, and return an outcome for each.

        Raises:
            NotSupportedError: The endpoint does not support batch requests.
        """
        outcomes: list[StorageError | None] = [None] * len(uris)
        sent = []
        for index, uri in enumerate(uris):
            try:
                check_name(uri)
            except InvalidURIError as exc:
                outcomes[index] = exc
            else:
                sent.append(index)
        if not sent:
            return outcomes
        boundary = secrets.token_hex(16)
        parts = [_part(boundary, index, self._wire.billed(object_path(uris[index]))) for index in sent]
        content = "".join([*parts, f"--{boundary}--\r\n"]).encode()
        headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
        request = Request("POST", "/batch/storage/v1", "", headers, BytesBody(content))
        try:
            reply, body = await self._wire.read(request)
        except StorageError as exc:
            if exc.status in _NO_SUCH_REQUEST:
                message = "this endpoint does not support batch requests"
                raise NotSupportedError(message, provider="gcs", status=exc.status) from None
            raise
        answers = _answers(reply, body, sent)
        for index in sent:
            outcomes[index] = answers[index] if index in answers else NotInBatchError(request_id=reply.request_id)
        return outcomes


def _part(boundary: str, index: int, path: str) -> str:
    return (
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <item{index}>\r\n\r\nDELETE {path} HTTP/1.1\r\n\r\n\r\n"
    )


def _answers(reply: Reply, body: bytes, sent: Sequence[int]) -> dict[int, StorageError | None]:
    match = _BOUNDARY.search(reply.headers.get("Content-Type", ""))
    if match is None:
        raise UnavailableError("the reply to a batch of deletions is not multipart", request_id=reply.request_id)
    found = []
    for part in body.split(b"--" + match.group(1).encode())[1:]:
        if status := _STATUS.search(part):
            which = _CONTENT_ID.search(part[: status.start()])
            answer = _outcome(int(status.group(1)), part[status.start() :], reply)
            found.append((None if which is None else int(which.group(1)), answer))
    if len(found) == len(sent) and all(which is None for which, _ in found):
        # Without content ids, the answers come in the order of the requests.
        return dict(zip(sent, (answer for _, answer in found), strict=True))
    return {which: answer for which, answer in found if which is not None}


def _outcome(status: int, answer: bytes, reply: Reply) -> StorageError | None:
    head, _, body = answer.replace(b"\r\n", b"\n").partition(b"\n\n")
    if status < 300 and not has_error(body.strip()):
        return None
    wait = _RETRY_AFTER.search(head)
    error = named(
        status,
        body.strip(),
        request_id=reply.request_id,
        retry_after=parse_retry_after(wait.group(1).decode("latin-1")) if wait else None,
    )
    return None if isinstance(error, NotFoundError) and not is_missing_bucket(error) else error
