"""
Pages of objects, parts and uploads. Everything here blocks and belongs in a thread.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from asyncstore import listing
from asyncstore.drivers.local.store import Store, info_of, missing_root
from asyncstore.drivers.local.walk import Walk, WindowCache
from asyncstore.errors import InvalidURIError
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, MultipartUpload, MultipartUploadPage, ObjectInfo, PartPage
from asyncstore.uri import ObjectURI

#: Entries of the largest page.
PAGE_SIZE: Final = 1000


class Listings:
    """
    What is below *root*; *base* is what all keys of its URIs start with.
    """

    def __init__(self, store: Store, root: Path, base: str) -> None:
        self._store = store
        self._root = root
        self._base = base
        self._windows = WindowCache()

    def page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return one page of keys.

        A ``start_after`` is a key as it is in the URI of an object; one that is
        not below the root is taken as relative to it.
        """
        start, start_after = self._prefix(prefix), options.start_after
        try:
            entries, next_token = listing.page(
                Walk(self._store.tree, self._windows, start).seek,
                prefix=start,
                delimiter=options.delimiter,
                after=token if token is not None or start_after is None else start_after.removeprefix(self._base),
                limit=min(options.page_size or PAGE_SIZE, PAGE_SIZE),
            )
        except FileNotFoundError:
            raise missing_root(str(self._root)) from None
        return ListPage([_entry(prefix.with_key(self._base + key), status) for key, status in entries], next_token)

    def parts(self, key: str, upload_id: str, token: str | None) -> PartPage:
        """
        Return one page of the parts of an upload.
        """
        self._store.uploads.started(key, upload_id)
        held = self._store.uploads.parts(upload_id)
        numbers = sorted(number for number in held if number > int(token or 0))
        shown = numbers[:PAGE_SIZE]
        more = len(shown) < len(numbers)
        return PartPage([held[number].part for number in shown], str(shown[-1]) if more else None)

    def uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        """
        Return one page of unfinished uploads.
        """
        start = self._prefix(prefix)
        after_id, _, after_key = (token or "/").partition("/")
        found = sorted(
            (upload.key, upload.upload_id, upload.initiated)
            for upload in self._store.uploads.all()
            if upload.key.startswith(start) and (upload.key, upload.upload_id) > (after_key, after_id)
        )
        shown = found[:PAGE_SIZE]
        return MultipartUploadPage(
            [MultipartUpload(prefix.with_key(self._base + key), name, begun) for key, name, begun in shown],
            "{1}/{0}".format(*shown[-1]) if len(shown) < len(found) else None,
        )

    def _prefix(self, prefix: ObjectURI) -> str:
        if f"{prefix.key}/" == self._base:
            return ""
        if not prefix.key.startswith(self._base):
            raise InvalidURIError(f"{prefix} is not below file://{self._root}: open a directory that it is in")
        return prefix.key[len(self._base) :]


def _entry(uri: ObjectURI, status: os.stat_result | None) -> ObjectInfo:
    return ObjectInfo(uri=uri, size=0, is_prefix=True) if status is None else info_of(uri, status)
