"""
Reads, stats and deletes one object.

Reads use the XML API, whose replies carry the user metadata along with the bytes.
Everything else is JSON; see docs/decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from asyncstore.driver.body import ReadBody
from asyncstore.drivers.gcs.conditions import check_dates, read_headers, stat_conditions, write_conditions
from asyncstore.drivers.gcs.encryption import key_headers
from asyncstore.drivers.gcs.errors import is_missing_bucket
from asyncstore.drivers.gcs.headers import GENERATION, check_encoding, checksum_of
from asyncstore.drivers.gcs.headers import metadata_of as metadata_of_headers
from asyncstore.drivers.gcs.names import check_name, encode_query, object_path, xml_path
from asyncstore.drivers.gcs.protection import resource_of
from asyncstore.drivers.gcs.resources import FIELDS, metadata_of
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import Request, Wire, json_object, with_json
from asyncstore.errors import NotFoundError
from asyncstore.http.driver import HTTPDriver
from asyncstore.http.object_headers import without_object
from asyncstore.http.object_reply import check_version, object_body
from asyncstore.options import PLAIN_READ, DeleteOptions, ReadOptions
from asyncstore.retention import Retention
from asyncstore.types import Metadata
from asyncstore.uri import ObjectURI

# Without it, GCS decompresses objects that are stored compressed.
# https://cloud.google.com/storage/docs/transcoding
_AS_STORED: Final[Mapping[str, str]] = {"Accept-Encoding": "gzip"}


class Objects(HTTPDriver):
    """
    The requests about one object.
    """

    _wire: Wire
    _settings: GCSSettings

    def __init__(self, wire: Wire, settings: GCSSettings) -> None:
        super().__init__(wire, settings)
        self._encryption = settings.default_encryption

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        """
        Send a read; ``if_none_match`` is checked first, by a request whose reply has no bytes.
        """
        check_name(uri)
        if options.if_none_match is not None:
            await self.stat(uri, options)
            # An object that replaces it in between is new to the caller too.
            options = replace(options, if_none_match=None, if_modified_since=None)
        plain = options is PLAIN_READ and self._encryption is None
        headers = _AS_STORED if plain else self._headers(options)
        query = "" if options.version_id is None else encode_query([("generation", options.version_id)])
        try:
            reply = await self._wire.send(Request("GET", xml_path(uri), query, headers))
        except NotFoundError as exc:
            # In a bucket without versions, the requested generation has been replaced.
            pinned = options.version_id is not None and not is_missing_bucket(exc)
            raise without_object(exc, options.if_match if pinned else None) from None
        check_encoding(reply)
        body = object_body(reply, options.range, partial(metadata_of_headers, uri, reply.headers), checksum_of)
        if options.version_id is not None:
            check_version(reply, options, reply.headers.get(GENERATION))
        return body

    def _headers(self, options: ReadOptions) -> Mapping[str, str]:
        headers = {**_AS_STORED, **read_headers(options), **key_headers(options.encryption or self._encryption)}
        if options.range is not None:
            headers["Range"] = options.range.header()
        return headers

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        """
        Return the metadata of an object.
        """
        check_name(uri)
        pairs = stat_conditions(options)
        if options.version_id is not None:
            pairs.append(("generation", options.version_id))
        pairs.append(("fields", FIELDS))
        headers = key_headers(options.encryption or self._encryption)
        reply, content = await self._wire.read(Request("GET", object_path(uri), encode_query(pairs), headers))
        info = metadata_of(uri, await json_object(reply, content))
        check_version(reply, options, info.version_id)
        check_dates(info, options)
        return info

    async def set_retention(
        self,
        uri: ObjectURI,
        retention: Retention | None,
        version_id: str | None = None,
        *,
        bypass: bool = False,
    ) -> None:
        pairs = [("overrideUnlockedRetention", "true")] if bypass else []
        found = None if retention is None else resource_of(retention)
        await self._patch(uri, {"retention": found}, version_id, pairs)

    async def set_legal_hold(self, uri: ObjectURI, held: bool, version_id: str | None = None) -> None:
        await self._patch(uri, {"temporaryHold": held}, version_id)

    async def _patch(
        self, uri: ObjectURI, changes: dict[str, Any], version_id: str | None, pairs: Sequence[tuple[str, str]] = ()
    ) -> None:
        check_name(uri)
        headers, body = with_json(changes)
        generation = [] if version_id is None else [("generation", version_id)]
        query = encode_query([*generation, *pairs, ("fields", "generation")])
        await self._wire.perform(Request("PATCH", object_path(uri), query, headers, body))

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        """
        Delete an object or one generation of it.
        """
        check_name(uri)
        pairs = write_conditions(options.if_match, None)
        if options.version_id is not None:
            pairs.append(("generation", options.version_id))
        try:
            await self._wire.perform(Request("DELETE", object_path(uri), encode_query(pairs)))
        except NotFoundError as exc:
            if options.if_match is not None or is_missing_bucket(exc):
                raise without_object(exc, options.if_match) from None
