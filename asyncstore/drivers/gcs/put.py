"""
Writing one object by one request: its metadata, checksum and bytes together.
"""

from __future__ import annotations

from asyncstore.body import Body
from asyncstore.drivers.gcs.conditions import without_object, write_conditions
from asyncstore.drivers.gcs.names import bucket_path, check_name, encode_query
from asyncstore.drivers.gcs.related import RelatedBody
from asyncstore.drivers.gcs.resources import LISTED, checksums_of, info_of, resource
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import Request, Wire
from asyncstore.errors import IntegrityError, NotFoundError
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, ObjectInfo
from asyncstore.uri import ObjectURI

UPLOAD_ROOT = "/upload/storage/v1"


async def put(wire: Wire, settings: GCSSettings, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
    """
    Insert an object; GCS compares the checksum before the object appears.
    """
    check_name(uri)
    checksum = await prepared(body, options.checksum or settings.checksum)
    related = RelatedBody(resource(options, checksum), body)
    request = Request(
        "POST",
        bucket_path(uri, UPLOAD_ROOT),
        encode_query([("uploadType", "multipart"), *insert_query(settings, uri, options)]),
        {"Content-Type": related.content_type, **settings.key_headers()},
        related,
        create_only=options.if_none_match is not None,
    )
    try:
        found = await wire.ask(request)
    except NotFoundError as exc:
        raise without_object(exc, options.if_match) from None
    compare(body, found)
    return info_of(uri, found)


def insert_query(settings: GCSSettings, uri: ObjectURI, options: WriteOptions) -> list[tuple[str, str]]:
    """
    Return the parameters that all kinds of insertion have.
    """
    return [
        ("name", uri.key),
        *write_conditions(options.if_match, options.if_none_match),
        *settings.write_query(),
        ("fields", LISTED),
    ]


async def prepared(body: Body, algorithm: ChecksumAlgorithm | None) -> Checksum | None:
    """
    Return the checksum to send in front of *body*, if it can be known by then.
    """
    if algorithm is None:
        return None
    await body.prepare(algorithm)
    return body.checksum(algorithm)


def compare(body: Body, found: dict[str, object]) -> None:
    """
    Compare the checksums that GCS has made with those of *body* that are known by now.

    Raises:
        IntegrityError: One differs.
    """
    for stored in checksums_of(found):
        # Not one that would have to be computed for this alone.
        own = body.checksum(stored.algorithm) if stored.algorithm is ChecksumAlgorithm.CRC32C else None
        if own is not None and own != stored:
            raise IntegrityError("GCS received other bytes than were sent", expected=str(own), actual=str(stored))
