"""
Deletes many blobs with one request, which contains an authenticated request for each.

https://learn.microsoft.com/rest/api/storageservices/blob-batch
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from multidict import CIMultiDict

from asyncstore.auth.azure.access import Access
from asyncstore.driver import NotInBatchError
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.azure.errors import service_error_of
from asyncstore.drivers.azure.objects import ON_DIRECTORY, Objects
from asyncstore.drivers.azure.wire import Request
from asyncstore.errors import InvalidURIError, StorageError, UnavailableError
from asyncstore.http.error_documents import has_error
from asyncstore.uri import ObjectURI

MAX_BLOBS: Final = 256

#: The service answers after the last deletion.
PATIENCE: Final = 4.0

_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)"?')
_STATUS: Final = re.compile(r"HTTP/1\.[01] (\d{3})")
_CONTENT_ID: Final = re.compile(r"[0-9]{1,3}")


class Answer(NamedTuple):
    """
    The reply to one request of a batch.

    Attributes:
        number: That of the request; ``None`` if the reply does not say.
    """

    number: int | None
    status: int
    headers: CIMultiDict[str]
    content: bytes


class Batches(Objects):
    """
    Batch deletion.
    """

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> list[StorageError | None]:
        """
        Delete *uris*, which are all in one container.
        """
        boundary = f"batch_{secrets.token_hex(16)}"
        access = await self._wire.lease_value()
        outcomes: list[StorageError | None] = [None] * len(uris)
        parts = []
        sent = []
        for number, uri in enumerate(uris):
            try:
                parts.append(self._deletion(access, boundary, number, uri))
            except InvalidURIError as exc:
                outcomes[number] = exc
            else:
                sent.append(number)
        if not sent:
            return outcomes
        body = BytesBody("".join([*parts, f"--{boundary}--\r\n"]).encode("ascii"))
        headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
        query = "comp=batch&restype=container"
        request = Request("POST", uris[0], query, headers, body, "container", patience=PATIENCE)
        reply, document = await self._wire.read(request)
        answers = _answers(reply.headers.get("Content-Type", ""), document)
        for number, answer in _assigned(answers, sent).items():
            outcomes[number] = _outcome(answer, uris[number])
        return outcomes

    def _deletion(self, access: Access | None, boundary: str, number: int, uri: ObjectURI) -> str:
        path = self._wire.addresses.blob(uri)
        headers = self._delete_headers()
        query = ""
        if access is not None:
            # Without x-ms-version: the service takes that of the batch and refuses any other here.
            headers["x-ms-date"] = self._wire.date()
            query, added = access.authorize("DELETE", path, "", headers.items(), 0)
            headers |= added
        lines = [
            f"--{boundary}",
            "Content-Type: application/http",
            "Content-Transfer-Encoding: binary",
            f"Content-ID: {number}",
            "",
            f"DELETE {path}?{query} HTTP/1.1" if query else f"DELETE {path} HTTP/1.1",
            *[f"{name}: {value}" for name, value in headers.items()],
            "Content-Length: 0",
            "",
            "",
        ]
        return "\r\n".join(lines)


def _answers(content_type: str, body: bytes) -> list[Answer]:
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise UnavailableError("the reply to a batch is not multipart")
    answers = []
    for part in body.split(b"--" + match.group(1).encode("ascii"))[1:-1]:
        envelope, _, answer = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
        # The service omits the empty line after the headers of a part without a body.
        head, _, content = answer.partition(b"\r\n\r\n")
        first, _, lines = head.decode("utf-8", "replace").partition("\r\n")
        status = _STATUS.match(first)
        number = _headers(envelope.decode("utf-8", "replace")).get("Content-ID")
        if status is None or not (number is None or _CONTENT_ID.fullmatch(number)):
            raise UnavailableError("the reply to a batch has an invalid part")
        known = None if number is None else int(number)
        answers.append(Answer(known, int(status.group(1)), _headers(lines), content.strip()))
    return answers


def _headers(lines: str) -> CIMultiDict[str]:
    pairs = [line.partition(":") for line in lines.split("\r\n") if line]
    return CIMultiDict((name.strip(), value.strip()) for name, _, value in pairs)


def _assigned(answers: Sequence[Answer], sent: Sequence[int]) -> dict[int, Answer | None]:
    """
    Return the answer to each of the deletions *sent*; ``None`` where the reply does not prove which one it is.

    The service omits the Content-ID of some errors. Answers come in the order of the requests
    (Azure/azure-sdk-for-python#19542), which counts where there is one for each request and those with an id
    are in their places. A batch that is refused as a whole has one answer, which is that of all.
    """
    if len(answers) == 1 < len(sent) and answers[0].number is None and answers[0].status >= 300:
        # A batch that cannot be parsed is the fault of one request: each is sent by itself.
        return dict.fromkeys(sent, None if answers[0].status == 400 else answers[0])
    if len(answers) == len(sent):
        pairs = list(zip(sent, answers, strict=True))
        if all(answer.number in (None, number) for number, answer in pairs):
            return dict(pairs)
    named = Counter(answer.number for answer in answers)
    found = {answer.number: answer for answer in answers if named[answer.number] == 1}
    assigned: dict[int, Answer | None] = {number: found.get(number) for number in sent}
    open_ = [number for number, answer in assigned.items() if answer is None]
    if len(open_) == 1 and len(answers) == len(sent) and None in found:
        assigned[open_[0]] = found[None]
    return assigned


def _outcome(answer: Answer | None, uri: ObjectURI) -> StorageError | None:
    if answer is None:
        return NotInBatchError(
            "the reply to the batch does not say whether this blob was deleted", provider="azure", uri=str(uri)
        )
    if answer.status < 300 and not has_error(answer.content):
        return None
    error = service_error_of(answer.status, answer.headers, answer.content)
    if error.code == ON_DIRECTORY:
        return NotInBatchError(error.message, code=error.code, provider="azure", uri=str(uri))
    return None if answer.status == 404 and error.code != "ContainerNotFound" else error
