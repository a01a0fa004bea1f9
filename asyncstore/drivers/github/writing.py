"""
Writing and deleting assets.

GitHub refuses a second asset of one name, so one is replaced by way of another
name: the new one is sent and checked, then the old one is deleted, then the new one
gets its name. https://docs.github.com/rest/releases/assets
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from asyncstore.body import Body
from asyncstore.cleanup import clean_up, ended
from asyncstore.conditions import check_write
from asyncstore.drivers.github.addresses import query, repository_path, upload_place
from asyncstore.drivers.github.links import Links
from asyncstore.drivers.github.locks import Locks
from asyncstore.drivers.github.names import Name, checked, split, temporary
from asyncstore.drivers.github.records import Asset, Release
from asyncstore.drivers.github.releases import Releases
from asyncstore.drivers.github.wire import Wire, parsed
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import DeleteOptions, MiB, WriteOptions
from asyncstore.threads import in_thread
from asyncstore.types import Checksum, ChecksumAlgorithm, ObjectInfo
from asyncstore.uri import ObjectURI

_LOG: Final = logging.getLogger("asyncstore")

#: Times the stall timeout to wait for an answer to an upload, which GitHub copies away first.
PATIENCE: Final = 4.0

#: Seconds for the two requests between the old asset and the new.
SWAP_TIMEOUT: Final = 30.0

# Writers elsewhere, who take the name meanwhile, are followed so often.
_MAX_RACES: Final = 4

# A digest of more bytes is computed in a thread.
_DIGEST_HERE: Final = MiB


class Writing:
    """
    Writes and deletes the assets of one storage.
    """

    def __init__(self, wire: Wire, releases: Releases, links: Links) -> None:
        self._wire = wire
        self._releases = releases
        self._links = links
        self._writers = Locks()
        # New assets that did not get their names, and could not be deleted: the next write does it.
        self._stranded: dict[ObjectURI, set[int]] = {}

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        """
        Write an asset, in place of another if there is one.
        """
        name = checked(uri)
        # Two writers of one name in here would only undo each other's steps.
        async with self._writers.of(uri):
            self._links.unpin(uri)
            asset = await self._put(uri, name, body, options)
            self._links.unpin(uri)
            await self._forget_stranded(uri)
        return asset.info(uri)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        """
        Delete an asset; with ``if_match`` only the one that has that ETag.
        """
        self._links.unpin(uri)
        asset = await self._find_any(uri)
        whole = asset if asset is not None and asset.uploaded else None
        check_write(whole.etag if whole else None, options.if_match)
        if asset is None:
            return
        # By its id: what somebody else puts there meanwhile is another's, and stays.
        if not await self._delete(uri, asset.id) and options.if_match is not None:
            raise PreconditionFailedError("the object was replaced or deleted meanwhile")

    async def _put(self, uri: ObjectURI, name: Name, body: Body, options: WriteOptions) -> Asset:
        for _ in range(_MAX_RACES):
            release = await self._releases.ensure(uri, name.tag)
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
                # Somebody else has written it since we looked.
                if not body.replayable:
                    raise
        raise UnavailableError("others keep writing the same asset")

    async def _replace(self, uri: ObjectURI, release: Release, old: Asset, body: Body, options: WriteOptions) -> Asset:
        new = await self._send(uri, release, temporary(old.name), body, options)
        # In a task of its own: cancelled between the two steps, there would be no asset of this name.
        swap = asyncio.get_running_loop().create_task(self._swap(uri, release, old, new))
        interrupted = await ended(swap, SWAP_TIMEOUT)
        if interrupted is not None:
            if _failed(swap):
                _LOG.warning("%s: the new bytes are in the asset %s, which did not get its name", uri, new.name)
            raise interrupted
        if not swap.done() or swap.cancelled():
            raise UnavailableError(f"the new bytes are in the asset {new.name}, which did not get its name in time")
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
            # It may be gone all the same. If so the name is free, and if not we shall be told.
        try:
            renamed = await self._rename(uri, release, new, old.name)
        except StorageError as exc:
            exc.add_note(f"the new bytes are in the asset {new.name}")
            raise
        stranded.discard(new.id)
        return renamed

    async def _rename(self, uri: ObjectURI, release: Release, asset: Asset, name: str) -> Asset:
        for _ in range(_MAX_RACES):
            try:
                found, _reply = await self._wire.ask(
                    "PATCH", f"{repository_path(uri)}/releases/assets/{asset.id}", document={"name": name}
                )
                return Asset.read(found)
            except AlreadyExistsError:
                # Somebody else was quicker, and the last one wins.
                other = await self._named(uri, release, name)
                if other is not None and other.id != asset.id:
                    await self._delete(uri, other.id)
            except UnavailableError:
                # Without an answer it may have been done.
                now = await self._named(uri, release, name)
                if now is None or now.id != asset.id:
                    raise
                return now
        raise UnavailableError("others keep writing the same asset")

    async def _named(self, uri: ObjectURI, release: Release, name: str) -> Asset | None:
        return (await self._releases.by_id(uri, release.id)).assets.get(name)

    async def _send(self, uri: ObjectURI, release: Release, name: str, body: Body, options: WriteOptions) -> Asset:
        """
        Send an asset and check what has arrived; nothing of it stays if this fails.
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
        reply = await self._wire.send(
            "POST",
            path,
            query=query({"name": name}),
            headers={"Content-Type": options.content_type or "application/octet-stream"},
            body=body,
            origin=origin,
            patience=PATIENCE,
        )
        return Asset.read(await parsed(reply))

    async def _discard(self, uri: ObjectURI, release: Release, name: str, *, whole: bool) -> None:
        """
        Delete what an upload may have left; what has arrived whole only if *whole*.
        """
        left = await self._named(uri, release, name)
        if left is not None and (whole or not left.uploaded):
            await self._delete(uri, left.id)

    async def _delete(self, uri: ObjectURI, asset_id: int) -> bool:
        try:
            reply = await self._wire.send("DELETE", f"{repository_path(uri)}/releases/assets/{asset_id}")
        except NotFoundError:
            return False
        await reply.read_error()
        return True

    async def _drop(self, uri: ObjectURI, asset_id: int) -> None:
        self._stranded.setdefault(uri, set()).add(asset_id)
        await self._delete(uri, asset_id)
        self._stranded[uri].discard(asset_id)

    async def _forget_stranded(self, uri: ObjectURI) -> None:
        for left in self._stranded.pop(uri, ()):
            await self._delete(uri, left)

    async def _find_any(self, uri: ObjectURI) -> Asset | None:
        name = split(uri)
        if name is None:
            return None
        try:
            return (await self._releases.find(uri, name.tag)).assets.get(name.asset)
        except NotFoundError:
            return None


def _failed(task: asyncio.Task[Asset]) -> bool:
    return not task.done() or task.cancelled() or task.exception() is not None


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, StorageError) and error.status is not None and error.status < 500


async def _check(asset: Asset, name: str, body: Body) -> None:
    if asset.name != name:
        raise InvalidRequestError(
            f"GitHub stored the asset as {asset.name!r} instead of {name!r}: it was deleted again"
        )
    if not asset.uploaded or asset.size != body.size:
        raise IntegrityError("GitHub received another size", expected=str(body.size), actual=str(asset.size))
    own = None if asset.checksum is None else await _digest(body)
    if own is not None and own != asset.checksum:
        raise IntegrityError(
            "GitHub received other bytes than were sent", expected=str(own), actual=str(asset.checksum)
        )


async def _digest(body: Body) -> Checksum | None:
    if body.data is not None and body.size > _DIGEST_HERE:
        return await in_thread(body.checksum, ChecksumAlgorithm.SHA256)
    return body.checksum(ChecksumAlgorithm.SHA256)
