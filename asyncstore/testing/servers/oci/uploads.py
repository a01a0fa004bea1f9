"""
Multipart uploads.

See https://docs.oracle.com/iaas/Content/Object/Tasks/usingmultipartuploads.htm
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from asyncstore.checksum import Hasher
from asyncstore.testing.servers.oci.call import Call, Reply, records, required, timestamp, whole_number
from asyncstore.testing.servers.oci.content import Content
from asyncstore.testing.servers.oci.encryption import check_customer_key, customer_key
from asyncstore.testing.servers.oci.errors import ServiceError, upload_not_found
from asyncstore.testing.servers.oci.naming import check_object_name, detailed_headers, tier_or
from asyncstore.testing.servers.oci.objects import body_checksum, check_write_to, write_reply_headers
from asyncstore.testing.servers.oci.paging import page
from asyncstore.testing.servers.oci.receiving import ALGORITHMS, encoded
from asyncstore.testing.servers.oci.state import Part, Upload, Version
from asyncstore.types import ChecksumAlgorithm

#: https://docs.oracle.com/iaas/Content/Object/Tasks/usingmultipartuploads.htm
MAX_PARTS: Final = 10_000
MAX_OBJECT: Final = 10 * 1024**4


async def create_upload(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/CreateMultipartUpload
    """
    bucket, details = call.bucket, await call.details()
    name, algorithm = required(details, "object"), call.headers.get("opc-checksum-algorithm")
    check_object_name(name)
    check_write_to(bucket, name, call)
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ServiceError(400, "MissingOrInvalidChecksumType", f"'{algorithm}' is not a checksum algorithm")
    upload = Upload(
        name=name,
        created=call.now,
        creator=call.caller,
        headers=detailed_headers(details),
        tier=tier_or(details.get("storageTier"), bucket.tier),
        algorithm=algorithm,
        customer_key=customer_key(call.headers),
        kms_key=call.headers.get("opc-sse-kms-key-id"),
    )
    bucket.uploads[upload.upload_id] = upload
    return Reply(200, {"location": f"/n/{call.namespace}/b/{bucket.name}/u/{name}"}, summary(call, upload))


