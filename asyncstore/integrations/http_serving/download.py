"""
Replies to GET and HEAD of an object, by RFC 9110.

A GET without conditions is one request to the provider. Preconditions, and several ranges, are compared with the
object first, which costs a HEAD; what is read after it is pinned to the version that was compared.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from asyncstore.engine.download.verify import pinned, same_version
from asyncstore.errors import (
    PreconditionFailedError,
    RangeNotSatisfiableError,
    SourceChangedError,
    StorageError,
)
from asyncstore.integrations.http_serving.conditions import Conditions
from asyncstore.integrations.http_serving.problems import problem_of
from asyncstore.integrations.http_serving.ranges import Part, parse_ranges, resolve
from asyncstore.integrations.http_serving.representation import Headers, Presentation
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.protocols import ReadStream
from asyncstore.storage import Storage
from asyncstore.types import UNKNOWN, Metadata
from asyncstore.uri import ObjectURI

#: Times that a request starts over because the object was replaced between two requests to the provider.
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A reply whose body has not been read yet.

    Attributes:
        status: HTTP status.
        headers: All headers; ``Content-Length`` is missing if the length is unknown.
        body: Chunks of the body, none to HEAD. The last one is yielded only when all bytes have been verified, so
            that a body with a wrong checksum does not arrive completely.
    """

    status: int
    headers: Headers
    body: AsyncGenerator[bytes, None]


def object_uri(storage: Storage, key: str | ObjectURI) -> ObjectURI:
    """
    Return the URI of *key*; text is always a key below the root, also where it looks like a URI.

    Raises:
        InvalidURIError: The key is empty, or the provider does not allow it.
    """
    return key if isinstance(key, ObjectURI) else storage.root / key


@asynccontextmanager
async def answering(
    storage: Storage, uri: ObjectURI, method: str, headers: Mapping[str, str], shown: Presentation
) -> AsyncIterator[Answer]:
    """
    Open the reply to a GET or HEAD; the connection to the provider is released at the end of the block.

    Args:
        headers: Those of the request: names in lower case, those that repeat joined by commas.

    Raises:
        StorageError: The object cannot be read; nothing was sent to the client.
        SourceChangedError: It was replaced again and again.
    """
    async with AsyncExitStack() as stack:
        yield await _Download(storage, uri, headers, shown, stack).answer(method)


