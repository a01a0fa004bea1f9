"""
Pages of versions, newest first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from asyncstore.drivers.memory.world import Bucket, info_of
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI


def versions_page(bucket: Bucket, prefix: ObjectURI, options: ListOptions, token: str | None, limit: int) -> ListPage:
    """
    Return up to *limit* versions, and common prefixes, after *token*.

    Versions that are added or removed between two pages do not move the others.
    """
    # Ids grow, so the versions that follow one of a key have smaller ids.
    after = json.loads(token) if token is not None else [options.start_after or "", ""]
    found: list[ObjectInfo] = []
    for info in _entries(bucket, prefix, options.delimiter):
        same_key = info.key == after[0]
        if info.key < after[0] or (same_key and (info.version_id or "") >= after[1]):
            continue
        if len(found) == limit:
            return ListPage(found, json.dumps([found[-1].key, found[-1].version_id or ""]))
        found.append(info)
    return ListPage(found)


def _entries(bucket: Bucket, prefix: ObjectURI, delimiter: str | None) -> Iterator[ObjectInfo]:
    last = None
    for key in sorted(key for key in bucket.versions if key.startswith(prefix.key)):
        at = -1 if delimiter is None else key.find(delimiter, len(prefix.key))
        if at >= 0 and delimiter is not None:
            common = key[: at + len(delimiter)]
            if common != last:
                last = common
                yield ObjectInfo(uri=prefix.with_key(common), size=0, is_prefix=True)
            continue
        current = bucket.versions[key][-1]
        for stored in reversed(bucket.versions[key]):
            info = replace(info_of(stored), uri=prefix.with_key(key), is_current=stored is current)
            yield replace(info, is_deleted=stored.deleted)
