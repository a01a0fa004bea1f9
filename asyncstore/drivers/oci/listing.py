"""
Pages of objects.

OCI rolls keys up at ``/`` only. At any other delimiter they are rolled up here,
and the next page starts after all that the last prefix stands for.
https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/ListObjects
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from asyncstore.drivers.oci.addresses import encode_query
from asyncstore.drivers.oci.headers import bare
from asyncstore.drivers.oci.wire import Request, Wire
from asyncstore.errors import UnavailableError
from asyncstore.options import ListOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

#: Entries of the largest page.
MAX_KEYS: Final = 1000

#: Names come alone unless more is asked for.
FIELDS: Final = "name,size,etag,md5,timeModified,storageTier"
#: The only delimiter that OCI knows.
NATIVE: Final = "/"


async def list_page(wire: Wire, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
    pairs = [("fields", FIELDS), ("limit", str(min(options.page_size or MAX_KEYS, MAX_KEYS)))]
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    if token is not None:
        pairs.append(("start", token))
    elif options.start_after is not None:
        pairs.append(("startAfter", options.start_after))
    if options.delimiter == NATIVE:
        pairs.append(("delimiter", NATIVE))
    reply, page = await wire.read(Request("GET", prefix, "/o", encode_query(pairs)))
    try:
        entries = [info_of(item, prefix) for item in page["objects"]]
        entries += [common(prefix, text) for text in page.get("prefixes") or ()]
        following = page.get("nextStartWith")
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise UnavailableError(
            f"a listing has an entry that cannot be read: {exc!r}", request_id=reply.request_id
        ) from None
    # By code points, which is the order of the bytes of UTF-8.
    entries.sort(key=key_of)
    if options.delimiter not in (None, NATIVE):
        entries = list(_rolled_up(entries, prefix, options.delimiter))
        if following is not None and entries and entries[-1].is_prefix:
            following = _later(following, _successor(entries[-1].key))
    if options.start_after is not None:
        # A level that begins before has later keys, but is not later itself.
        entries = [entry for entry in entries if entry.key > options.start_after]
    return ListPage(entries, following)


def info_of(item: Mapping[str, Any], prefix: ObjectURI) -> ObjectInfo:
    modified, etag, md5 = item.get("timeModified"), item.get("etag"), item.get("md5")
    return ObjectInfo(
        uri=prefix.with_key(item["name"]),
        size=int(item["size"]),
        etag=etag and bare(etag),
        last_modified=parse_time(modified),
        storage_class=item.get("storageTier"),
        # Of an object made of parts it is that of their MD5s, which says so.
        checksum=Checksum.from_base64(ChecksumAlgorithm.MD5, md5) if md5 else None,
    )


def parse_time(text: str | None) -> datetime | None:
    """
    Read a time of a document, which is ISO 8601; ``None`` stays what it is.
    """
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def common(prefix: ObjectURI, key: str) -> ObjectInfo:
    return ObjectInfo(uri=prefix.with_key(key), size=0, is_prefix=True)


def key_of(entry: ObjectInfo) -> str:
    return entry.uri.key


def _rolled_up(entries: Iterable[ObjectInfo], prefix: ObjectURI, delimiter: str) -> Iterator[ObjectInfo]:
    last = None
    for entry in entries:
        at = entry.key.find(delimiter, len(prefix.key))
        if at < 0:
            yield entry
        elif (rolled := entry.key[: at + len(delimiter)]) != last:
            last = rolled
            yield common(prefix, rolled)


def _later(token: str, start: str | None) -> str | None:
    return None if start is None else max(token, start)


def _successor(prefix: str) -> str | None:
    # The first text after all that begin with the prefix; none if that is the last.
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at]) + 1
        if code == 0xD800:
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:at] + chr(code)
    return None
