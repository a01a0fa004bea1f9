"""
Server-side copies of objects of any size.

https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

from asyncstore.driver import Pending
from asyncstore.drivers.gcs.conditions import generation_of, write_conditions
from asyncstore.drivers.gcs.encryption import key_headers, kms_query
from asyncstore.drivers.gcs.names import bucket_path, check_name, encode_query, object_path
from asyncstore.drivers.gcs.objects import Objects
from asyncstore.drivers.gcs.protection import acl_query, protection
from asyncstore.drivers.gcs.resources import FIELDS, info_of, resource
from asyncstore.drivers.gcs.wire import Request, with_json
from asyncstore.errors import NotFoundError, UnavailableError
from asyncstore.http.exchange import NO_HEADERS
from asyncstore.http.object_headers import without_object
from asyncstore.options import CopyOptions
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

#: Multiplies ``stall_timeout``: GCS copies for up to half a minute before it replies.
PATIENCE = 4.0


class Rewrite(NamedTuple):
    """
    A copy in progress.

    Attributes:
        token: Names it in the next request.
        rewritten: Bytes copied so far.
    """

    request: Request
    options: CopyOptions
    token: str | None = None
    rewritten: int = 0


def _source_conditions(options: CopyOptions) -> list[tuple[str, str]]:
    pairs = []
    if options.source_version_id is not None:
        pairs.append(("sourceGeneration", options.source_version_id))
    if options.source_if_match not in (None, "*"):
        pairs.append(("ifSourceGenerationMatch", generation_of(str(options.source_if_match))))
    return pairs


def _missing(error: NotFoundError, options: CopyOptions) -> Exception:
    # With "*" it may be the target that is missing, otherwise it is the source.
    return without_object(error, options.if_match) if options.if_match == "*" else error


class Copies(Objects):
    """
    Server-side copies.
    """

    async def copy(
        self, source: ObjectURI, target: ObjectURI, options: CopyOptions
    ) -> ObjectInfo | Pending[ObjectInfo]:
        """
        Copy an object: with one request within a location and storage class, otherwise with several.
        """
        check_name(source)
        check_name(target)
        encryption = options.encryption or self._encryption
        pairs = [
            *write_conditions(options.if_match, options.if_none_match),
            *_source_conditions(options),
            *kms_query(encryption, "destinationKmsKeyName"),
            *acl_query(options, "destinationPredefinedAcl"),
            ("fields", f"done,rewriteToken,totalBytesRewritten,resource({FIELDS})"),
        ]
        path = f"{object_path(source)}/rewriteTo{bucket_path(target, '')}/{quote(target.key, safe='')}"
        headers, body = NO_HEADERS, None
        if options.replace is not None:
            # Without any field, GCS keeps those of the source.
            default = {"contentType": "application/octet-stream"}
            headers, body = with_json({**default, **resource(options.replace), **protection(options)})
        source_key = key_headers(options.source_encryption or self._encryption, "x-goog-copy-source-")
        keys = {**key_headers(encryption), **source_key}
        request = Request(
            "POST",
            path,
            encode_query(pairs),
            {**headers, **keys},
            body,
            create_only=options.if_none_match is not None,
            patience=PATIENCE,
        )
        return await self._rewrite(target, Rewrite(request, options))

    async def advance(self, pending: Pending[Any]) -> Any:
        """
        Continue a copy. An abandoned rewrite needs no cleanup.
        """
        return await self._rewrite(pending.target, pending.state)

    async def _rewrite(self, target: ObjectURI, rewrite: Rewrite) -> ObjectInfo | Pending[ObjectInfo]:
        request, options, token, before = rewrite
        if token is not None:
            request = request._replace(query=f"{request.query}&{encode_query([('rewriteToken', token)])}")
        try:
            found = await self._wire.ask(request)
        except NotFoundError as exc:
            raise _missing(exc, options) from None
        if found.get("done"):
            return info_of(target, found.get("resource") or {})
        if not found.get("rewriteToken"):
            raise UnavailableError("the reply to a rewrite is neither done nor has a rewriteToken")
        rewritten = int(found.get("totalBytesRewritten") or 0)
        stuck = f"the rewrite stays at {rewritten} bytes" if token is not None and rewritten <= before else ""
        return Pending(target, rewrite._replace(token=found["rewriteToken"], rewritten=rewritten), stuck=stuck)
