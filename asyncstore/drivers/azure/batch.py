"""
Deleting many blobs with one request: several in one, each let in by itself.

https://learn.microsoft.com/rest/api/storageservices/blob-batch
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Final

from multidict import CIMultiDict

from asyncstore.auth.azure_access import Access
from asyncstore.body import BytesBody
from asyncstore.drivers.azure.errors import named
from asyncstore.drivers.azure.objects import delete_headers
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.wire import MAX_REPLY, Request, Wire
from asyncstore.errors import InvalidURIError, StorageError, UnavailableError
from asyncstore.uri import ObjectURI

MAX_BLOBS: Final = 256

#: The service answers when it has worked them all off.
PATIENCE: Final = 4.0

_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)"?')
_STATUS: Final = re.compile(r"HTTP/1\.[01] (\d{3})")


async def delete_batch(wire: Wire, settings: AzureSettings, uris: Sequence[ObjectURI]) -> list[StorageError | None]:
    """
    Delete *uris*, all of one container.
    """
    boundary = f"batch_{secrets.token_hex(16)}"
    access = await wire.access()
    outcomes: list[StorageError | None] = [None] * len(uris)
    parts = []
    for number, uri in enumerate(uris):
        try:
            parts.append(_deletion(wire, settings, access, boundary, number, uri))
        except InvalidURIError as exc:
            outcomes[number] = exc
    if not parts:
        return outcomes
    body = BytesBody("".join([*parts, f"--{boundary}--\r\n"]).encode("ascii"))
    headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
    query = "comp=batch&restype=container"
    request = Request("POST", uris[0], query, headers, body, whole_container=True, patience=PATIENCE)
    reply = await wire.send(request)
    answers = _answers(reply.headers.get("Content-Type", ""), await reply.read(MAX_REPLY))
    for number, uri in enumerate(uris):
        if outcomes[number] is None:
            outcomes[number] = _outcome(answers.get(number), uri)
    return outcomes


def _deletion(
    wire: Wire, settings: AzureSettings, access: Access | None, boundary: str, number: int, uri: ObjectURI
) -> str:
    path = wire.addresses.blob(uri)
    headers = delete_headers(settings)
    query = ""
    if access is not None:
        # The version is that of the whole, which the service forbids to repeat.
        headers["x-ms-date"] = wire.date()
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


def _answers(content_type: str, body: bytes) -> dict[int, tuple[int, CIMultiDict[str], bytes]]:
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise UnavailableError("the reply to a batch has no parts")
    answers = {}
    for part in body.split(b"--" + match.group(1).encode("ascii"))[1:-1]:
        envelope, _, answer = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
        head, _, content = answer.partition(b"\r\n\r\n")
        first, _, lines = head.decode("utf-8", "replace").partition("\r\n")
        status = _STATUS.match(first)
        number = _headers(envelope.decode("utf-8", "replace")).get("Content-ID", "")
        if status is None or not number.isdecimal():
            raise UnavailableError("the reply to a batch has a part that cannot be read")
        answers[int(number)] = int(status.group(1)), _headers(lines), content.strip()
    return answers


def _headers(lines: str) -> CIMultiDict[str]:
    pairs = [line.partition(":") for line in lines.split("\r\n") if line]
    return CIMultiDict((name.strip(), value.strip()) for name, _, value in pairs)


def _outcome(answer: tuple[int, CIMultiDict[str], bytes] | None, uri: ObjectURI) -> StorageError | None:
    if answer is None:
        return UnavailableError("the reply to a batch leaves this one out", provider="azure", uri=str(uri))
    status, headers, content = answer
    if status < 300:
        return None
    error = named(status, headers, content)
    return None if status == 404 and error.code != "ContainerNotFound" else error
