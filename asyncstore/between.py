"""
Copying from one storage to another, through this process but not through its disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from asyncstore.engine.progress import Meter, ObjectMeter
from asyncstore.errors import IntegrityError
from asyncstore.options import ReadOptions, UploadOptions
from asyncstore.protocols import ProgressSink, ReadStream
from asyncstore.storage import Storage
from asyncstore.types import ObjectInfo
from asyncstore.uri import URILike, parse_uri


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
    headers and metadata go along, unless *options* are given; a storage class does
    not, since its names differ.

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
        info = stream.info
        kept = options or UploadOptions(
            content_type=info.content_type,
            content_encoding=info.content_encoding,
            content_language=info.content_language,
            content_disposition=info.content_disposition,
            cache_control=info.cache_control,
            metadata=info.metadata,
        )
        written = await target_storage.put(target, _counted(stream, item), options=kept)
        if written.size != stream.end - stream.start:
            raise IntegrityError(
                "the copy has another size", expected=str(stream.end - stream.start), actual=str(written.size)
            )
    item.completed()
    meter.finish()
    return written


async def _counted(stream: ReadStream, item: ObjectMeter) -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield chunk
        item.advance(len(chunk))
