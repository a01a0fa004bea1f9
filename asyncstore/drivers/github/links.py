"""
A cache of signed links to the bytes of assets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from asyncstore.drivers.github.records import Asset
from asyncstore.http.origin import Origin
from asyncstore.uri import ObjectURI

#: Seconds for which a link is used. GitHub's are valid for five minutes or more, which it does not document; a
#: link that is refused earlier is replaced.
LINK_LIFE: Final = 240.0

#: Seconds for which a range of a version that was just looked up is read without looking it up again.
PIN_LIFE: Final = 60.0

_Key = TypeVar("_Key")
_Kept = TypeVar("_Kept")

# Links and pins that are kept.
_MAX_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class Link:
    """
    The location of the bytes of an asset. The link grants access to them, so ``repr`` hides it.
    """

    origin: Origin
    path: str = field(repr=False)
    query: str = field(repr=False)


class Links:
    """
    Recent lookups: links by asset, and the asset that each key names.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._links: dict[int, tuple[Link, float]] = {}
        self._pins: dict[ObjectURI, tuple[Asset, float]] = {}

    def get(self, asset: Asset) -> Link | None:
        """
        Return a link that should still be valid.
        """
        link, until = self._links.get(asset.id, (None, 0.0))
        return link if self._clock() < until else None

    def keep(self, asset: Asset, link: Link) -> None:
        """
        Remember a new link.
        """
        self._links.pop(asset.id, None)
        self._links[asset.id] = (link, self._clock() + LINK_LIFE)
        _shorten(self._links)

    def drop(self, asset: Asset) -> None:
        """
        Drop a link that was refused.
        """
        self._links.pop(asset.id, None)

    def pinned(self, uri: ObjectURI, etag: str | None) -> Asset | None:
        """
        Return the asset of *uri* if it was looked up within :data:`PIN_LIFE` and has *etag*.
        """
        asset, until = self._pins.get(uri, (None, 0.0))
        return asset if asset is not None and asset.etag == etag and self._clock() < until else None

    def pin(self, uri: ObjectURI, asset: Asset) -> None:
        """
        Remember the asset that *uri* names.
        """
        self._pins.pop(uri, None)
        self._pins[uri] = (asset, self._clock() + PIN_LIFE)
        _shorten(self._pins)

    def unpin(self, uri: ObjectURI) -> None:
        """
        Forget the asset that *uri* names, before it changes.
        """
        self._pins.pop(uri, None)


def _shorten(kept: dict[_Key, _Kept]) -> None:
    while len(kept) > _MAX_KEPT:
        # The oldest: renewed entries are inserted again at the end.
        del kept[next(iter(kept))]
