"""
Pages of keys.

https://cloud.google.com/storage/docs/json_api/v1/objects/list
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from asyncstore.drivers.gcs.names import HIDDEN, bucket_path, encode_query
from asyncstore.drivers.gcs.resources import LISTED, info_of
from asyncstore.drivers.gcs.wire import Request, Wire
from asyncstore.errors import UnavailableError
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

#: The largest page.
MAX_RESULTS: Final = 1000


async def list_page(wire: Wire, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
    """
    Return one page; our own hidden objects are left out, unless it is they that are asked for.
    """
    found = await ask_page(wire, prefix, options, token, LISTED)
    return ListPage(entries_of(found, prefix, options, info_of), found.get("nextPageToken"))


def entries_of(
    found: Mapping[str, Any],
    prefix: ObjectURI,
    options: ListOptions,
    read: Callable[[ObjectURI, Mapping[str, Any]], ObjectInfo],
) -> list[ObjectInfo]:
    """
    Return the objects and common prefixes of a page, in byte order of keys; those of one key in the order given.

    Args:
        read: Makes a record of an object.

    Raises:
        UnavailableError: The page has something else.
    """
    try:
        entries = [read(prefix.with_key(str(item["name"])), item) for item in found.get("items", [])]
        prefixes = [
            ObjectInfo(uri=prefix.with_key(str(text)), size=0, is_prefix=True) for text in found.get("prefixes", [])
        ]
    except (AttributeError, TypeError, ValueError, KeyError) as exc:
        raise UnavailableError(f"a listing has an entry that cannot be read: {exc}") from None
    if prefixes:
        # By code points, which is the order of the bytes of UTF-8.
        entries = sorted([*entries, *prefixes], key=_key)
    return [info for info in entries if _wanted(info, prefix, options)]


async def ask_page(
    wire: Wire,
    prefix: ObjectURI,
    options: ListOptions,
    token: str | None,
    fields: str,
    extra: tuple[tuple[str, str], ...] = (),
) -> dict[str, Any]:
    """
    Return one page as it is in the reply.

    Args:
        fields: Which ones of each object.
        extra: Further parameters.
    """
    pairs = [("maxResults", str(min(options.page_size or MAX_RESULTS, MAX_RESULTS)))]
    if prefix.key:
        pairs.append(("prefix", prefix.key))
    if options.delimiter is not None:
        pairs.append(("delimiter", options.delimiter))
    if options.start_after:
        # Inclusive, so the entry of that name is dropped below.
        pairs.append(("startOffset", options.start_after))
    if token is not None:
        pairs.append(("pageToken", token))
    pairs += [*extra, ("fields", f"items({fields}),prefixes,nextPageToken")]
    return await wire.ask(Request("GET", bucket_path(prefix), encode_query(pairs)))


def _wanted(info: ObjectInfo, prefix: ObjectURI, options: ListOptions) -> bool:
    if info.key.startswith(HIDDEN) and not prefix.key.startswith(HIDDEN):
        return False
    # A common prefix counts by its own name, not by the keys under it.
    return options.start_after is None or info.key > options.start_after


def _key(entry: ObjectInfo) -> str:
    return entry.uri.key
