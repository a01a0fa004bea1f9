"""
What there is: entries of files and directories, listings, and what else is told of an object.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from fsspec.asyn import get_loop
from fsspec.utils import tokenize

from asyncstore.engine.task_pool import for_each, iterating
from asyncstore.errors import NotFoundError
from asyncstore.integrations.file_errors import file_errors
from asyncstore.integrations.fsspec.places import PathForm, Place
from asyncstore.integrations.fsspec.untyped import AsyncFileSystem, sync_wrapper
from asyncstore.integrations.open_storages import OpenStorages
from asyncstore.storage import Storage
from asyncstore.storage.opening import open_storage
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

Entry = dict[str, Any]

#: Directories listed, and objects looked at, at the same time: the storage has a limit of its own for its requests.
CONCURRENT: Final = 64


class Lookups(AsyncFileSystem):
    """
    The part of a file system that reads no bytes and writes nothing.

    Args:
        asynchronous, loop, batch_size: As for every asynchronous file system of fsspec.
        use_listings_cache, listings_expiry_time, max_paths: As for every file system of fsspec, but off.
        settings: Those of :func:`asyncstore.open_storage`.
    """

    protocol: ClassVar[Any] = "asyncstore"
    #: How paths are written; the class of each provider says it.
    form: PathForm
    _pid: int

    def __init__(
        self,
        *args: Any,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        batch_size: int | None = None,
        use_listings_cache: bool = False,
        listings_expiry_time: float | None = None,
        max_paths: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(
            *args,
            asynchronous=asynchronous,
            loop=loop,
            batch_size=batch_size,
            use_listings_cache=use_listings_cache,
            listings_expiry_time=listings_expiry_time,
            max_paths=max_paths,
        )
        self._settings = self._translated(settings)
        self._storages = OpenStorages(self._open_root)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """
        The event loop in which the methods that are not coroutines run.
        """
        if self._pid != os.getpid():
            # The thread of the old one exists in the parent process only.
            self._pid = os.getpid()
            if not self.asynchronous:
                self._loop = get_loop()
        loop: asyncio.AbstractEventLoop | None = self._loop
        return loop

    async def aclose(self) -> None:
        """
        Close the connections of the running event loop; the file system opens others when it is used again.

        Programs need not call it.
        """
        await self._storages.aclose()

    # What there is

    async def _info(self, path: str, *, refresh: bool = False, version_id: str | None = None, **_kwargs: Any) -> Entry:
        path = self._strip_protocol(path)
        place = self._place(path)
        if place is None:
            return _directory(path)
        if not refresh and version_id is None and (known := self._ls_from_cache(path)) is not None:
            return next((entry for entry in known if entry["name"] == path), _directory(path))
        with file_errors():
            storage = self._storages.get(place.root)
            if place.key:
                try:
                    found = await storage.stat(storage.root / place.key, version_id=version_id)
                except NotFoundError:
                    if version_id is not None:
                        raise
                else:
                    return self.entry(place, found)
            if await self.any_below(place) or not place.key:
                return _directory(path)
        raise _missing(path)

    async def _ls(self, path: str, detail: bool = True, *, refresh: bool = False, **_kwargs: Any) -> list[Any]:
        path = self._strip_protocol(path)
        entries = None if refresh else self.dircache.get(path)
        if entries is None:
            entries = await self._children(self.place_of(path))
            if entries is None:
                info = await self._info(path, refresh=True)
                entries = [info] if info["type"] == "file" else []
            else:
                self.dircache[path] = entries
        return entries if detail else sorted(entry["name"] for entry in entries)

    async def _children(self, place: Place, prefix: str = "") -> list[Entry] | None:
        """
        Return what is directly in a directory and has a name that starts with *prefix*; ``None`` if there is nothing.
        """
        entries = []
        found = False
        with file_errors():
            storage = self._storages.get(place.root)
            async for info in storage.list(storage.root / f"{place.folder}{prefix}", delimiter="/"):
                found = True
                # A marker of the directory itself has its name.
                if info.name != place.folder:
                    entries.append(self.entry(place, info))
        return entries if found else None

    async def _find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        *,
        detail: bool = False,
        prefix: str = "",
        **_kwargs: Any,
    ) -> Any:
        if maxdepth is not None and maxdepth < 1:
            raise ValueError(f"maxdepth must be at least 1, not {maxdepth}")
        path = self._strip_protocol(path)
        place = self.place_of(path)
        if maxdepth is None:
            found = await self._everything(place, prefix)
        else:
            found = await self._levels(place, maxdepth, prefix)
        if found and withdirs and not prefix and path:
            found[path] = _directory(path)
        elif not found and not prefix:
            try:
                found = {path: await self._info(path)}
            except FileNotFoundError:
                found = {}
        kept = {name: found[name] for name in sorted(found) if withdirs or found[name]["type"] == "file"}
        return kept if detail else list(kept)

    async def _everything(self, place: Place, prefix: str) -> dict[str, Entry]:
        """
        Return all objects below a directory, by one listing, and the directories that their keys tell.
        """
        found: dict[str, Entry] = {}
        top = len(place.prefix + place.key)
        with file_errors():
            storage = self._storages.get(place.root)
            async for info in storage.list(storage.root / f"{place.folder}{prefix}"):
                entry = self.entry(place, info)
                above = entry["name"] if entry["type"] == "directory" else entry["name"].rpartition("/")[0]
                while len(above) > top and above not in found:
                    found[above] = _directory(above)
                    above = above.rpartition("/")[0]
                if entry["type"] == "file":
                    found[entry["name"]] = entry
        return found

    async def _levels(self, place: Place, depth: int, prefix: str = "") -> dict[str, Entry]:
        """
        Return what is at most *depth* levels below a directory.
        """
        found = {entry["name"]: entry for entry in await self._children(place, prefix) or ()}
        if depth > 1:

            async def below(entry: Entry) -> None:
                found.update(await self._levels(self.place_of(entry["name"]), depth - 1))

            folders = [entry for entry in found.values() if entry["type"] == "directory"]
            await for_each(folders, below, max_concurrency=CONCURRENT)
        return found

    async def _du(self, path: str, total: bool = True, maxdepth: int | None = None, **kwargs: Any) -> Any:
        sizes = {
            name: entry["size"] for name, entry in (await self._find(path, maxdepth, detail=True, **kwargs)).items()
        }
        return sum(sizes.values()) if total else sizes

    async def _checksum(self, path: str) -> int:
        info = await self._info(path, refresh=True)
        return int(tokenize(*(info.get(name) for name in ("name", "etag", "size", "version_id"))), 16)

    async def _ukey(self, path: str) -> str:
        info = await self._info(path, refresh=True)
        return str(tokenize(*(info.get(name) for name in ("name", "etag", "size", "mtime", "version_id"))))

    async def _modified(self, path: str) -> datetime:
        info = await self._info(path, refresh=True)
        if info["type"] != "file":
            raise IsADirectoryError(f"{path} is a directory, and those have no times")
        moment: datetime = info["mtime"]
        return moment

    checksum = sync_wrapper(_checksum)
    ukey = sync_wrapper(_ukey)
    modified = sync_wrapper(_modified)
    # Objects are not modified: each write creates another one.
    created = sync_wrapper(_modified)

    async def _sign(self, path: str, expiration: float = 100, *, method: str = "GET", **_kwargs: Any) -> str:
        place = self.object_of(path)
        with file_errors():
            storage = self._storages.get(place.root)
            expires = timedelta(seconds=expiration)
            return await storage.presign(storage.root / place.key, method=method, expires=expires)

    sign = sync_wrapper(_sign)

    # Where it is

    async def any_below(self, place: Place) -> bool:
        """
        Return whether there is an object in a directory.
        """
        storage = self._storages.get(place.root)
        async with iterating(storage.list(storage.root / place.folder, page_size=1)) as objects:
            async for _ in objects:
                return True
        return False

    def located(self, path: str) -> tuple[Storage, ObjectURI]:
        """
        Return the storage of the running event loop, and the object in it, that *path* leads to.
        """
        place = self.object_of(path)
        storage = self._storages.get(place.root)
        return storage, storage.root / place.key

    def entry(self, place: Place, info: ObjectInfo) -> Entry:
        """
        Return *info* as fsspec describes a file or a directory.
        """
        if info.is_prefix or info.is_folder or info.key.endswith("/"):
            return _directory(place.prefix + info.name.rstrip("/"))
        entry: Entry = {
            "name": place.prefix + info.name,
            "size": info.size,
            "type": "file",
            "etag": info.etag,
            "mtime": info.last_modified,
        }
        if info.version_id is not None:
            entry["version_id"] = info.version_id
        if info.storage_class is not None:
            entry["storage_class"] = info.storage_class
        for name in ("content_type", "content_encoding", "metadata"):
            if value := getattr(info, name, None):
                entry[name] = value
        return entry

    def invalidate_cache(self, path: str | None = None) -> None:
        """
        Forget the listings of *path* and of the directories above it, or all.
        """
        if path is None:
            self.dircache.clear()
        else:
            path = self._strip_protocol(path)
            while path and path != self.root_marker:
                self.dircache.pop(path, None)
                path = self._parent(path)
        super().invalidate_cache(path)

    def _place(self, path: str) -> Place | None:
        return self.form.place(path)

    def place_of(self, path: str) -> Place:
        """
        Return where *path* leads: to an object, a directory or a bucket.
        """
        place = self._place(path)
        if place is None:
            raise OSError(f"{path!r} names no {self.form.example}, and those cannot be listed: write one")
        return place

    def object_of(self, path: str) -> Place:
        """
        Return where *path*, which can begin with a protocol, leads: to an object or a directory.
        """
        place = self.place_of(self._strip_protocol(path))
        if not place.key:
            raise IsADirectoryError(f"{path} is not an object: write {self.form.example}/key")
        return place

    def _open_root(self, root: str) -> Storage:
        return open_storage(root, **self._settings)

    def _translated(self, settings: dict[str, Any]) -> dict[str, Any]:
        """
        Return *settings* with the names that :func:`asyncstore.open_storage` has for them.
        """
        return settings


def _directory(path: str) -> Entry:
    return {"name": path, "size": 0, "type": "directory"}


def _missing(path: str) -> FileNotFoundError:
    return FileNotFoundError(f"{path} does not exist")
