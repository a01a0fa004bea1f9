"""
Lists assets in the order of their keys.

GitHub lists releases by age, without prefixes. So the first calls of a listing collect all releases,
one page each; the requested pages then come from memory, in the order of keys. Below the tag of a
published release one request is enough.
"""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Final

from asyncstore.driver.paging import page
from asyncstore.drivers.github.records import Release
from asyncstore.drivers.github.releases import Releases
from asyncstore.drivers.github.settings import GitHubSettings
from asyncstore.drivers.github.wire import Wire
from asyncstore.errors import NotFoundError
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

#: Entries of the largest page. This is not a limit of GitHub: the entries are in memory.
MAX_KEYS: Final = 1000

# Listings that are kept in memory for their next pages.
_KEPT: Final = 16


@dataclass(slots=True, eq=False)
class _Listing:
    """
    A listing: what was collected so far, the ids of the releases, and the next page of releases, if any.
    """

    entries: dict[str, ObjectInfo] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    next_page: int | None = 1


class Listings(Releases):
    """
    Listings of assets.
    """

    def __init__(self, wire: Wire, settings: GitHubSettings) -> None:
        super().__init__(wire, settings)
        self._kept: dict[str, _Listing] = {}

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return one page; an empty one while releases are still being collected.
        """
        place, _, after = (token or "").partition(" ")
        name = place.partition("-")[0]
        listing = self._kept.get(name)
        if listing is None:
            # The first page, or a page of a listing that was dropped and starts again.
            name, listing = self._begin()
        if listing.next_page is not None:
            await self._gather(listing, prefix)
        if listing.next_page is not None:
            # With the number of its page: each token differs from the one before.
            return ListPage([], f"{name}-{listing.next_page} {after}")
        return _page(name, listing, prefix, options, after or options.start_after)

    def _begin(self) -> tuple[str, _Listing]:
        name, listing = secrets.token_hex(8), _Listing()
        self._kept[name] = listing
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return name, listing

    async def _gather(self, listing: _Listing, prefix: ObjectURI) -> None:
        if listing.next_page == 1 and (release := await self._only(prefix)) is not None:
            folder = prefix.key.rpartition("/")[0]
            listing.next_page = None
            _add(listing, prefix, folder, [release])
        else:
            number = listing.next_page or 1
            releases, more = await self._release_page(prefix, number, listing.seen)
            listing.next_page = number + 1 if more else None
            _add(listing, prefix, None, releases)
        if listing.next_page is None:
            listing.keys = sorted(listing.entries)

    async def _only(self, prefix: ObjectURI) -> Release | None:
        """
        Return the one release that can have keys under *prefix*, if that is known.

        Git cannot have a tag ``a/b`` beside a tag ``a``. Drafts have no git tags, so with drafts there may be
        several.
        """
        tag, slash, _ = prefix.key.rpartition("/")
        if not slash or not tag:
            return None
        if self._settings.draft and not self._is_latest(tag):
            return None
        try:
            return await self._find_release(prefix, tag)
        except NotFoundError:
            return None


def _add(listing: _Listing, prefix: ObjectURI, tag: str | None, releases: Iterable[Release]) -> None:
    for release in releases:
        for asset in release.assets.values():
            key = f"{release.tag if tag is None else tag}/{asset.name}"
            if asset.uploaded and key.startswith(prefix.key):
                listing.entries[key] = asset.info(prefix.with_key(key))


def _page(name: str, listing: _Listing, prefix: ObjectURI, options: ListOptions, after: str | None) -> ListPage:
    def seek(start: str) -> Generator[tuple[str, ObjectInfo], None, None]:
        for key in listing.keys[bisect_left(listing.keys, start) :]:
            yield key, listing.entries[key]

    found, last = page(
        seek,
        prefix=prefix.key,
        delimiter=options.delimiter,
        after=after,
        limit=min(options.page_size or MAX_KEYS, MAX_KEYS),
    )
    entries = [
        ObjectInfo(uri=prefix.with_key(key), size=0, is_prefix=True) if item is None else item for key, item in found
    ]
    return ListPage(entries, None if last is None else f"{name} {last}")
