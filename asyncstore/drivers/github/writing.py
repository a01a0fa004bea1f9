"""
Writes and deletes assets.

GitHub refuses a second asset with the same name. To replace one, the new asset is uploaded with a temporary
name and verified, then the old asset is deleted, then the new one is renamed. https://docs.github.com/rest/releases/assets
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from asyncstore._support.cleanup import clean_up, ended
from asyncstore.driver.body import Body
from asyncstore.driver.conditions import check_write
from asyncstore.drivers.github.addresses import repository_path, upload_place
from asyncstore.drivers.github.errors import ALREADY_EXISTS
from asyncstore.drivers.github.locks import Locks
from asyncstore.drivers.github.names import Name, checked, split, temporary
from asyncstore.drivers.github.reading import Reads
from asyncstore.drivers.github.records import Asset, Release
from asyncstore.drivers.github.settings import GitHubSettings
from asyncstore.drivers.github.wire import Request, Wire, with_json
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from asyncstore.http.origin import encode_query
from asyncstore.options import DeleteOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, ObjectInfo
from asyncstore.uri import ObjectURI

_LOG: Final = logging.getLogger("asyncstore")

#: Multiplies the stall timeout for the reply to an upload, which GitHub copies before it replies.
PATIENCE: Final = 4.0

#: Seconds for the deletion of the old asset and the renaming of the new one.
SWAP_TIMEOUT: Final = 30.0

# Renamings if other writers take the name.
_MAX_RACES: Final = 4

# Refusals for a name that no listing shows. One may be a writer that created the asset and deleted it at once.
_MAX_UNLISTED: Final = 2


class Writes(Reads):
    """
    Writes and deletes assets.
    """

    def __init__(self, wire: Wire, settings: GitHubSettings) -> None:
        super().__init__(wire, settings)
        self._writers = Locks()
        # Temporary assets that could be neither renamed nor deleted: the next write deletes them.
        self._stranded: dict[ObjectURI, set[int]] = {}

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        """
        Write an asset, replacing an existing one.
        """
        name = checked(uri)
        # Concurrent writers of one name would undo each other's steps.
        async with self._writers.of(uri):
            self._links.unpin(uri)
            asset = await self._put(uri, name, body, options)
            self._links.unpin(uri)
            await self._delete_stranded(uri)
        return asset.info(uri)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        """
        Delete an asset; with ``if_match`` only if it has that ETag.
        """
        self._links.unpin(uri)
        name = split(uri)
        try:
            asset = None if name is None else (await self._find_release(uri, name.tag)).assets.get(name.asset)
        except NotFoundError:
            asset = None
        whole = asset if asset is not None and asset.uploaded else None
        check_write(whole.etag if whole else None, options.if_match)
        if asset is None:
            return
        # By its id, so that an asset that replaces it in the meantime stays.
        if not await self._delete(uri, asset.id) and options.if_match is not None:
            raise PreconditionFailedError("the object was replaced or deleted by another writer")

    async def _put(self, uri: ObjectURI, name: Name, body: Body, options: WriteOptions) -> Asset:
        for _ in range(_MAX_UNLISTED):
            release = await self._ensure_release(uri, name.tag)
            old = release.assets.get(name.asset)
            if old is not None and not old.uploaded:
                # "This may leave an empty asset with a state of starter. It can be safely deleted."
                await self._delete(uri, old.id)
                old = None
            try:
                if old is None:
                    return await self._send(uri, release, name.asset, body, options)
                return await self._replace(uri, release, old, body, options)
            except AlreadyExistsError:
                if await self._named(uri, release, name.asset) is not None:
                    # It was created since the lookup. The engine sends the bytes again, as often as it sends any.
                    raise UnavailableError("another writer created the same asset at the same time") from None
                if not body.replayable:
                    break
        raise _taken(name.asset)

    async def _replace(self, uri: ObjectURI, release: Release, old: Asset, body: Body, options: WriteOptions) -> Asset:
        new = await self._send(uri, release, temporary(old.name), body, options)
        # In its own task: if it were cancelled between the two steps, no asset would have this name.
        swap = asyncio.get_running_loop().create_task(self._swap(uri, release, old, new))
        interrupted = await ended(swap, SWAP_TIMEOUT)
        if interrupted is not None:
            if _failed(swap):
                _LOG.warning("%s: the new bytes are in the asset %s, which was not renamed", uri, new.name)
            raise interrupted
        if not swap.done() or swap.cancelled():
            raise UnavailableError(f"the new bytes are in the asset {new.name}, which was not renamed in time")
        return swap.result()

    async def _swap(self, uri: ObjectURI, release: Release, old: Asset, new: Asset) -> Asset:
        stranded = self._stranded.setdefault(uri, set())
        stranded.add(new.id)
        try:
            await self._delete(uri, old.id)
        except StorageError as exc:
            if _is_refusal(exc):
                await clean_up(self._drop(uri, new.id), exc)
                raise
            # It may have been deleted. If not, the renaming fails.
        try:
            renamed = await self._rename(uri, release, new, old.name)
        except StorageError as exc:
            exc.add_note(f"the new bytes are in the asset {new.name}")
            raise
        stranded.discard(new.id)
        return renamed

    async def _rename(self, uri: ObjectURI, release: Release, asset: Asset, name: str) -> Asset:
        unlisted = 0
        for _ in range(_MAX_RACES):
            try:
                path = f"{repository_path(uri)}/releases/assets/{asset.id}"
                _, found = await self._wire.read_json(with_json("PATCH", path, {"name": name}))
                return Asset.read(found)
            except AlreadyExistsError:
                # Another writer has taken the name: the last one wins.
                other = await self._named(uri, release, name)
                unlisted += other is None
                if unlisted == _MAX_UNLISTED:
                    raise _taken(name) from None
                if other is not None and other.id != asset.id:
                    await self._delete(uri, other.id)
            except UnavailableError:
                # The renaming may have been carried out although its reply was lost.
                now = await self._named(uri, release, name)
                if now is None or now.id != asset.id:
                    raise
                return now
        # Final: another attempt would send all bytes again, and then as many renamings.
        raise UnavailableError("other writers keep writing the same asset", retryable=False)

    async def _named(self, uri: ObjectURI, release: Release, name: str) -> Asset | None:
        return (await self._release(uri, release.id)).assets.get(name)

    async def _send(self, uri: ObjectURI, release: Release, name: str, body: Body, options: WriteOptions) -> Asset:
        """
        Upload an asset and verify it; nothing of it remains if this fails.
        """
        try:
            asset = await self._upload(uri, release, name, body, options)
        except BaseException as exc:
            if not _is_refusal(exc):
                await clean_up(self._discard(uri, release, name, whole=not uri.key.endswith(f"/{name}")), exc)
            raise
        try:
            await _check(asset, name, body)
        except BaseException as exc:
            await clean_up(self._drop(uri, asset.id), exc)
            raise
        return asset

    async def _upload(self, uri: ObjectURI, release: Release, name: str, body: Body, options: WriteOptions) -> Asset:
        origin, path = upload_place(self._wire.api, release.upload_url)
        headers = {"Content-Type": options.content_type or "application/octet-stream"}
        request = Request("POST", path, encode_query([("name", name)]), headers, body, origin, patience=PATIENCE)
        _, found = await self._wire.read_json(request)
        return Asset.read(found)

    async def _discard(self, uri: ObjectURI, release: Release, name: str, *, whole: bool) -> None:
        """
        Delete what a failed upload may have left; a complete asset only if *whole*.
        """
        left = await self._named(uri, release, name)
        if left is not None and (whole or not left.uploaded):
            await self._delete(uri, left.id)

    async def _delete(self, uri: ObjectURI, asset_id: int) -> bool:
        try:
            await self._wire.perform(Request("DELETE", f"{repository_path(uri)}/releases/assets/{asset_id}"))
        except NotFoundError:
            return False
        return True

    async def _drop(self, uri: ObjectURI, asset_id: int) -> None:
        self._stranded.setdefault(uri, set()).add(asset_id)
        await self._delete(uri, asset_id)
        self._stranded[uri].discard(asset_id)

    async def _delete_stranded(self, uri: ObjectURI) -> None:
        for left in self._stranded.pop(uri, ()):
            await self._delete(uri, left)


def _taken(name: str) -> InvalidRequestError:
    # Such assets are not reported consistently by the API.
    # https://github.com/cli/cli/issues/4863
    return InvalidRequestError(
        f"GitHub says that the name {name!r} is taken, but lists no asset with it: an upload may have broken off. "
        "Delete the asset on the page of the release, or use another name",
        provider="github",
        code=ALREADY_EXISTS,
        status=422,
    )


def _failed(task: asyncio.Task[Asset]) -> bool:
    return not task.done() or task.cancelled() or task.exception() is not None


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, StorageError) and error.status is not None and error.status < 500


async def _check(asset: Asset, name: str, body: Body) -> None:
    if asset.name != name:
        raise InvalidRequestError(f"GitHub stored the asset as {asset.name!r} instead of {name!r}, so it was deleted")
    if not asset.uploaded:
        raise UnavailableError("GitHub has not stored the asset completely, so it was deleted")
    if asset.size != body.size:
        raise IntegrityError("GitHub stored another size", expected=str(body.size), actual=str(asset.size))
    own = None if asset.checksum is None else await _digest(body)
    if own is not None and own != asset.checksum:
        raise IntegrityError("GitHub stored other bytes than were sent", expected=str(own), actual=str(asset.checksum))


async def _digest(body: Body) -> Checksum | None:
    if body.data is not None:
        await body.prepare(ChecksumAlgorithm.SHA256)
    return body.checksum(ChecksumAlgorithm.SHA256)
