"""
Resumable uploads: a session that takes an object's bytes over any number of requests.

`Resumable uploads <https://cloud.google.com/storage/docs/resumable-uploads>`_ ·
`performing them <https://cloud.google.com/storage/docs/performing-resumable-uploads>`_
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from asyncstore.testing.servers.gcs import hashes, writing
from asyncstore.testing.servers.gcs.calls import Body, Call, Reply, json_reply, whole_number
from asyncstore.testing.servers.gcs.content import GrowingContent
from asyncstore.testing.servers.gcs.errors import ServiceError, invalid, method_not_allowed, no_such_upload
from asyncstore.testing.servers.gcs.resources import object_etag, object_resource, xml_etag
from asyncstore.testing.servers.gcs.world import StoredObject, World
from asyncstore.testing.servers.gcs.writing import Writing

#: Bytes of which every request but the last brings a multiple.
QUANTUM: Final = 256 * 1024

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(slots=True)
class Session:
    """
    One upload under way.

    Attributes:
        upload_id: Who knows it may write.
        total: Bytes of the object, as soon as they are known.
        expires: Seconds since the epoch.
        answer: What the request that finished it was answered. The object is not kept: it may
            be deleted long before the session is forgotten.
        turn: Whose it is: a later request with bytes takes the session from an earlier one.
    """

    upload_id: str = field(repr=False)
    writing: Writing
    total: int | None
    expires: float
    xml: bool
    received: GrowingContent = field(default_factory=GrowingContent, repr=False)
    answer: Reply | None = None
    cancelled: bool = False
    turn: int = 0

    def close(self) -> None:
        """
        Let go of the bytes, and stop whoever still sends some.
        """
        self.received = GrowingContent()
        self.turn += 1


@dataclass(frozen=True, slots=True)
class _Span:
    """
    What a request with ``Content-Range`` brings.

    Attributes:
        start: ``None`` for no bytes at all.
        stop: ``None`` if the body says where it ends.
        total: ``None`` if it is not known yet.
    """

    start: int | None
    stop: int | None
    total: int | None

    @property
    def final(self) -> bool:
        return self.stop is None or self.stop == self.total


async def start_resumable(world: World, call: Call) -> Reply:
    """
    Open a session, in the JSON API.
    """
    resource = await call.read_json()
    if "x-upload-content-type" in call.headers:
        resource.setdefault("contentType", call.headers["x-upload-content-type"])
    planned = writing.of_json(world, call, resource, call.segments[0])
    session = _open(world, call, planned, xml=False)
    path = f"upload/storage/v1/b/{quote(planned.bucket, safe='')}/o?uploadType=resumable"
    location = f"{call.base_url}/{path}&name={quote(planned.name, safe='')}&upload_id={session.upload_id}"
    return _opened(session, location, 200)


async def start_resumable_xml(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    Open a session, in the XML API: a ``POST`` with ``x-goog-resumable: start``.
    """
    session = _open(world, call, writing.of_headers(world, call, bucket, name), xml=True)
    location = f"{call.base_url}/{quote(bucket, safe='')}/{quote(name)}?upload_id={session.upload_id}"
    return _opened(session, location, 201)


async def use_session(world: World, call: Call) -> Reply:
    """
    Write to a session, ask how far it is, or end it.
    """
    session = _session(world, call.query["upload_id"])
    if call.method not in ("PUT", "DELETE"):
        raise method_not_allowed()
    if call.method == "DELETE":
        session.cancelled = session.answer is None
        session.close()
        raise _cancelled() if session.cancelled else invalid("The upload is finished.")
    if session.answer is not None:
        return session.answer
    span = _span(call.headers)
    _check_total(session, span)
    if span.start is not None:
        await _take(session, call.body, span)
        done = span.final
    else:
        done = span.total is not None and span.total == session.received.size
    if not done:
        return _unfinished(session)
    return _finish(world, session, call)


def _open(world: World, call: Call, planned: Writing, *, xml: bool) -> Session:
    total = whole_number(call.headers.get("x-upload-content-length"), "X-Upload-Content-Length")
    session = Session(uuid.uuid4().hex, planned, total, time.time() + world.settings.session_lifetime, xml)
    world.sessions[session.upload_id] = session
    return session


def _opened(session: Session, location: str, status: int) -> Reply:
    return Reply(status, {"Location": location, "X-GUploader-UploadID": session.upload_id})