class _Download:
    def __init__(
        self,
        storage: Storage,
        uri: ObjectURI,
        headers: Mapping[str, str],
        shown: Presentation,
        stack: AsyncExitStack,
    ) -> None:
        self._storage = storage
        self._uri = uri
        self._shown = shown
        self._stack = stack
        self._conditions = Conditions.of(headers)
        self._ranges = parse_ranges(headers.get("range"))
        self._options = ReadOptions(version_id=shown.version_id)

    async def answer(self, method: str) -> Answer:
        if method == "HEAD":
            info = await self._stat()
            return self._refusal(info) or self._reply(200, info, Part(0, info.size), _nothing())
        for _ in range(_ATTEMPTS):
            try:
                return await self._get()
            except (PreconditionFailedError, SourceChangedError):
                # Replaced since it was compared.
                continue
        raise SourceChangedError("the object was replaced between requests", op="get", uri=str(self._uri))

    async def _get(self) -> Answer:
        if not self._conditions.any and len(self._ranges) < 2:
            return await self._one(self._ranges, None)
        info = await self._stat()
        if refusal := self._refusal(info):
            return refusal
        ranges = self._ranges if info.size != UNKNOWN and self._conditions.keeps_range(info) else ()
        parts = resolve(ranges, info.size)
        if ranges and not parts:
            return self._unsatisfiable(info)
        if len(parts) > 1:
            return await self._several(info, parts)
        return await self._one([ByteRange(*part) for part in parts], info)

    async def _one(self, ranges: Sequence[ByteRange], known: Metadata | None) -> Answer:
        """
        Answer with the whole object, or with one range of it.
        """
        if not ranges:
            stream = await self._open(None, known)
            return self._reply(200, stream.info, Part(stream.start, stream.end), _held_back(stream))
        (wanted,) = ranges
        if wanted.empty:
            return await self._past_the_end(known)
        try:
            stream = await self._open(wanted, known)
        except RangeNotSatisfiableError:
            return await self._past_the_end(known)
        if known is None and not self._conditions.keeps_range(stream.info):
            await self._stack.aclose()
            return await self._one((), None)
        part = Part(stream.start, stream.end)
        if part == (0, stream.info.size) and part not in resolve(ranges, stream.info.size):
            # The endpoint does not know ranges.
            return self._reply(200, stream.info, part, _held_back(stream))
        return self._reply(206, stream.info, part, _held_back(stream))

    async def _several(self, info: Metadata, parts: Sequence[Part]) -> Answer:
        """
        Answer with several ranges: https://www.rfc-editor.org/rfc/rfc9110#section-14.6
        """
        boundary = secrets.token_hex(16)
        media_type = self._shown.type_of(info)
        start = f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: "
        heads = [f"{start}{_content_range(part, info)}\r\n\r\n".encode() for part in parts]
        end = f"\r\n--{boundary}--\r\n".encode()
        headers = self._shown.headers(info)
        headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
        size = sum(len(head) + part.end - part.start for head, part in zip(heads, parts, strict=True)) + len(end)
        headers["Content-Length"] = str(size)
        # What fails here is still an error of its own, not a body that breaks off.
        first = await self._open(ByteRange(*parts[0]), info)

        async def body() -> AsyncGenerator[bytes, None]:
            yield heads[0]
            async for chunk in first:
                yield chunk
            await self._stack.aclose()
            for head, part in zip(heads[1:], parts[1:], strict=True):
                yield head
                stream = await self._open(ByteRange(*part), info)
                async for chunk in stream:
                    yield chunk
                await self._stack.aclose()
            yield end

        return Answer(206, headers, body())

    async def _past_the_end(self, known: Metadata | None) -> Answer:
        info = known or await self._stat()
        if not self._conditions.keeps_range(info):
            return await self._one((), known)
        return self._unsatisfiable(info)

    def _unsatisfiable(self, info: Metadata) -> Answer:
        """
        Answer to ranges that all start after the end.

        The last bytes of an object of none are all there are: https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2
        """
        if info.size == 0 and any(wanted.start < 0 for wanted in self._ranges):
            return self._reply(200, info, Part(0, 0), _nothing())
        size = "*" if info.size == UNKNOWN else str(info.size)
        more = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        return self._problem(RangeNotSatisfiableError(), more)

    def _refusal(self, info: Metadata) -> Answer | None:
        status = self._conditions.refuses(info)
        if status == 304:
            return Answer(304, self._shown.validators(info), _nothing())
        return None if status is None else self._problem(PreconditionFailedError(), self._shown.validators(info))

    def _problem(self, error: StorageError, more: Headers) -> Answer:
        problem = problem_of(error)
        body = problem.body()
        headers = {**more, **problem.headers, "Content-Length": str(len(body))}
        return Answer(problem.status, headers, _only(body))

    def _reply(self, status: int, info: Metadata, part: Part, body: AsyncGenerator[bytes, None]) -> Answer:
        headers = self._shown.headers(info)
        if part.end != UNKNOWN:
            headers["Content-Length"] = str(part.end - part.start)
        if status == 206:
            headers["Content-Range"] = _content_range(part, info)
        return Answer(status, headers, body)

    async def _stat(self) -> Metadata:
        return await self._storage.stat(self._uri, version_id=self._shown.version_id)

    async def _open(self, part: ByteRange | None, known: Metadata | None) -> ReadStream:
        options = replace(self._options, range=part)
        if known is not None:
            options = replace(pinned(options, known, part or ByteRange(0), self._storage.capabilities), range=part)
        stream = await self._stack.enter_async_context(self._storage.get(self._uri, options=options))
        if known is not None and not same_version(stream.info, known):
            await self._stack.aclose()
            raise SourceChangedError("the object was replaced while it was read", op="get", uri=str(self._uri))
        return stream


def _content_range(part: Part, info: Metadata) -> str:
    size = "*" if info.size == UNKNOWN else info.size
    return f"bytes {part.start}-{part.end - 1}/{size}"


async def _held_back(stream: ReadStream) -> AsyncGenerator[bytes, None]:
    held = b""
    async for chunk in stream:
        if held:
            yield held
        held = chunk
    if held:
        yield held


async def _only(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield
