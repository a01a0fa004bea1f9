"""
Uploads by parts.

Each part goes with its checksum, which OCI compares, and comes back with the CRC of
all the bytes in the end. OCI wants to hear of every part of an upload: those that
are not to be in the object are named as excluded.
https://docs.oracle.com/iaas/Content/Object/Tasks/usingmultipartuploads.htm
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from asyncstore.body import Body
from asyncstore.checksum import COMBINABLE, combine
from asyncstore.drivers.oci.addresses import encode_query, encode_segment
from asyncstore.drivers.oci.errors import NO_PLACE
from asyncstore.drivers.oci.headers import (
    algorithm_headers,
    bare,
    checksum_headers,
    checksums_of,
    condition_headers,
    metadata_fields,
)
from asyncstore.drivers.oci.listing import MAX_KEYS, parse_time
from asyncstore.drivers.oci.objects import check_name, prepared, verify, without_object, written
from asyncstore.drivers.oci.settings import OCISettings
from asyncstore.drivers.oci.wire import PATIENCE, Request, Wire, document, read_json
from asyncstore.errors import IntegrityError, InvalidRequestError, NotFoundError, UnavailableError
from asyncstore.http.reply import Reply
from asyncstore.options import WriteOptions
from asyncstore.types import (
    Checksum,
    ChecksumAlgorithm,
    MultipartUpload,
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
)
from asyncstore.uri import ObjectURI

# How OCI refuses parts that are missing, not as given, or not spoken of.
_BAD_PARTS: Final = frozenset({"InvalidUploadPart", "InvalidParameter"})


async def initiate(wire: Wire, settings: OCISettings, uri: ObjectURI, options: WriteOptions) -> str:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/CreateMultipartUpload
    """
    check_name(uri)
    details = {
        "object": uri.key,
        "contentType": options.content_type,
        "contentEncoding": options.content_encoding,
        "contentLanguage": options.content_language,
        "contentDisposition": options.content_disposition,
        "cacheControl": options.cache_control,
        "storageTier": options.storage_class,
        "metadata": metadata_fields(options.metadata) or None,
    }
    headers = algorithm_headers(options.checksum or settings.checksum) | settings.encryption_headers()
    content = document({name: value for name, value in details.items() if value is not None})
    reply, found = await wire.read(Request("POST", uri, "/u", headers=headers, document=content))
    upload_id = found.get("uploadId") if isinstance(found, dict) else None
    if not isinstance(upload_id, str) or not upload_id:
        raise UnavailableError("the reply is not the upload that was expected", request_id=reply.request_id)
    return upload_id


async def upload_part(
    wire: Wire, settings: OCISettings, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
) -> Part:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/UploadPart
    """
    checksum = await prepared(body, options.checksum or settings.checksum)
    headers = checksum_headers(checksum) | settings.encryption_headers()
    query = encode_query([("uploadId", upload_id), ("uploadPartNum", str(number))])
    reply = await wire.send(Request("PUT", uri, _path(uri), query, headers, body))
    await reply.read_error()
    stored = verify(body, reply)
    etag = reply.headers.get("ETag")
    if etag is None:
        raise UnavailableError("the reply to a part has no ETag", request_id=reply.request_id)
    return Part(number, bare(etag), body.size, checksum or stored)


async def complete(
    wire: Wire,
    uri: ObjectURI,
    upload_id: str,
    parts: Sequence[Part],
    options: WriteOptions,
    checksum: Checksum | None,
) -> ObjectInfo:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/CommitMultipartUpload

    *checksum* is compared with those of the parts before, and with OCI's own after it.
    """
    _compare(_combined(parts), checksum)
    try:
        reply = await _commit(wire, uri, upload_id, parts, options, ())
    except NotFoundError as exc:
        raise without_object(exc, options.if_match) from None
    except InvalidRequestError as exc:
        others = await _others(wire, uri, upload_id, parts) if exc.code in _BAD_PARTS else []
        if not others:
            raise
        reply = await _commit(wire, uri, upload_id, parts, options, others)
    await reply.read_error()
    stored = next((found for found in checksums_of(reply.headers) if found.parts is None), None)
    _compare(stored, checksum, reply)
    return written(uri, reply, sum(part.size for part in parts), stored or checksum, options.storage_class)


