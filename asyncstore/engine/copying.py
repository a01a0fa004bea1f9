"""
Copying inside a provider, in one request or by parts.
"""

from __future__ import annotations

from dataclasses import replace

from asyncstore.engine import lost
from asyncstore.engine.calls import Calls
from asyncstore.engine.multipart import multipart_session
from asyncstore.engine.plan import Span, part_size, spans
from asyncstore.engine.pool import for_each
from asyncstore.errors import InvalidRequestError, NotSupportedError
from asyncstore.options import CopyOptions, ReadOptions, WriteOptions
from asyncstore.types import Metadata, ObjectInfo
from asyncstore.uri import ObjectURI


async def copy(calls: Calls, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
    """
    Copy *source* to *target*, pinned to the version that is there at the start.
    """
    if source == target and options.replace is None and options.source_version_id is None:
        raise InvalidRequestError("source and target are the same object, and nothing is replaced", uri=str(source))
    driver = calls.driver
    info = await calls(
        "copy",
        source,
        driver.stat,
        source,
        ReadOptions(if_match=options.source_if_match, version_id=options.source_version_id),
    )
    pinned = replace(options, source_if_match=info.etag or options.source_if_match)
    if info.size <= driver.capabilities.max_copy_size:
        return await lost.copy(calls, source, target, info, pinned)
    if not driver.capabilities.copy_part:
        raise NotSupportedError(
            f"{info.size} bytes are more than the {driver.capabilities.max_copy_size} that {driver.provider} copies",
            op="copy",
            uri=str(source),
            provider=driver.provider,
        )
    with calls.naming("copy", target):
        return await _copy_parts(calls, source, target, info, pinned)


async def _copy_parts(
    calls: Calls, source: ObjectURI, target: ObjectURI, info: Metadata, options: CopyOptions
) -> ObjectInfo:
    size = part_size(info.size, options.part_size, calls.driver.capabilities)
    async with multipart_session(calls, target, _write_options(info, options)) as session:

        async def copy_part(span: Span) -> None:
            part = await calls(
                "copy",
                source,
                calls.driver.copy_part,
                source,
                target,
                session.upload_id,
                span.number,
                span.start,
                span.end,
                options,
            )
            session.add(part)

        await for_each(spans(0, info.size, size), copy_part, max_concurrency=options.max_concurrency)
        return await session.complete()


def _write_options(info: Metadata, options: CopyOptions) -> WriteOptions:
    # An upload by parts starts from nothing: what a copy keeps is given again.
    kept = options.replace or preserved(info)
    return replace(kept, if_match=options.if_match, if_none_match=options.if_none_match)


def preserved(info: Metadata) -> WriteOptions:
    """
    Return options that write an object with all that *info* says of another one.
    """
    return WriteOptions(
        content_type=info.content_type,
        content_encoding=info.content_encoding,
        content_language=info.content_language,
        content_disposition=info.content_disposition,
        cache_control=info.cache_control,
        metadata=info.metadata,
        storage_class=info.storage_class,
    )