async def upload_part(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/UploadPart
    """
    upload = upload_of(call)
    number = whole_number(call.query.get("uploadPartNum", ""), "uploadPartNum")
    if not 1 <= number <= MAX_PARTS:
        raise ServiceError(
            400, "InvalidUploadPartNumber", f"uploadPartNum must be between 1 and {MAX_PARTS}, not {number}"
        )
    check_customer_key(call.headers, upload.customer_key)
    body = await call.body()
    if upload is not upload_of(call):
        raise upload_not_found(upload.upload_id)
    if upload.algorithm is not None and body.algorithm != upload.algorithm:
        raise ServiceError(400, "MissingOrInvalidChecksumType", f"opc-checksum-algorithm must be {upload.algorithm}")
    part = Part(content=body.data, md5=body.md5, checksum=body.checksum)
    upload.parts[number] = part
    return Reply(200, {"etag": part.etag, "opc-content-md5": encoded(part.md5), **body_checksum(body)})


async def list_parts(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/ListMultipartUploadParts
    """
    upload = upload_of(call)
    entries = [
        (
            f"{number:05}",
            {"partNumber": number, "etag": part.etag, "md5": encoded(part.md5), "size": len(part.content)},
        )
        for number, part in sorted(upload.parts.items())
    ]
    chosen, headers = page(entries, call.query)
    return Reply(200, headers, chosen)


async def list_uploads(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/ListMultipartUploads
    """
    uploads = sorted(call.bucket.uploads.values(), key=_mark)
    chosen, headers = page([(_mark(one), summary(call, one)) for one in uploads], call.query)
    return Reply(200, headers, chosen)


async def commit_upload(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/CommitMultipartUpload
    """
    upload_of(call)
    details = await call.details()
    # Another request may have ended the upload meanwhile.
    upload = upload_of(call)
    return commit(call, upload, _chosen_parts(upload, details))


def commit(call: Call, upload: Upload, parts: list[Part]) -> Reply:
    """
    Make an object from *parts*, in this order, and end the upload.
    """
    bucket, content = call.bucket, Content(tuple(part.content for part in parts))
    if not parts:
        raise _invalid_part("The upload has no parts to commit")
    if any(len(part.content) < call.store.min_part_size for part in parts[:-1]):
        raise _invalid_part(f"Every part but the last must have at least {call.store.min_part_size} bytes")
    if content.size > MAX_OBJECT:
        raise ServiceError(413, "RequestEntityTooLarge", f"An object can have at most {MAX_OBJECT} bytes")
    check_write_to(bucket, upload.name, call)
    version = Version(
        name=upload.name,
        content=content,
        created=call.now,
        digests=_digests(upload, parts, content),
        headers=upload.headers,
        tier=upload.tier,
        customer_key=upload.customer_key,
        kms_key=upload.kms_key,
    )
    bucket.store(version)
    del bucket.uploads[upload.upload_id]
    return Reply(200, {**write_reply_headers(version), **version.digests})


async def abort_upload(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/MultipartUpload/AbortMultipartUpload
    """
    upload = upload_of(call)
    del call.bucket.uploads[upload.upload_id]
    return Reply(204)


def upload_of(call: Call) -> Upload:
    """
    Return the upload that a request names.
    """
    upload_id = call.query.get("uploadId")
    if not upload_id:
        raise ServiceError(400, "MissingUploadId", "uploadId is required")
    upload = call.bucket.uploads.get(upload_id)
    if upload is None or upload.name != call.names["object"]:
        raise upload_not_found(upload_id)
    return upload


def _chosen_parts(upload: Upload, details: dict[str, Any]) -> list[Part]:
    listed, left_out = records(details, "partsToCommit"), details.get("partsToExclude", [])
    if not isinstance(left_out, list) or not all(isinstance(number, int) for number in left_out):
        raise _invalid_part("partsToExclude must be a list of numbers")
    wanted = {_number(one): one.get("etag") for one in listed}
    excluded = set(left_out)
    if len(wanted) != len(listed) or excluded & set(wanted):
        raise _invalid_part("A part can only be committed once, and not also excluded")
    for number, etag in wanted.items():
        if number not in upload.parts or upload.parts[number].etag != etag:
            raise _invalid_part(f"Part {number} with the etag '{etag}' does not exist")
    # "Each part created for this upload must be in either partsToExclude or partsToCommit".
    missing = set(upload.parts) - set(wanted) - excluded
    if missing or excluded - set(upload.parts):
        raise _invalid_part("Every part must be either committed or excluded")
    return [upload.parts[number] for number in sorted(wanted)]


def _number(part: dict[str, Any]) -> int:
    number = part.get("partNum")
    if not isinstance(number, int):
        raise _invalid_part("partNum must be a number")
    return number


def _digests(upload: Upload, parts: list[Part], content: Content) -> dict[str, str]:
    md5 = hashlib.md5(b"".join(part.md5 for part in parts), usedforsecurity=False).digest()
    digests = {"opc-multipart-md5": f"{encoded(md5)}-{len(parts)}"}
    if upload.algorithm is None:
        return digests
    function = ALGORITHMS[upload.algorithm]
    if upload.algorithm == "CRC32C":
        # "The checksum of the complete reconstructed object"; the SHAs are checksums of checksums.
        return {**digests, "opc-content-crc32c": encoded(_whole_crc32c(content))}
    value = encoded(function(b"".join(part.checksum or b"" for part in parts)))
    return {**digests, f"opc-multipart-{upload.algorithm.lower()}": f"{value}-{len(parts)}"}


def _whole_crc32c(content: Content) -> bytes:
    hasher = Hasher(ChecksumAlgorithm.CRC32C)
    for piece in content.pieces:
        hasher.update(piece)
    return hasher.checksum().value


def summary(call: Call, upload: Upload) -> dict[str, str]:
    """
    Return the JSON representation of an upload.
    """
    return {
        "namespace": call.namespace,
        "bucket": call.bucket.name,
        "object": upload.name,
        "uploadId": upload.upload_id,
        "timeCreated": timestamp(upload.created),
        "storageTier": upload.tier,
    }


def _mark(upload: Upload) -> str:
    return f"{upload.name}\0{upload.upload_id}"


def _invalid_part(message: str) -> ServiceError:
    return ServiceError(400, "InvalidUploadPart", message)