async def _commit(
    wire: Wire, uri: ObjectURI, upload_id: str, parts: Sequence[Part], options: WriteOptions, others: Sequence[int]
) -> Reply:
    committed = [{"partNum": part.number, "etag": part.etag} for part in sorted(parts, key=_number)]
    details: dict[str, Any] = {"partsToCommit": committed}
    if others:
        details["partsToExclude"] = list(others)
    request = Request(
        "POST",
        uri,
        _path(uri),
        encode_query([("uploadId", upload_id)]),
        condition_headers(options.if_match, options.if_none_match),
        document=document(details),
        create_only=options.if_none_match is not None,
        patience=PATIENCE,
    )
    return await wire.send(request)


async def _others(wire: Wire, uri: ObjectURI, upload_id: str, parts: Sequence[Part]) -> list[int]:
    # Parts of the upload that are not among those given; all of these must be there as given.
    there: dict[int, str] = {}
    token = None
    while True:
        page = await list_parts(wire, uri, upload_id, token)
        there |= {part.number: part.etag for part in page.parts}
        token = page.next_token
        if token is None:
            break
    if any(there.get(part.number) != part.etag for part in parts):
        return []
    return sorted(set(there) - {part.number for part in parts})


def _combined(parts: Sequence[Part]) -> Checksum | None:
    found: Checksum | None = None
    for part in sorted(parts, key=_number):
        if part.checksum is None or part.checksum.algorithm not in COMBINABLE:
            return None
        if found is not None and found.algorithm is not part.checksum.algorithm:
            return None
        found = part.checksum if found is None else combine(found, part.checksum, part.size)
    return found


def _compare(actual: Checksum | None, meant: Checksum | None, reply: Reply | None = None) -> None:
    if actual is None or meant is None or actual.algorithm is not meant.algorithm or actual == meant:
        return
    raise IntegrityError(
        "the parts do not make the object that was meant",
        expected=str(meant),
        actual=str(actual),
        request_id=reply and reply.request_id,
    )


def _number(part: Part) -> int:
    return part.number


async def abort(wire: Wire, uri: ObjectURI, upload_id: str) -> None:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/AbortMultipartUpload
    """
    try:
        reply = await wire.send(Request("DELETE", uri, _path(uri), encode_query([("uploadId", upload_id)])))
    except NotFoundError as exc:
        if exc.code in NO_PLACE:
            raise
        return
    await reply.read_error()


async def list_parts(wire: Wire, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/ListMultipartUploadParts
    """
    pairs = [("uploadId", upload_id), ("limit", str(MAX_KEYS))] + ([] if token is None else [("page", token)])
    reply = await wire.send(Request("GET", uri, _path(uri), encode_query(pairs)))
    try:
        parts = [_part(item) for item in await read_json(reply)]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _unreadable(reply) from None
    return PartPage(parts, reply.headers.get("opc-next-page"))


def _part(item: Mapping[str, Any]) -> Part:
    checksum = Checksum.from_base64(ChecksumAlgorithm.MD5, item["md5"]) if item.get("md5") else None
    return Part(int(item["partNumber"]), bare(item["etag"]), int(item["size"]), checksum)


async def list_uploads(wire: Wire, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/ListMultipartUploads

    OCI lists those of the whole bucket, so a page can be empty and not the last.
    """
    pairs = [("limit", str(MAX_KEYS))] + ([] if token is None else [("page", token)])
    reply = await wire.send(Request("GET", prefix, "/u", encode_query(pairs)))
    try:
        uploads = [
            MultipartUpload(prefix.with_key(item["object"]), item["uploadId"], parse_time(item.get("timeCreated")))
            for item in await read_json(reply)
            if item["object"].startswith(prefix.key)
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _unreadable(reply) from None
    return MultipartUploadPage(uploads, reply.headers.get("opc-next-page"))


def _unreadable(reply: Reply) -> UnavailableError:
    return UnavailableError("a list has an entry that cannot be read", request_id=reply.request_id)


def _path(uri: ObjectURI) -> str:
    return f"/u/{encode_segment(uri.key)}"