def _session(world: World, upload_id: str) -> Session:
    session = world.sessions.get(upload_id)
    if session is None:
        raise no_such_upload()
    if session.cancelled:
        raise _cancelled()
    if session.expires <= time.time():
        raise ServiceError(410, "gone", "Gone", "The upload session has expired.")
    return session


def _cancelled() -> ServiceError:
    return ServiceError(499, "clientClosedRequest", "ClientClosedRequest", "The upload was cancelled.")


def _span(headers: Mapping[str, str]) -> _Span:
    given = headers.get("content-range")
    if given is None:
        length = whole_number(headers.get("content-length"), "Content-Length")
        return _Span(0, None, length)
    match = _CONTENT_RANGE.fullmatch(given)
    if match is None:
        raise invalid("Failed to parse Content-Range header.", "Content-Range")
    first, last, size = match.groups()
    total = None if size == "*" else int(size)
    if first is None:
        return _Span(None, None, total)
    stop = int(last) + 1
    if stop <= int(first) or (total is not None and stop > total):
        raise invalid("Failed to parse Content-Range header.", "Content-Range")
    return _Span(int(first), stop, total)


def _check_total(session: Session, span: _Span) -> None:
    if span.total is None:
        return
    if session.total is not None and session.total != span.total:
        message = f"The upload was to have {session.total} bytes, and is now said to have {span.total}."
        raise invalid(message, "Content-Range")
    # How large the object is may be asked for by a guess, without bytes.
    if span.start is not None:
        session.total = span.total


async def _take(session: Session, body: Body, span: _Span) -> None:
    start = span.start or 0
    _check_span(session, start, span)
    session.turn += 1
    turn, received = session.turn, 0
    # Sent again and persisted already: not looked at a second time.
    skip = session.received.size - start
    pending = bytearray()
    while data := await body.readany():
        if session.turn != turn:
            raise ServiceError(
                503, "backendError", "ServiceUnavailable", "Another request has taken or ended the session."
            )
        received += len(data)
        _check_length(session, span, start, received, ended=False)
        pending += data[skip:] if skip else data
        skip = max(0, skip - len(data))
        # Whole quanta survive whatever happens to the connection.
        settled = len(pending) - len(pending) % QUANTUM
        if settled:
            session.received.add(pending[:settled])
            del pending[:settled]
    _check_length(session, span, start, received, ended=True)
    if span.final:
        session.received.add(pending)


def _check_length(session: Session, span: _Span, start: int, received: int, *, ended: bool) -> None:
    stop = session.total if span.stop is None else span.stop
    reached = start + received
    if stop is not None and (reached > stop or (ended and reached < stop)):
        raise invalid(f"The request was to end at byte {stop}, and its body ends at {reached}.", "Content-Range")


def _check_span(session: Session, start: int, span: _Span) -> None:
    persisted = session.received.size
    if start > persisted:
        raise invalid(
            f"Invalid request.  According to the Content-Range header, the upload offset is {start} byte(s), "
            f"which exceeds already uploaded size of {persisted} byte(s).",
            "Content-Range",
        )
    if not span.final and span.stop is not None and span.stop - start < QUANTUM:
        raise invalid(
            f"Invalid request.  The number of bytes uploaded is required to be equal or greater than {QUANTUM}, "
            "except for the final request (it's recommended to be the exact multiple of "
            f"{QUANTUM}).  The received request contained {span.stop - start} bytes, "
            "which does not meet this requirement.",
            "Content-Range",
        )


def _unfinished(session: Session) -> Reply:
    headers = {"X-GUploader-UploadID": session.upload_id}
    if session.received.size:
        headers["Range"] = f"bytes=0-{session.received.size - 1}"
    return Reply(308, headers)


def _finish(world: World, session: Session, call: Call) -> Reply:
    planned = session.writing.stating(hashes.of_headers(call.headers))
    try:
        stored = planned.commit(world, session.received.finish())
    except ServiceError:
        # What came cannot be taken back, so nothing can come of the session.
        del world.sessions[session.upload_id]
        raise
    session.close()
    session.answer = _finished(session, stored, call)
    return session.answer


def _finished(session: Session, stored: StoredObject, call: Call) -> Reply:
    if session.xml:
        headers = {"ETag": xml_etag(stored), "X-Goog-Generation": str(stored.generation)}
        return Reply(200, {**headers, "X-Goog-Metageneration": str(stored.metageneration)})
    return json_reply(object_resource(stored, call.base_url), headers={"ETag": object_etag(stored)})
