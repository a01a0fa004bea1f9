"""
Pages of versions: those that a bucket keeps, and the marks of deletions.

https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/ObjectVersionSummary/ListObjectVersions
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from asyncstore.drivers.oci.addresses import encode_query
from asyncstore.drivers.oci.listing import FIELDS, MAX_KEYS, NATIVE, common, info_of, key_of
from asyncstore.drivers.oci.wire import Request, Wire
from asyncstore.errors import NotSupportedError, UnavailableError
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

_NEXT: Final = "opc-next-page"


async def list_page(wire: Wire, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
    """
    Return versions, those of one key newest first. The first of a key is the current one, so
    that a page has to know the last key of the page before: our token says both.

    Raises:
        NotSupportedError: A delimiter other than ``/``.
    """
    if options.delimiter not in (None, NATIVE):
        raise NotSupportedError(f"OCI lists versions by level at / only, not at {options.delimiter!r}")
    page, before = (None, None) if token is None else json.loads(token)
    reply, found = await wire.read(Request("GET", prefix, "/objectversions", _query(prefix, options, page)))
    try:
        entries = list(_versions(found["items"], prefix, before))
        last = entries[-1].key if entries else before
        entries += [common(prefix, text) for text in found.get("prefixes") or ()]
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise UnavailableError(
            f"a listing has an entry that cannot be read: {exc!r}", request_id=reply.request_id
        ) from None
    # Stable, so that versions of one key stay as they came.
    entries.sort(key=key_of)
    if options.start_after is not None:
        entries = [entry for entry in entries if entry.key > options.start_after]
    following = reply.headers.get(_NEXT)
    return ListPage(entries, None if following is None else json.dumps([following, last]))


def _query(prefix: ObjectURI, options: ListOptions, page: str | None) -> str:
    pairs = [("fields", FIELDS), ("limit", str(min(options.page_size or MAX_KEYS, MAX_KEYS)))]
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    if options.start_after is not None:
        pairs.append(("startAfter", options.start_after))
    if options.delimiter is not None:
        pairs.append(("delimiter", options.delimiter))
    if page is not None:
        pairs.append(("page", page))
    return encode_query(pairs)


def _versions(items: Iterable[Mapping[str, Any]], prefix: ObjectURI, before: str | None) -> Iterator[ObjectInfo]:
    for item in items:
        # The mark of a deletion has no bytes, and so no size.
        info = info_of({"size": 0, **item}, prefix)
        yield replace(
            info,
            version_id=item["versionId"],
            is_current=info.key != before,
            is_deleted=bool(item["isDeleteMarker"]),
        )
        before = info.key
