"""
Copies made by GCS itself, of objects of any size.

https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
"""

from __future__ import annotations

from urllib.parse import quote

from asyncstore.drivers.gcs.conditions import generation_of, without_object, write_conditions
from asyncstore.drivers.gcs.names import bucket_path, check_name, encode_query, object_path
from asyncstore.drivers.gcs.resources import FIELDS, info_of, resource
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import NO_HEADERS, Request, Wire, with_json
from asyncstore.errors import NotFoundError, UnavailableError
from asyncstore.options import CopyOptions
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

#: One call copies for up to half a minute before it says how far it is.
PATIENCE = 4.0


async def copy(
    wire: Wire, settings: GCSSettings, source: ObjectURI, target: ObjectURI, options: CopyOptions
) -> ObjectInfo:
    """
    Copy an object: by one call inside one location and class, else by as many as it takes.
    """
    check_name(source)
    check_name(target)
    pairs = [
        *write_conditions(options.if_match, options.if_none_match),
        *_source_conditions(options),
        *settings.write_query("destinationKmsKeyName"),
        ("fields", f"done,rewriteToken,resource({FIELDS})"),
    ]
    path = f"{object_path(source)}/rewriteTo{bucket_path(target, '')}/{quote(target.key, safe='')}"
    headers, body = NO_HEADERS, None
    if options.replace is not None:
        # Without a single field the source's would be kept.
        default = {"contentType": "application/octet-stream"}
        headers, body = with_json({**default, **resource(options.replace)})
    keys = {**settings.key_headers(), **settings.key_headers("x-goog-copy-source-")}
    request = Request(
        "POST",
        path,
        headers={**headers, **keys},
        body=body,
        create_only=options.if_none_match is not None,
        patience=PATIENCE,
    )
    token: str | None = None
    while True:
        query = encode_query([*pairs, *([("rewriteToken", token)] if token else [])])
        try:
            found = await wire.ask(request._replace(query=query))
        except NotFoundError as exc:
            raise _missing(exc, options) from None
        if found.get("done"):
            return info_of(target, found.get("resource") or {})
        token = found.get("rewriteToken")
        if not token:
            raise UnavailableError("the reply to a copy says neither that it is done nor how to go on")


def _source_conditions(options: CopyOptions) -> list[tuple[str, str]]:
    pairs = []
    if options.source_version_id is not None:
        pairs.append(("sourceGeneration", options.source_version_id))
    if options.source_if_match not in (None, "*"):
        pairs.append(("ifSourceGenerationMatch", generation_of(str(options.source_if_match))))
    return pairs


def _missing(error: NotFoundError, options: CopyOptions) -> Exception:
    # "*" in the reply would be about the target; all else that is missing is the source.
    return without_object(error, options.if_match) if options.if_match == "*" else error
