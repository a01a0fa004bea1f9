"""
Copies made by Azure itself: of a blob, or of a range as a part.

Up to 256 MiB are copied by one synchronous request
(https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url); what is
larger is made of parts, by the engine, unless ``async_copy`` leaves it to the service.
A copy with other headers than its source has is a block made from it, and a commit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asyncstore.body import BytesBody
from asyncstore.cleanup import clean_up
from asyncstore.drivers.azure.async_copying import copy_asynchronously
from asyncstore.drivers.azure.block_ids import AbortedUploads, Block, new_upload_id
from asyncstore.drivers.azure.blocks import abort, check, commit, part_query, send_block
from asyncstore.drivers.azure.headers import metadata_of
from asyncstore.drivers.azure.objects import head, length_of, put, written
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.sources import source_headers, target_headers
from asyncstore.drivers.azure.wire import Request, Wire
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.options import CopyOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import ObjectInfo, Part
from asyncstore.uri import ObjectURI

#: Bytes of the largest blob that is copied synchronously.
MAX_SYNCHRONOUS: Final = 256 * MiB

#: Bytes of the largest block: https://learn.microsoft.com/azure/storage/blobs/scalability-targets
MAX_BLOCK: Final = 4000 * MiB

#: The service reads and writes it all before it answers.
PATIENCE: Final = 20.0


async def copy(
    wire: Wire,
    settings: AzureSettings,
    aborted: AbortedUploads,
    source: ObjectURI,
    target: ObjectURI,
    options: CopyOptions,
) -> ObjectInfo:
    # The replies do not say how large the blob is.
    wanted = ReadOptions(if_match=options.source_if_match, version_id=options.source_version_id)
    found = await head(wire, source, wanted)
    info = metadata_of(source, found.headers, length_of(found))
    if options.replace is not None:
        return await _copy_replacing(wire, settings, aborted, source, target, info.size, options.replace, options)
    # Append and page blobs are copied as such, and in no other way.
    kind = found.headers.get("x-ms-blob-type", "BlockBlob")
    if info.size > MAX_SYNCHRONOUS or kind != "BlockBlob":
        headers = await copy_asynchronously(wire, settings, source, target, options)
        return written(target, headers, info.size, None, info.storage_class)
    headers = await source_headers(wire, source, options) | target_headers(settings, options)
    headers["x-ms-requires-sync"] = "true"
    create_only = options.if_none_match is not None
    reply = await wire.send(Request("PUT", target, headers=headers, create_only=create_only, patience=PATIENCE))
    await reply.read_error()
    status = reply.headers.get("x-ms-copy-status")
    if status != "success":
        raise UnavailableError(f"the copy ended as {status}", request_id=reply.request_id)
    return written(target, reply.headers, info.size, None, info.storage_class)


async def _copy_replacing(
    wire: Wire,
    settings: AzureSettings,
    aborted: AbortedUploads,
    source: ObjectURI,
    target: ObjectURI,
    size: int,
    new: WriteOptions,
    options: CopyOptions,
) -> ObjectInfo:
    stored = replace(new, if_match=options.if_match, if_none_match=options.if_none_match)
    if not size:
        # There is no block without bytes.
        return await put(wire, settings, target, BytesBody(b""), stored)
    upload_id = new_upload_id(target)
    names: list[str] = []
    try:
        for number, start in enumerate(range(0, size, MAX_BLOCK), 1):
            end = min(start + MAX_BLOCK, size)
            names.append(await _stage(wire, settings, source, target, upload_id, number, start, end, options))
        reply = await commit(wire, settings, target, upload_id, names, stored)
    except BaseException as exc:
        # A first block that was refused has left nothing.
        if names or not (isinstance(exc, StorageError) and exc.status is not None):
            await clean_up(abort(wire, settings, aborted, target, upload_id), exc)
        raise
    return written(target, reply.headers, size, None, new.storage_class)


async def copy_part(
    wire: Wire,
    settings: AzureSettings,
    aborted: AbortedUploads,
    source: ObjectURI,
    target: ObjectURI,
    upload_id: str,
    number: int,
    start: int,
    end: int,
    options: CopyOptions,
) -> Part:
    check(target, upload_id, aborted)
    name = await _stage(wire, settings, source, target, upload_id, number, start, end, options)
    return Part(number, name, end - start)


async def _stage(
    wire: Wire,
    settings: AzureSettings,
    source: ObjectURI,
    target: ObjectURI,
    upload_id: str,
    number: int,
    start: int,
    end: int,
    options: CopyOptions,
) -> str:
    name = Block(upload_id, number).id()
    headers = await source_headers(wire, source, options) | settings.lease_headers()
    headers["x-ms-source-range"] = f"bytes={start}-{end - 1}"
    await send_block(wire, Request("PUT", target, part_query(name), headers, patience=PATIENCE))
    return name
