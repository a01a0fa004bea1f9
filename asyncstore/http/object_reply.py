"""
Reads what a reply says about an object, for all providers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Final

from multidict import istr

from asyncstore.checksum import COMBINABLE
from asyncstore.driver.body import Body
from asyncstore.driver.conditions import resolve_range
from asyncstore.errors import (
    IntegrityError,
    NotSupportedError,
    RangeNotSatisfiableError,
    SourceChangedError,
    UnavailableError,
)
from asyncstore.http.header_values import etag_of, parse_date
from asyncstore.http.reply import Reply
from asyncstore.http.reply_body import ReplyBody
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.retention import Retention
from asyncstore.types import UNKNOWN, Checksum, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_ETAG: Final = istr("ETag")
_CONTENT_LENGTH: Final = istr("Content-Length")
_CONTENT_RANGE_NAME: Final = istr("Content-Range")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")

_COUNT: Final = re.compile(r"[0-9]{1,4}")

# Every object has one of the two.
_NO_STORE: Final = "the reply has neither ETag nor Last-Modified: this endpoint is not an object storage service"

_LAST_MODIFIED: Final = istr("Last-Modified")
_CONTENT: Final = [
    istr(name)
    for name in ("Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Cache-Control")
]

# The __init__ of a frozen record looks up each field by its name, which takes twice as long.
_METADATA: Final = [getattr(Metadata, item.name).__set__ for item in fields(Metadata)]

#: Returns the metadata of an object from its size and whether the reply contains the whole object:
#: the checksums in a partial reply can be those of the part.
Describe = Callable[[int, bool], Metadata]


def object_body(
    reply: Reply,
    wanted: ByteRange | None,
    describe: Describe,
    checksum_of: Callable[[Mapping[str, str]], Checksum | None],
    *,
    full_range: bool = False,
) -> ReplyBody:
    """
    Return the body of a successful read; closes *reply* if it is not what was requested.

    Args:
        wanted: The requested range.
        describe: Reads the metadata from the reply's headers. Called later, or never, for a whole object.
        checksum_of: Reads the checksum of the whole object from the headers.
        full_range: Whether the checksums in a partial reply with all bytes of the object are those of the object.

    Raises:
        RangeNotSatisfiableError: The range starts at or after the end.
        UnavailableError: The reply contains another range than requested, or its end cannot be known.
    """
    try:
        # Some servers, such as rclone serve s3, send the range that was asked for with status 200.
        if reply.status == 206 or (wanted is not None and _CONTENT_RANGE_NAME in reply.headers):
            start, end, size = partial_extent(reply, wanted)
            whole = full_range and start == 0 and end == size
            return ReplyBody(reply, describe(size, whole), start, end, unframed=not has_length(reply))
        if reply.status != 200 or _ETAG not in reply.headers:
            _check_success(reply)
        if _CONTENT_RANGE_NAME in reply.headers:
            _check_whole(reply)
        if _CONTENT_LENGTH not in reply.headers:
            return _open_ended(reply, wanted, describe, checksum_of)
        length = content_length(reply)
        if wanted is None:
            checksum = checksum_of(reply.headers)
            return ReplyBody(reply, partial(describe, length, True), 0, length, checksum=checksum)
        # A server may ignore the range and return the whole object.
        start, end = resolve_range(wanted, length)
        return ReplyBody(
            reply, describe(length, True), start, end, skip=start, ignored_range=(start, end) != (0, length)
        )
    except BaseException:
        reply.close()
        raise


def _open_ended(
    reply: Reply,
    wanted: ByteRange | None,
    describe: Describe,
    checksum_of: Callable[[Mapping[str, str]], Checksum | None],
) -> ReplyBody:
    """
    Return the body of a reply that does not say its length.

    Such replies come from services that compress or decompress an object on the way. The end of a chunked
    one is marked; one that just closes the connection could have been cut, unless there is a checksum.
    """
    checksum = checksum_of(reply.headers)
    if not _is_chunked(reply) and (checksum is None or wanted is not None):
        raise UnavailableError(
            "the reply has no Content-Length and is not chunked, so its end is not known",
            retryable=False,
            status=reply.status,
            request_id=reply.request_id,
        )
    if wanted is None:
        return ReplyBody(reply, partial(describe, UNKNOWN, True), 0, UNKNOWN, checksum=checksum, open_ended=True)
    if wanted.start < 0:
        raise UnavailableError(
            "the server ignored the range and does not say how long the object is, so its last bytes are not known",
            retryable=False,
            status=reply.status,
            request_id=reply.request_id,
        )
    info = describe(UNKNOWN, True)
    end = UNKNOWN if wanted.end is None else wanted.end
    return ReplyBody(reply, info, wanted.start, end, skip=wanted.start, open_ended=True, ignored_range=True)


def _is_chunked(reply: Reply) -> bool:
    return "chunked" in reply.headers.get("Transfer-Encoding", "").lower()


def _check_success(reply: Reply) -> None:
    """
    Check that a reply is that of a store, and not of a portal or a proxy that answers everything with a page.
    """
    if reply.status != 200:
        raise _unexpected(reply, f"a read was answered with status {reply.status}")
    if not _has_validator(reply) and reply.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _unexpected(reply, _NO_STORE)


def _check_whole(reply: Reply) -> None:
    """
    Check that a reply to a read of a whole object, which names a range, has all of the object.
    """
    match = _CONTENT_RANGE.fullmatch(reply.headers[_CONTENT_RANGE_NAME])
    length = content_length(reply) if has_length(reply) else None
    if match is None and length == 0:
        # No range names the bytes of an empty object.
        return
    if match is not None and match.group(3) != "*":
        start, end, size = int(match.group(1)), int(match.group(2)) + 1, int(match.group(3))
        if (start, end) == (0, size) and length in (None, size):
            return
    raise _unexpected(reply, "the reply to a read of the whole object has a part of it")


def _has_validator(reply: Reply) -> bool:
    return _ETAG in reply.headers or _LAST_MODIFIED in reply.headers


def check_version(reply: Reply, options: ReadOptions, told: str | None) -> None:
    """
    Check that *reply* is about the version that was requested, if one was; closes it otherwise.

    Args:
        told: The version that the reply names. It may name none if it was checked for an ETag.

    Raises:
        SourceChangedError: It is about another version.
        NotSupportedError: It names none, so the endpoint ignores versions.
    """
    asked = options.version_id
    if told == asked or asked is None or (told is None and options.if_match not in (None, "*")):
        return
    reply.close()
    if told is not None:
        message = f"the reply has version {told[:100]}, and {asked[:100]} was requested"
        raise SourceChangedError(message, status=reply.status, request_id=reply.request_id)
    message = "this endpoint ignores versions: the reply to a request for one names none"
    raise NotSupportedError(message, status=reply.status, request_id=reply.request_id)


def object_size(reply: Reply) -> int:
    """
    Return the size of the object that a reply to a HEAD describes; :data:`UNKNOWN` if it does not say.

    Raises:
        UnavailableError: It describes a part of the object, or no object.
    """
    if reply.status != 200 or not _has_validator(reply):
        raise _unexpected(reply, _NO_STORE)
    if _CONTENT_RANGE_NAME in reply.headers:
        raise _unexpected(reply, "the reply describes a part of the object")
    return content_length(reply) if _CONTENT_LENGTH in reply.headers else UNKNOWN


def content_length(reply: Reply) -> int:
    """
    Return the number of bytes that *reply* announces.

    Raises:
        UnavailableError: It has no valid Content-Length.
    """
    try:
        return int(reply.headers[_CONTENT_LENGTH])
    except (KeyError, ValueError):
        raise UnavailableError("the reply has no valid Content-Length", retryable=False, status=reply.status) from None


def required_header(reply: Reply, name: str) -> str:
    """
    Return a header that the provider always sends.

    Raises:
        UnavailableError: The reply lacks it, or it is empty.
    """
    value = reply.headers.get(name)
    if not value:
        raise _unexpected(reply, f"the reply has no {name}")
    return value


def required_etag(reply: Reply) -> str:
    """
    Return the ETag that every reply to a write has, without its quotes.

    Raises:
        UnavailableError: The reply has none, so whatever sent it has stored nothing.
    """
    etag = etag_of(reply.headers.get(_ETAG))
    if etag is None:
        raise _unexpected(reply, "the reply has no ETag: nothing was stored")
    return etag


def has_length(reply: Reply) -> bool:
    """
    Return whether *reply* announces the number of its bytes.
    """
    return _CONTENT_LENGTH in reply.headers


def partial_extent(reply: Reply, wanted: ByteRange | None) -> tuple[int, int, int]:
    """
    Return where the bytes of a partial reply start and end (exclusive), and the size of the whole object.

    The size may be left open (https://www.rfc-editor.org/rfc/rfc9110#section-14.4), and is :data:`UNKNOWN` then. Only
    all of a range whose end was requested is taken in such a reply: nothing tells whether the object ends sooner.

    A reply without Content-Length says how many bytes it has by its range.

    Raises:
        RangeNotSatisfiableError: The range starts at or after the end of the object.
        UnavailableError: Its Content-Range is missing, invalid or not the requested range.
    """
    length = content_length(reply) if has_length(reply) else None
    match = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
    if match is None and length == 0:
        # Some servers answer this to a suffix range of an empty object.
        raise RangeNotSatisfiableError("the object is empty", status=206, request_id=reply.request_id)
    if match is None:
        raise _unexpected(reply, "the partial reply has no valid Content-Range")
    start, end, total = int(match.group(1)), int(match.group(2)) + 1, match.group(3)
    size = UNKNOWN if total == "*" else int(total)
    if size != UNKNOWN and start >= size:
        raise RangeNotSatisfiableError(f"the object has {size} bytes", status=206, request_id=reply.request_id)
    if length is not None and length != end - start:
        raise _unexpected(reply, f"the partial reply announces {length} bytes for a range of {end - start}")
    if size == UNKNOWN and (wanted is None or (start, end) != (wanted.start, wanted.end)):
        raise UnavailableError(
            f"the reply contains bytes {start} to {end} of an object whose length it does not say, "
            "so it is not known whether that is all that was requested",
            retryable=False,
            status=reply.status,
            request_id=reply.request_id,
        )
    if size != UNKNOWN and (start, end) != resolve_range(wanted, size):
        raise _unexpected(reply, f"the reply contains bytes {start} to {end} of {size}, not the requested range")
    return start, end, size


def metadata_record(
    uri: ObjectURI,
    headers: Mapping[str, str],
    size: int,
    etag: str | None,
    version_id: str | None,
    storage_class: str | None,
    checksum: Checksum | None,
    metadata: Mapping[str, str],
    checksums: Sequence[Checksum],
    tag_count: str | None = None,
    *,
    skip_empty: bool = False,
    is_folder: bool = False,
    retention: Retention | None = None,
    legal_hold: bool = False,
) -> Metadata:
    """
    Return what *headers* say about an object, given what each provider has its own names for.

    Args:
        tag_count: The header with the number of tags, if there is one.
        skip_empty: An empty header stands for none.
        is_folder: Whether it is the marker of a folder.
        retention: Until when it is protected.
        legal_hold: Whether a legal hold protects it.
    """
    get = headers.get
    modified = get(_LAST_MODIFIED)
    content = list(map(get, _CONTENT))
    if skip_empty:
        content = [value or None for value in content]
    moment = parse_date(modified) if modified else None
    info = (uri, size, etag, moment, version_id, storage_class, checksum, False, None, False, is_folder)
    record = object.__new__(Metadata)
    tags = int(tag_count) if tag_count and _COUNT.fullmatch(tag_count) else 0
    for put, value in zip(_METADATA, (*info, *content, metadata, checksums, tags, retention, legal_hold)):  # noqa: B905 - strict=True costs time
        put(record, value)
    return record


def written_object(
    uri: ObjectURI,
    reply: Reply,
    size: int,
    checksum: Checksum | None,
    storage_class: str | None,
    *,
    version_header: str,
) -> ObjectInfo:
    """
    Return what the headers of the *reply* to a write say about the new object.

    Raises:
        UnavailableError: It has no ETag, so whatever sent it has stored nothing.
    """
    headers = reply.headers
    modified = headers.get(_LAST_MODIFIED)
    return ObjectInfo(
        uri=uri,
        size=size,
        etag=required_etag(reply),
        last_modified=parse_date(modified) if modified else None,
        # S3 calls versions without versioning "null".
        version_id=None if (version := headers.get(version_header)) == "null" else version,
        storage_class=storage_class,
        checksum=checksum,
    )


def check_written_size(sent: int, stored: int) -> None:
    """
    Compare the number of bytes that were sent with that which the provider says it has stored.

    Raises:
        IntegrityError: They differ.
    """
    if sent != stored:
        raise IntegrityError(
            "the provider stored another number of bytes than were sent",
            expected=f"{sent} bytes",
            actual=f"{stored} bytes",
        )


def user_metadata(
    headers: Mapping[str, str], prefix: str, decode: Callable[[str], str] | None = None
) -> dict[str, str]:
    """
    Return the user metadata from headers whose lower-case names start with *prefix*.
    """
    # Most objects have none: check the names first.
    if prefix not in " ".join(headers).lower():
        return {}
    return {
        lower[len(prefix) :]: value if decode is None else decode(value)
        for name, value in headers.items()
        if (lower := name.lower()).startswith(prefix)
    }


async def compare_received(body: Body, stored: Iterable[Checksum], reply: Reply, sent: Checksum | None = None) -> None:
    """
    Compare the checksums in the reply to a write with those of *body*.

    That of the algorithm that was sent is compared; otherwise the CRCs, else one digest, which is computed
    for this alone if the bytes are in memory.

    Args:
        stored: In the order of preference; those of part checksums are ignored.

    Raises:
        IntegrityError: One differs.
    """
    whole = [checksum for checksum in stored if checksum.parts is None]
    same = [checksum for checksum in whole if sent is not None and checksum.algorithm is sent.algorithm]
    chosen = same or [item for item in whole if item.algorithm in COMBINABLE] or whole[:1]
    if not same and chosen and body.data is not None:
        # In a thread, if it takes long.
        await body.prepare(chosen[0].algorithm)
    compare_stored(body, chosen, reply)


def compare_stored(body: Body, stored: Iterable[Checksum], reply: Reply) -> None:
    """
    Compare the checksums that the provider reports with those of *body* that are known.

    Raises:
        IntegrityError: One differs.
    """
    for checksum in stored:
        compare_checksums(body.checksum(checksum.algorithm), checksum, reply)


def compare_checksums(sent: Checksum | None, stored: Checksum | None, reply: Reply) -> None:
    """
    Compare the checksums of what was sent and what was stored, if they have the same algorithm.

    Raises:
        IntegrityError: They differ.
    """
    if sent is None or stored is None or sent.algorithm is not stored.algorithm or sent == stored:
        return
    raise IntegrityError(
        "the provider stored other bytes than were sent",
        expected=str(sent),
        actual=str(stored),
        request_id=reply.request_id,
        status=reply.status,
    )


def _unexpected(reply: Reply, message: str) -> UnavailableError:
    return UnavailableError(message, status=reply.status, request_id=reply.request_id)
