"""
Copies inside a provider: by the driver's own steps, or as a multipart upload.
"""

from __future__ import annotations

from dataclasses import replace

from asyncstore.driver import Capabilities
from asyncstore.engine import lost_replies
from asyncstore.engine.conditions import look_first
from asyncstore.engine.download.verify import compare_copy, strong_etag
from asyncstore.engine.existing import confirmed
from asyncstore.engine.plan import Span, part_size, spans
from asyncstore.engine.progress import ObjectMeter
from asyncstore.engine.requests import OnRetry, Requests
from asyncstore.engine.steps import Watching, outcome_of, unwatched
from asyncstore.engine.task_pool import for_each
from asyncstore.engine.upload.multipart import multipart_session
from asyncstore.engine.writing import Writing
from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import CopyOptions, ReadOptions, WriteOptions
from asyncstore.types import UNKNOWN, CopyResult, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI


async def copy(
    requests: Requests,
    source: ObjectURI,
    target: ObjectURI,
    options: CopyOptions,
    meter: ObjectMeter,
    *,
    info: Metadata | None = None,
) -> CopyResult:
    """
    Copy *source* to *target*, pinned to the version that exists at the start.

    Its bytes count once they are stored: all at once, or part by part.

    Args:
        info: The source's metadata, if the caller has just looked.
    """
    changes = options.replace or options.storage_class or options.encryption or options.source_version_id
    if source == target and not changes:
        raise InvalidRequestError(
            "source and target are the same object: set options.replace, storage_class or encryption to change it",
            uri=str(source),
        )
    with Writing(requests, "copy", target, source) as writing:
        copied, not_kept = await _copy(requests, source, target, options, meter, info)
        return CopyResult.of_copy(writing.result(copied), not_kept)


async def _copy(
    requests: Requests,
    source: ObjectURI,
    target: ObjectURI,
    options: CopyOptions,
    meter: ObjectMeter,
    info: Metadata | None,
) -> tuple[ObjectInfo, set[str]]:
    driver = requests.driver
    await look_first(requests, "copy", target, "copy", options.if_match, options.if_none_match, options.encryption)
    if info is None:
        looked = ReadOptions(
            if_match=options.source_if_match,
            version_id=options.source_version_id,
            encryption=options.source_encryption,
        )
        info = await requests("copy", source, driver.stat, source, looked, on_retry=meter.retried)
    if info.size != UNKNOWN:
        meter.expect(info.size)
    pinned = replace(options, source_if_match=strong_etag(info) or options.source_if_match)
    pinned = _with_class(pinned, info, driver.capabilities)
    if info.size <= driver.capabilities.max_copy_size:
        copied = await _copy_whole(requests, source, target, info, pinned, meter)
        size = info.size if info.size != UNKNOWN else max(0, copied.size)
        meter.expect(size)
        meter.advance(size)
        return copied, await _not_kept(requests, source, copied, info, pinned, driver.capabilities.copy_keeps)
    if not driver.capabilities.copy_part:
        raise NotSupportedError(
            f"{driver.provider} copies at most {driver.capabilities.max_copy_size} bytes, not {info.size}",
            op="copy",
            uri=str(source),
            provider=driver.provider,
        )
    with requests.error_context("copy", target):
        copied = await _copy_parts(requests, source, target, info, pinned, meter)
        kept = frozenset({"metadata", "storage_class"})
        return copied, await _not_kept(requests, source, copied, info, pinned, kept)


def _chosen_class(info: Metadata, able: Capabilities) -> str | None:
    return None if info.storage_class in able.implied_classes else info.storage_class


def _with_class(options: CopyOptions, info: Metadata, able: Capabilities) -> CopyOptions:
    """
    Return *options* with the storage class of the copy, in the way that the driver can set it.
    """
    if options.replace is not None:
        return options
    protects = options.retention is not None or options.legal_hold
    if "storage_class" in able.copy_keeps:
        return replace(options, storage_class=options.storage_class or _chosen_class(info, able))
    if options.storage_class is None and not protects:
        return options
    # They can be set only together with everything else.
    stored = replace(preserved(info), storage_class=options.storage_class)
    return replace(options, storage_class=None, replace=stored)


async def _not_kept(
    requests: Requests,
    source: ObjectURI,
    copied: ObjectInfo,
    info: Metadata,
    options: CopyOptions,
    kept: frozenset[str],
) -> set[str]:
    """
    Return what a copy has not, which has *kept* this of its source; tags are added if it has not.
    """
    not_kept = set()
    if options.replace is None:
        if "metadata" not in kept and preserved(info) != WriteOptions(storage_class=info.storage_class):
            not_kept.add("metadata")
        wanted = options.storage_class or info.storage_class
        if None not in (wanted, copied.storage_class) and wanted != copied.storage_class:
            not_kept.add("storage_class")
    able = requests.driver.capabilities
    # A copy by one request keeps the tags when it replaces the rest.
    by_parts = info.size > able.max_copy_size
    missing = bool(able.tags) and options.tags is None and "tags" not in kept and (by_parts or options.replace is None)
    if missing and not await _add_tags(requests, source, copied.uri, options):
        not_kept.add("tags")
    return not_kept


