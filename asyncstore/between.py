"""
Copying from one storage to another, through this process but not through its disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

from asyncstore.driver import Capabilities
from asyncstore.engine.progress import Meter, ObjectMeter
from asyncstore.errors import IntegrityError
from asyncstore.options import ReadOptions, UploadOptions
from asyncstore.protocols import ProgressSink, ReadStream
from asyncstore.storage import Storage
from asyncstore.types import Metadata, ObjectInfo
from asyncstore.uri import URILike, parse_uri

_HEADERS: Final = ("content_encoding", "content_language", "content_disposition", "cache_control")


async def copy_between(
    source_storage: Storage,
    source: URILike,
    target_storage: Storage,
    target: URILike,
    *,
    options: UploadOptions | None = None,
    read_options: ReadOptions | None = None,
    progress: ProgressSink | None = None,
) -> ObjectInfo:
    """
    Copy one object from one storage to another, of any providers.

    The bytes are streamed: at most a few parts are in memory at a time. The content
    headers and metadata go along where *options* set none and the target can keep
    them; a storage class does not, since its names differ.

    Args:
        progress: Called in the event loop with cumulative counts; must not block.

    Raises:
        IntegrityError: The bytes read are not those that were stored; nothing is
            published then.
        SourceChangedError: The source was replaced on the way.
    """
    meter = Meter(progress)
    item = meter.object(parse_uri(target))
    async with source_storage.get(source, options=read_options or ReadOptions()) as stream:
        item.expect(stream.end - stream.start)
        kept = _kept(options or UploadOptions(), stream.info, target_storage.capabilities)
        written = await target_storage.put(target, _counted(stream, item), options=kept)
        if written.size != stream.end - stream.start:
            raise IntegrityError(
                "the copy has another size", expected=str(stream.end - stream.start), actual=str(written.size)
            )
    item.completed()
    meter.finish()
    return written


def _kept(options: UploadOptions, info: Metadata, able: Capabilities) -> UploadOptions:
    kept: dict[str, Any] = {}
    if able.content_type:
        kept["content_type"] = options.content_type or info.content_type
    if able.content_headers:
        kept |= {name: getattr(options, name) or getattr(info, name) for name in _HEADERS}
    if able.metadata and not options.metadata:
        kept["metadata"] = info.metadata
    return replace(options, **kept)


async def _counted(stream: ReadStream, item: ObjectMeter) -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield chunk
        item.advance(len(chunk))
