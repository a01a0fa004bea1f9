"""
The body of a request as an object.

It is passed on as it arrives. If the client disconnects, or the body is too large, the write fails: nothing is
published, and a multipart upload is aborted.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Any, Unpack

from asyncstore.engine.task_pool import iterating
from asyncstore.errors import NotFoundError, PreconditionFailedError
from asyncstore.integrations.http_serving.conditions import Conditions, Tag
from asyncstore.integrations.http_serving.problems import BodyTooLargeError, RequestBodyError, UnsupportedBodyError
from asyncstore.keywords import UploadFields
from asyncstore.protocols import ProgressSink
from asyncstore.storage import Storage
from asyncstore.types import Metadata, ObjectInfo, is_weak
from asyncstore.uri import ObjectURI


async def store(
    storage: Storage,
    uri: ObjectURI,
    headers: Mapping[str, str],
    chunks: AsyncIterable[bytes],
    *,
    max_size: int,
    progress: ProgressSink | None,
    **fields: Unpack[UploadFields],
) -> ObjectInfo:
    """
    Write the body of a request, under the conditions in its headers and with its media type.

    Args:
        headers: Names in lower case.
        chunks: The body.
        max_size: Most bytes that it may have.
        fields: Options of the write; they replace what the headers say.

    Raises:
        BodyTooLargeError: It is larger than *max_size*.
        UnsupportedBodyError: It has a ``Content-Encoding``.
        RequestBodyError: It is a part of an object (``Content-Range``).
        PreconditionFailedError, AlreadyExistsError: A condition did not hold.
    """
    check_head(headers, max_size)
    options: Any = {**await _conditions(storage, uri, headers), **_described(storage, headers), **fields}
    return await storage.put(uri, limited(chunks, max_size), progress=progress, **options)


def check_head(headers: Mapping[str, str], max_size: int) -> None:
    """
    Refuse a body by its headers, before any of it is read.
    """
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_size:
        raise too_large(max_size)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedBodyError("the body has a Content-Encoding: send it as it is to be stored")
    if "content-range" in headers:
        # https://www.rfc-editor.org/rfc/rfc9110#section-14.5
        raise RequestBodyError("the body has a Content-Range: send the whole object")


async def limited(chunks: AsyncIterable[bytes], max_size: int) -> AsyncGenerator[bytes, None]:
    """
    Yield the chunks of a body.

    Raises:
        BodyTooLargeError: There are more than *max_size* bytes.
    """
    size = 0
    async with iterating(chunks) as source:
        async for chunk in source:
            size += len(chunk)
            if size > max_size:
                raise too_large(max_size)
            yield chunk


def too_large(max_size: int) -> BodyTooLargeError:
    """
    Return the error of a body of more than *max_size* bytes.
    """
    return BodyTooLargeError(f"the body of the request is larger than {max_size} bytes")


def _described(storage: Storage, headers: Mapping[str, str]) -> dict[str, str]:
    content_type = headers.get("content-type")
    return {"content_type": content_type} if content_type and storage.capabilities.content_type else {}


async def _conditions(storage: Storage, uri: ObjectURI, headers: Mapping[str, str]) -> dict[str, str]:
    """
    Return the options of a write that has the conditions of a request.

    What the provider can compare itself is passed on. Otherwise the object is compared, and the write is pinned to the
    version that was.
    """
    conditions = Conditions.of(headers)
    match conditions:
        case Conditions(if_match=None, if_none_match=None, if_unmodified_since=None):
            return {}
        case Conditions(if_match=None, if_none_match="*", if_unmodified_since=None):
            return {"if_none_match": "*"}
        case Conditions(if_match=[Tag(opaque, weak=False)], if_none_match=None):
            return {"if_match": opaque}
    found = await _look(storage, uri)
    if conditions.excludes_write(found):
        raise PreconditionFailedError(op="put", uri=str(uri))
    if found is None:
        return {"if_none_match": "*"}
    return {} if found.etag is None or is_weak(found.etag) else {"if_match": found.etag}


async def _look(storage: Storage, uri: ObjectURI) -> Metadata | None:
    try:
        return await storage.stat(uri)
    except NotFoundError:
        return None