async def _add_tags(requests: Requests, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> bool:
    """
    Add the tags of *source* to those of *target*; return whether it has them all.
    """
    if options.source_version_id is not None:
        # Drivers read the tags of the current version.
        return False
    driver = requests.driver
    try:
        if tags := await requests("copy", source, driver.get_tags, source):
            own = await requests("copy", target, driver.get_tags, target)
            await requests("copy", target, driver.set_tags, target, {**tags, **own})
    except (InvalidRequestError, NotSupportedError, PermissionDeniedError):
        return False
    return True


async def _copy_whole(
    requests: Requests,
    source: ObjectURI,
    target: ObjectURI,
    info: Metadata,
    options: CopyOptions,
    meter: ObjectMeter,
) -> ObjectInfo:
    lost_reply = lost_replies.LostReply(requests)
    try:
        copied = await copy_by_driver(requests, source, target, options, lost_reply.watching, meter.retried)
    except (PreconditionFailedError, UnavailableError) as exc:
        found = await lost_replies.copied(requests, target, info, lost_reply, exc, options.encryption)
        if found is not None:
            return found
        if isinstance(exc, AlreadyExistsError):
            # A copy has a condition on its source too.
            refused = await confirmed(requests, target, exc, options.encryption)
            if refused is exc:
                # The request named the source.
                refused.uri = str(target)
            raise refused from None
        raise
    with requests.error_context("copy", target):
        compare_copy(info, copied)
    return copied


async def copy_by_driver(
    requests: Requests,
    source: ObjectURI,
    target: ObjectURI,
    options: CopyOptions,
    watching: Watching = unwatched,
    on_retry: OnRetry | None = None,
) -> ObjectInfo:
    """
    Copy an object by the driver's own steps, each of which is retried alone.

    A copy that the provider itself aborted is restarted if its error is transient.
    """
    outcome = await _steps(requests, source, target, options, watching, on_retry)
    if isinstance(outcome, ObjectInfo):
        return outcome

    async def start_anew() -> ObjectInfo | StorageError:
        try:
            outcome = await _steps(requests, source, target, options, watching, on_retry)
        except StorageError as exc:
            # A step failed, and was already retried.
            return exc
        if isinstance(outcome, StorageError):
            raise outcome
        return outcome

    final = await requests.retry_after("copy", source, outcome, start_anew, on_retry)
    if isinstance(final, StorageError):
        raise final
    return final


async def _steps(
    requests: Requests,
    source: ObjectURI,
    target: ObjectURI,
    options: CopyOptions,
    watching: Watching,
    on_retry: OnRetry | None,
) -> ObjectInfo | StorageError:
    send = watching(requests.driver.copy)
    step = await requests("copy", source, send, source, target, options, on_retry=on_retry)
    return await outcome_of(requests, "copy", source, step, on_retry, watching)


async def _copy_parts(
    requests: Requests,
    source: ObjectURI,
    target: ObjectURI,
    info: Metadata,
    options: CopyOptions,
    meter: ObjectMeter,
) -> ObjectInfo:
    able = requests.driver.capabilities
    size = part_size(info.size, options.part_size, able)
    async with multipart_session(requests, target, _write_options(info, options, able), meter.retried) as session:

        async def copy_part(span: Span) -> None:
            part = await requests(
                "copy",
                source,
                requests.driver.copy_part,
                source,
                target,
                session.upload_id,
                span.number,
                span.start,
                span.end,
                options,
                on_retry=meter.retried,
            )
            session.add(part)
            meter.advance(span.size)

        await for_each(spans(0, info.size, size), copy_part, max_concurrency=options.max_concurrency)
        return await session.complete()


def _write_options(info: Metadata, options: CopyOptions, able: Capabilities) -> WriteOptions:
    # A multipart upload starts without metadata: pass on what a copy keeps.
    storage_class = options.storage_class or _chosen_class(info, able)
    kept = options.replace or replace(preserved(info), storage_class=storage_class)
    return replace(
        kept,
        tags=options.tags or {},
        encryption=options.encryption,
        retention=options.retention,
        legal_hold=options.legal_hold,
        acl=options.acl,
        if_match=options.if_match,
        if_none_match=options.if_none_match,
    )


def preserved(info: Metadata) -> WriteOptions:
    """
    Return options that write an object with the headers, metadata and class in *info*.
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
