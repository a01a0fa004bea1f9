"""
Resumable uploads: a session receives an object's bytes in any number of requests.

`Resumable uploads <https://cloud.google.com/storage/docs/resumable-uploads>`_ ·
`performing them <https://cloud.google.com/storage/docs/performing-resumable-uploads>`_
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from asyncstore.testing.servers.gcs import hashes, writing
from asyncstore.testing.servers.gcs.calls import Body, Call, Reply, json_reply, whole_number
from asyncstore.testing.servers.gcs.errors import ServiceError, invalid, method_not_allowed, no_such_upload
from asyncstore.testing.servers.gcs.pending import PlannedObject, Session
from asyncstore.testing.servers.gcs.resources import object_etag, object_resource, xml_etag
from asyncstore.testing.servers.gcs.state import StoredObject
from asyncstore.testing.servers.gcs.world import World

#: Bytes. Every request but the last sends a multiple of this.
QUANTUM: Final = 256 * 1024

# The last byte can be unknown: the Node.js client sends "bytes 0-*/*".
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+|\*)|\*)/(\d+|\*)")

# Google's Go client sends the first header, and then expects status 200 and the second one instead of 308.
_NO_308: Final = "x-guploader-no-308"
_OVERRIDE: Final = "X-Http-Status-Code-Override"


@dataclass(frozen=True, slots=True)
class _Span:
    """
    The bytes that a request sends, from its ``Content-Range``.

    Attributes:
        start: ``None`` if the request sends no bytes.
        stop: ``None`` if they end where the body ends.
        open_ended: The request says that its last byte is unknown.
        total: ``None`` if the object's size is not known yet.
    """

    start: int | None
    stop: int | None
    total: int | None
    open_ended: bool = False

    @property
    def final(self) -> bool:
        return self.stop is None or self.stop == self.total


async def start_resumable(world: World, call: Call) -> Reply:
    """
    Start a session, in the JSON API.
    """
    resource = await call.read_json()
    if "x-upload-content-type" in call.headers:
        resource.setdefault("contentType", call.headers["x-upload-content-type"])
    planned = writing.of_json(world, call, resource, call.segments[0])
    session = _start(world, call, planned, xml=False)
    path = f"upload/storage/v1/b/{quote(planned.bucket, safe='')}/o?uploadType=resumable"
    location = f"{call.base_url}/{path}&name={quote(planned.name, safe='')}&upload_id={session.upload_id}"
    return _started(session, location, 200)


async def start_resumable_xml(world: World, call: Call, bucket: str, name: str) -> Reply:
    """
    Start a session, in the XML API: a ``POST`` with ``x-goog-resumable: start``.
    """
    session = _start(world, call, writing.of_headers(world, call, bucket, name), xml=True)
    location = f"{call.base_url}/{quote(bucket, safe='')}/{quote(name)}?upload_id={session.upload_id}"
    return _started(session, location, 201)


async def use_session(world: World, call: Call) -> Reply:
    """
    Write to a session, query its status, or cancel it.
    """
    session = _session(world, call.query["upload_id"])
    if call.method not in ("PUT", "POST", "DELETE"):
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
        await _receive(session, call.body, span)
        # A body that ends early is not the last one.
        done = span.final and not (span.open_ended and session.received.size < (span.total or 0))
    else:
        done = span.total is not None and span.total == session.received.size
    if not done:
        return _unfinished(session, call)
    return _finish(world, session, call)


def _start(world: World, call: Call, planned: PlannedObject, *, xml: bool) -> Session:
    total = whole_number(call.headers.get("x-upload-content-length"), "X-Upload-Content-Length")
    session = Session(uuid.uuid4().hex, planned, total, time.time() + world.settings.session_lifetime, xml)
    world.sessions[session.upload_id] = session
    return session


def _started(session: Session, location: str, status: int) -> Reply:
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
    content_range = headers.get("content-range")
    if content_range is None:
        length = whole_number(headers.get("content-length"), "Content-Length")
        return _Span(0, None, length)
    match = _CONTENT_RANGE.fullmatch(content_range)
    if match is None:
        raise invalid("Failed to parse Content-Range header.", "Content-Range")
    first, last, size = match.groups()
    total = None if size == "*" else int(size)
    if first is None:
        return _Span(None, None, total)
    if last == "*":
        return _Span(int(first), None, total, open_ended=True)
    stop = int(last) + 1
    if stop <= int(first) or (total is not None and stop > total):
        raise invalid("Failed to parse Content-Range header.", "Content-Range")
    return _Span(int(first), stop, total)


def _check_total(session: Session, span: _Span) -> None:
    if span.total is None:
        return
    if session.total is not None and session.total != span.total:
        message = f"The upload was declared with {session.total} bytes, but this request says {span.total}."
        raise invalid(message, "Content-Range")
    # A status query without bytes may only guess the size.
    if span.start is not None:
        session.total = span.total


async def _receive(session: Session, body: Body, span: _Span) -> None:
    start = span.start or 0
    _check_span(session, start, span)
    session.turn += 1
    turn, received = session.turn, 0
    # Bytes that are sent again but already persisted are skipped.
    skip = session.received.size - start
    pending = bytearray()
    while data := await body.readany():
        if session.turn != turn:
            raise ServiceError(
                503, "backendError", "ServiceUnavailable", "Another request has taken over or ended the session."
            )
        received += len(data)
        _check_length(session, span, start, received, ended=False)
        pending += data[skip:] if skip else data
        skip = max(0, skip - len(data))
        # Complete quanta are kept even if the connection breaks.
        complete = len(pending) - len(pending) % QUANTUM
        if complete:
            session.received.add(pending[:complete])
            del pending[:complete]
    _check_length(session, span, start, received, ended=True)
    if span.final and not (span.open_ended and start + received < (span.total or 0)):
        session.received.add(pending)


def _check_length(session: Session, span: _Span, start: int, received: int, *, ended: bool) -> None:
    stop = session.total if span.stop is None else span.stop
    reached = start + received
    if stop is not None and (reached > stop or (ended and reached < stop and not span.open_ended)):
        raise invalid(f"The request should end at byte {stop}, but its body ends at {reached}.", "Content-Range")


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


def _unfinished(session: Session, call: Call) -> Reply:
    headers = {"X-GUploader-UploadID": session.upload_id}
    if session.received.size:
        headers["Range"] = f"bytes=0-{session.received.size - 1}"
    if call.headers.get(_NO_308, "").lower() in ("yes", "true"):
        return Reply(200, {**headers, _OVERRIDE: "308"})
    return Reply(308, headers)


def _finish(world: World, session: Session, call: Call) -> Reply:
    planned = session.planned.with_hashes(hashes.of_headers(call.headers))
    try:
        stored = world.write(planned, session.received.finish())
    except ServiceError:
        # The received bytes cannot be replaced, so the session cannot succeed.
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
