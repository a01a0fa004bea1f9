"""
Copying from one storage to another, through this process but not through its disk.
"""

from __future__ import annotations

from asyncstore.errors import IntegrityError
from asyncstore.options import ReadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.types import ObjectInfo
from asyncstore.uri import URILike


async def copy_between(
    source_storage: Storage,
    source: URILike,
    target_storage: Storage,
    target: URILike,
    *,
    options: UploadOptions | None = None,
    read_options: ReadOptions | None = None,
) -> ObjectInfo:
    """
    Copy one object from one storage to another, of any providers.

    The bytes are streamed: at most a few parts are in memory at a time. The content
    headers and metadata go along, unless *options* are given; a storage class does
    not, since its names differ.

    Raises:
        IntegrityError: The bytes read are not those that were stored; nothing is
            published then.
        SourceChangedError: The source was replaced on the way.
    """
    async with source_storage.get(source, options=read_options or ReadOptions()) as stream:
        info = stream.info
        kept = options or UploadOptions(
            content_type=info.content_type,
            content_encoding=info.content_encoding,
            content_language=info.content_language,
            content_disposition=info.content_disposition,
            cache_control=info.cache_control,
            metadata=info.metadata,
        )
        written = await target_storage.put(target, stream, options=kept)
        if written.size != stream.end - stream.start:
            raise IntegrityError(
                "the copy has another size", expected=str(stream.end - stream.start), actual=str(written.size)
            )
    return written
