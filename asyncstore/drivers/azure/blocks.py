"""
Uploads by parts, made of blocks; see :mod:`asyncstore.drivers.azure.block_ids`.

* Beginning one sends nothing: the blob is not touched before it is committed, and
  what is stored with it goes along with the commit.
* Azure cannot drop uncommitted blocks; it forgets them a week after the last was
  sent, and when the blob is written. Aborting leaves a block of one byte that marks
  the upload as aborted, so that it is not listed any more.
* A commit or put drops all other uncommitted blocks of the blob: of two uploads to
  one key, whichever is completed first ends the other, with NotFoundError.

https://learn.microsoft.com/rest/api/storageservices/put-block-list
https://learn.microsoft.com/rest/api/storageservices/get-block-list
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from asyncstore.body import Body, BytesBody
from asyncstore.checksum import combine
from asyncstore.drivers.azure.addresses import encode_query
from asyncstore.drivers.azure.block_ids import (
    ABORTED,
    AbortedUploads,
    Block,
    is_upload_id,
    new_upload_id,
)
from asyncstore.drivers.azure.headers import checksum_header, condition_headers, stored_headers
from asyncstore.drivers.azure.objects import prepared, verify, written
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.wire import Request, Wire, document
from asyncstore.drivers.azure.xml import block_list
from asyncstore.errors import IntegrityError, InvalidRequestError, NotFoundError, UnavailableError
from asyncstore.http.reply import Reply
from asyncstore.http.xml import expect
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ObjectInfo, Part, PartPage
from asyncstore.uri import ObjectURI

#: Committing many blocks can keep the service busy for a while.
PATIENCE: Final = 4.0

_UNCOMMITTED: Final = "blocklisttype=uncommitted&comp=blocklist"
_MISSING_BLOCK: Final = frozenset({"InvalidBlockList", "InvalidBlobOrBlock"})


def initiate(wire: Wire, settings: AzureSettings, uri: ObjectURI, options: WriteOptions) -> str:
    """
    Return the id of a new upload; nothing is sent.
    """
    # What cannot be sent at the end is refused now.
    wire.addresses.blob(uri)
    stored_headers(options, settings)
    return new_upload_id(uri)


async def upload_part(
    wire: Wire,
    settings: AzureSettings,
    aborted: AbortedUploads,
    uri: ObjectURI,
    upload_id: str,
    number: int,
    body: Body,
    options: WriteOptions,
) -> Part:
    check(uri, upload_id, aborted)
    if not body.size:
        raise InvalidRequestError("a part on Azure has at least one byte")
    checksum = await prepared(body, options.checksum or settings.checksum)
    name = Block(upload_id, number, checksum).id()
    headers = checksum_header(checksum) | settings.lease_headers()
    reply = await send_block(wire, Request("PUT", uri, part_query(name), headers, body))
    stored = verify(body, reply)
    return Part(number, name, body.size, checksum or stored)


async def send_block(wire: Wire, request: Request) -> Reply:
    """
    Send a request that makes a block, and say more of a refusal that says little.
    """
    try:
        reply = await wire.send(request)
    except InvalidRequestError as exc:
        if exc.code == "InvalidBlobOrBlock":
            exc.message = (
                "blocks of another program, with ids of another length, wait to be committed to this blob; Azure "
                "drops them a week after the last, or when the blob is written by one request"
            )
        raise
    await reply.read_error()
    return reply


def part_query(name: str) -> str:
    """
    Return the query that names a block.
    """
    return encode_query([("comp", "block"), ("blockid", name)])


def check(uri: ObjectURI, upload_id: str, aborted: AbortedUploads) -> None:
    """
    Refuse an upload that there cannot be.

    Raises:
        NotFoundError: It is of another blob, was made up, or was aborted.
    """
    if not is_upload_id(uri, upload_id) or upload_id in aborted:
        raise NotFoundError("there is no such upload", provider="azure", uri=str(uri))


async def complete(
    wire: Wire,
    settings: AzureSettings,
    aborted: AbortedUploads,
    uri: ObjectURI,
    upload_id: str,
    parts: Sequence[Part],
    options: WriteOptions,
    checksum: Checksum | None,
) -> ObjectInfo:
    check(uri, upload_id, aborted)
    ordered = sorted(parts, key=_number)
    _check_parts(upload_id, ordered)
    if checksum is not None:
        _compare(ordered, checksum)
    size = sum(part.size for part in ordered)
    reply = await commit(wire, settings, uri, upload_id, [part.etag for part in ordered], options)
    return written(uri, reply.headers, size, checksum, options.storage_class)


async def commit(
    wire: Wire, settings: AzureSettings, uri: ObjectURI, upload_id: str, names: Sequence[str], options: WriteOptions
) -> Reply:
    """
    Make the blob out of the blocks *names* of one upload.

    Raises:
        NotFoundError: None of its blocks are there (any more).
        InvalidRequestError: Some of them are not.
    """
    headers = stored_headers(options, settings) | settings.lease_headers()
    headers |= condition_headers(options.if_match, options.if_none_match)
    request = document("PUT", uri, "comp=blocklist", block_list(names), headers)
    create_only = options.if_none_match is not None
    try:
        reply = await wire.send(request._replace(create_only=create_only, patience=PATIENCE))
    except InvalidRequestError as exc:
        if exc.code not in _MISSING_BLOCK or await _parts(wire, settings, uri, upload_id):
            raise
        raise NotFoundError(
            "there is no such upload: it was completed, or another writer has written the blob",
            code=exc.code,
            provider=exc.provider,
            request_id=exc.request_id,
            status=exc.status,
        ) from None
    await reply.read_error()
    return reply


def _check_parts(upload_id: str, parts: Sequence[Part]) -> None:
    if not parts:
        raise InvalidRequestError("an upload is completed with at least one part")
    for part in parts:
        block = Block.parse(part.etag)
        if block is None or (block.upload_id, block.number) != (upload_id, part.number):
            raise InvalidRequestError(f"part {part.number} is not as it was sent: it has another ETag")


def _compare(parts: Sequence[Part], whole: Checksum) -> None:
    # The service has compared each block when it came, so this is the rest.
    found: Checksum | None = None
    for part in parts:
        if part.checksum is None or part.checksum.algorithm is not whole.algorithm:
            return
        found = part.checksum if found is None else combine(found, part.checksum, part.size)
    if found is not None and found != whole:
        raise IntegrityError("the parts do not make the object that was meant", expected=str(whole), actual=str(found))


def _number(part: Part) -> int:
    return part.number


async def abort(wire: Wire, settings: AzureSettings, aborted: AbortedUploads, uri: ObjectURI, upload_id: str) -> None:
    if not is_upload_id(uri, upload_id):
        return
    aborted.add(upload_id)
    query = part_query(Block(upload_id, ABORTED).id())
    reply = await wire.send(Request("PUT", uri, query, settings.lease_headers(), BytesBody(b"-")))
    await reply.read_error()


async def list_parts(
    wire: Wire, settings: AzureSettings, aborted: AbortedUploads, uri: ObjectURI, upload_id: str
) -> PartPage:
    check(uri, upload_id, aborted)
    parts = await _parts(wire, settings, uri, upload_id)
    sent = Counter(part.number for part in parts)
    # Of a part that was sent twice, with other bytes, nobody can tell which came last.
    known = [part for part in parts if sent[part.number] == 1]
    return PartPage(sorted(known, key=_number))


async def _parts(wire: Wire, settings: AzureSettings, uri: ObjectURI, upload_id: str) -> list[Part]:
    return (await uploads_of(wire, settings, uri)).get(upload_id, [])


async def uploads_of(wire: Wire, settings: AzureSettings, uri: ObjectURI) -> dict[str, list[Part]]:
    """
    Return the unfinished uploads to one blob by their ids, each with its parts in any order.
    """
    try:
        _, body = await wire.read(Request("GET", uri, _UNCOMMITTED, settings.lease_headers()))
    except NotFoundError as exc:
        if exc.code == "ContainerNotFound":
            raise
        return {}
    found: dict[str, list[Part]] = {}
    for item in expect(body, "BlockList").iterfind("UncommittedBlocks/Block"):
        try:
            name, size = item.findtext("Name") or "", int(item.findtext("Size") or "")
        except ValueError:
            raise UnavailableError("a list of blocks has an entry that cannot be read") from None
        block = Block.parse(name)
        if block is not None and is_upload_id(uri, block.upload_id):
            found.setdefault(block.upload_id, []).append(Part(block.number, name, size, block.checksum))
    return {upload_id: parts for upload_id, parts in found.items() if all(part.number != ABORTED for part in parts)}
