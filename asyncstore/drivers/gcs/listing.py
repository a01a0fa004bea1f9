"""
Lists objects, and the generations that a bucket keeps of them, page by page.

https://cloud.google.com/storage/docs/json_api/v1/objects/list
https://cloud.google.com/storage/docs/object-versioning
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final

from asyncstore.drivers.gcs.names import bucket_path, encode_query, is_hidden
from asyncstore.drivers.gcs.objects import Objects
from asyncstore.drivers.gcs.resources import LISTED, info_of
from asyncstore.drivers.gcs.wire import Request
from asyncstore.errors import UnavailableError
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

#: Objects in the largest page.
MAX_RESULTS: Final = 1000

_VERSION_FIELDS: Final = f"{LISTED},timeDeleted"
_VERSIONS: Final = (("versions", "true"),)


class Listings(Objects):
    """
    Listings of objects and their generations.
    """

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return a page of objects, without our own hidden ones unless *prefix* names them.
        """
        found = await self._ask_page(prefix, options, token, LISTED)
        return ListPage(_entries(found, prefix, options, info_of), found.get("nextPageToken"))

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return a page of generations, those of one key oldest first.

        GCS has no delete markers: a key without a current generation has been deleted.
        """
        found = await self._ask_page(prefix, options, token, _VERSION_FIELDS, _VERSIONS)
        return ListPage(_entries(found, prefix, options, _version), found.get("nextPageToken"))

    async def _ask_page(
        self,
        prefix: ObjectURI,
        options: ListOptions,
        token: str | None,
        fields: str,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> dict[str, Any]:
        """
        Return the reply with one page, whose ``nextPageToken`` is a text if there is another page.

        Args:
            fields: The fields to return of each object.
            extra: Further parameters.
        """
        pairs = [("maxResults", str(min(options.page_size or MAX_RESULTS, MAX_RESULTS)))]
        if prefix.key:
            pairs.append(("prefix", prefix.key))
        if options.delimiter is not None:
            pairs.append(("delimiter", options.delimiter))
        if options.start_after:
            # Inclusive, so _wanted() drops the entry with that name.
            pairs.append(("startOffset", options.start_after))
        if token is not None:
            pairs.append(("pageToken", token))
        pairs += [*extra, ("fields", f"items({fields}),prefixes,nextPageToken")]
        found = await self._wire.ask(Request("GET", bucket_path(prefix), encode_query(pairs)))
        following = found.get("nextPageToken")
        if following is not None and (not isinstance(following, str) or following == token):
            raise UnavailableError("the listing has no end: its token of the next page is not a new one")
        return found


def _version(uri: ObjectURI, item: Mapping[str, Any]) -> ObjectInfo:
    return replace(info_of(uri, item), is_current="timeDeleted" not in item)


def _entries(
    found: Mapping[str, Any],
    prefix: ObjectURI,
    options: ListOptions,
    read: Callable[[ObjectURI, Mapping[str, Any]], ObjectInfo],
) -> list[ObjectInfo]:
    """
    Return the objects and common prefixes of a page in byte order of keys, and those of one key in their own order.

    Args:
        read: Makes the record of an object from its resource.

    Raises:
        UnavailableError: An entry is not an object resource.
    """
    try:
        entries = [read(prefix.with_key(str(item["name"])), item) for item in found.get("items", [])]
        prefixes = [
            ObjectInfo(uri=prefix.with_key(str(text)), size=0, is_prefix=True) for text in found.get("prefixes", [])
        ]
    except (AttributeError, TypeError, ValueError, KeyError) as exc:
        raise UnavailableError(f"the listing has an entry that is not an object: {exc}") from None
    if prefixes:
        # The order of code points is that of the bytes in UTF-8.
        entries = sorted([*entries, *prefixes], key=attrgetter("uri.key"))
    return [info for info in entries if _wanted(info, prefix, options)]


def _wanted(info: ObjectInfo, prefix: ObjectURI, options: ListOptions) -> bool:
    if is_hidden(info.key) and not is_hidden(prefix.key):
        return False
    # A common prefix is compared by its own name, not by the keys under it.
    return options.start_after is None or info.key > options.start_after
