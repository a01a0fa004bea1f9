"""
Reads assets: looks one up by its name, then reads it from the host that GitHub redirects to.

The token is never sent to that host. https://docs.github.com/rest/releases/assets#get-a-release-asset
"""

from __future__ import annotations

from typing import Final

from asyncstore.driver.body import ReadBody
from asyncstore.driver.conditions import check_read, resolve_range
from asyncstore.drivers.github.addresses import asset_place, repository_path
from asyncstore.drivers.github.links import Link, Links
from asyncstore.drivers.github.locks import Locks
from asyncstore.drivers.github.names import split
from asyncstore.drivers.github.records import Asset
from asyncstore.drivers.github.releases import Releases
from asyncstore.drivers.github.settings import GitHubSettings
from asyncstore.drivers.github.wire import Request, Wire
from asyncstore.errors import NotFoundError, ThrottledError, UnavailableError
from asyncstore.http.object_reply import has_length, partial_extent
from asyncstore.http.reply import Reply
from asyncstore.http.reply_body import ReplyBody
from asyncstore.options import ByteRange, ReadOptions
from asyncstore.types import UNKNOWN, Metadata
from asyncstore.uri import ObjectURI

_BYTES: Final = "application/octet-stream"

# Statuses for a link that has expired or whose asset was deleted.
_REFUSED: Final = frozenset({400, 401, 403, 404, 410})
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_MAX_MOVES: Final = 3


class Reads(Releases):
    """
    Finds and reads assets.
    """

    def __init__(self, wire: Wire, settings: GitHubSettings) -> None:
        super().__init__(wire, settings)
        self._links = Links()
        self._resolving = Locks()

    async def _find(self, uri: ObjectURI) -> Asset:
        """
        Return the asset that *uri* names now.

        Raises:
            NotFoundError: It does not exist, or its upload is not complete.
        """
        name = split(uri)
        if name is None:
            raise NotFoundError(
                "the key does not name an asset: keys are a release's tag, a slash and the asset's name"
            )
        release = await self._find_release(uri, name.tag)
        asset = release.assets.get(name.asset)
        if asset is None or not asset.uploaded:
            raise NotFoundError(f"the release {release.tag!r} has no asset {name.asset!r}", status=404)
        self._links.pin(uri, asset)
        return asset

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        """
        Return the metadata of an asset.
        """
        info = (await self._find(uri)).metadata(uri)
        check_read(info, options)
        return info

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        """
        Return the bytes of an asset.

        A range of a version that was just looked up is read without another lookup: the bytes of an ETag never
        change, so parallel parts take no requests of the API's rate limit.
        """
        pinned = self._links.pinned(uri, options.if_match) if _is_part(options) else None
        if pinned is not None and (link := self._links.get(pinned)) is not None:
            body = await self._from(link, uri, pinned, options)
            if body is not None:
                return body
        asset = await self._find(uri)
        check_read(asset.metadata(uri), options)
        return await self._open(uri, asset, options)

    async def _open(self, uri: ObjectURI, asset: Asset, options: ReadOptions) -> ReadBody:
        resolve_range(options.range, asset.size)
        link = self._links.get(asset)
        if link is not None and (body := await self._from(link, uri, asset, options)) is not None:
            return body
        # If many parts find the link expired, one of them requests another.
        async with self._resolving.of(asset.id):
            fresh = self._links.get(asset) or await self._resolve(asset, uri, options)
        if isinstance(fresh, Reply):
            return _body(fresh, uri, asset, options)
        body = await self._from(fresh, uri, asset, options)
        if body is None:
            raise UnavailableError("the asset host refused the link that GitHub has just issued")
        return body

    async def _resolve(self, asset: Asset, uri: ObjectURI, options: ReadOptions) -> Link | Reply:
        path = f"{repository_path(uri)}/releases/assets/{asset.id}"
        headers = {"Accept": _BYTES, **_range_header(asset, options)}
        reply = await self._wire.send(Request("GET", path, headers=headers, accept=302))
        if reply.status != 302:
            # "API clients should handle both a 200 or 302 response."
            return reply
        await reply.read_error()
        link = Link(*asset_place(self._wire.api, reply.headers.get("Location", "")))
        self._links.keep(asset, link)
        return link

    async def _from(self, link: Link, uri: ObjectURI, asset: Asset, options: ReadOptions) -> ReadBody | None:
        """
        Read from *link*; return ``None`` if it has expired.
        """
        reply = await self._ask(link, _range_header(asset, options))
        if reply.status < 300:
            return _body(reply, uri, asset, options)
        await reply.read_error()
        if reply.status in _REFUSED:
            self._links.drop(asset)
            return None
        kind = ThrottledError if reply.status in (429, 503) else UnavailableError
        raise kind("the asset host is not available", status=reply.status, retry_after=reply.retry_after)

    async def _ask(self, link: Link, headers: dict[str, str]) -> Reply:
        for _ in range(_MAX_MOVES):
            reply = await self._wire.http.send("GET", link.origin, link.path, headers, query=link.query)
            if reply.status not in _MOVED:
                return reply
            await reply.read_error()
            link = Link(*asset_place(link.origin, reply.headers.get("Location", "")))
        raise UnavailableError("the asset host sent too many redirects")


def _is_part(options: ReadOptions) -> bool:
    others = (options.if_none_match, options.if_modified_since, options.if_unmodified_since)
    return options.range is not None and options.if_match is not None and not any(others)


def _range_header(asset: Asset, options: ReadOptions) -> dict[str, str]:
    if options.range is None:
        return {}
    start, end = resolve_range(options.range, asset.size)
    return {"Range": f"bytes={start}-{end - 1}"}


def _body(reply: Reply, uri: ObjectURI, asset: Asset, options: ReadOptions) -> ReplyBody:
    try:
        return _checked_body(reply, uri, asset, options)
    except BaseException:
        reply.close()
        raise


def _checked_body(reply: Reply, uri: ObjectURI, asset: Asset, options: ReadOptions) -> ReplyBody:
    info = asset.metadata(uri)
    start, end = resolve_range(options.range, asset.size)
    if reply.status == 206:
        *extent, size = partial_extent(reply, ByteRange(start, end))
        if extent != [start, end] or size not in (asset.size, UNKNOWN):
            raise UnavailableError("the asset host sent a range that was not requested", status=206)
        return ReplyBody(reply, info, start, end, unframed=not has_length(reply))
    if reply.status != 200 or reply.headers.get("Content-Length") != str(asset.size):
        raise UnavailableError("the asset host sent a reply that is not the asset", status=reply.status)
    ignored = (start, end) != (0, asset.size)
    return ReplyBody(reply, info, start, end, skip=start, ignored_range=ignored)
