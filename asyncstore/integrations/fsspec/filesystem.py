"""
Every provider as a file system of fsspec.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Final

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.compression import compr
from fsspec.core import get_compression

from asyncstore.engine.task_pool import for_each, iterating
from asyncstore.errors import NotSupportedError, RangeNotSatisfiableError
from asyncstore.integrations.file_errors import as_file_error, file_errors
from asyncstore.integrations.fsspec.files import StoredFile, StreamedFile
from asyncstore.integrations.fsspec.lookups import CONCURRENT, Entry, Lookups
from asyncstore.integrations.fsspec.places import Place
from asyncstore.integrations.fsspec.untyped import sync_wrapper
from asyncstore.options import BulkOptions, ByteRange
from asyncstore.protocols import ProgressSink
from asyncstore.storage.copy_between import copy_between
from asyncstore.types import ProgressEvent
from asyncstore.uri import ObjectURI

_FAILURES: Final = BulkOptions(keep="failures")


class AsyncstoreFileSystem(Lookups):
    """
    The objects of one provider as files: ``bucket/directory/name``.

    Directories are what the keys of objects say: they exist as long as something is in them. ``mkdir`` therefore does
    nothing, except that it raises an error for a bucket that does not exist. A file that is written appears when
    it is closed, completely or not at all.

    Errors are those of files (:class:`FileNotFoundError`, :class:`PermissionError` ...), with the
    :class:`~asyncstore.StorageError` as ``__cause__``. Operations that write take the fields of
    :class:`~asyncstore.UploadOptions` as keywords, such as ``content_type``; those that read take ``version_id``.

    Connections are opened on first use, one set for each bucket and event loop, and closed at the end of the process,
    or when the event loop ends. A forked process opens its own.

    Args:
        asynchronous, loop, batch_size: As for every asynchronous file system of fsspec.
        use_listings_cache: Keep listings, and answer from them. Off, so that what others write is seen at once.
        listings_expiry_time: Seconds after which a listing is forgotten.
        max_paths: Most listings that are kept.
        settings: Those of :func:`asyncstore.open_storage`, ``profile`` included.
    """

    # Reading

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, *, version_id: str | None = None, **_kw: Any
    ) -> bytes:
        place = self.object_of(path)
        with file_errors():
            storage = self._storages.get(place.root)
            uri = storage.root / place.key
            if start is None and end is None:
                return await storage.read(uri, version_id=version_id)
            begin = start or 0
            if end is not None and min(begin, end) < 0:
                # From the end, as in a slice.
                begin, end, _ = slice(begin, end).indices((await storage.stat(uri, version_id=version_id)).size)
            part = ByteRange(begin, end if end is None else max(begin, end))
            try:
                return await storage.read(uri, range=part, version_id=version_id)
            except RangeNotSatisfiableError:
                # As a file that is read after its end.
                return b""

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """
        Return ranges of files: those of one file that are close together share a request, whatever *max_gap* says.
        """
        if not isinstance(paths, list):
            raise TypeError(f"paths takes a list, not {type(paths).__name__}")
        starts = list(starts) if isinstance(starts, Iterable) else [starts] * len(paths)
        ends = list(ends) if isinstance(ends, Iterable) else [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError(f"there are {len(paths)} paths, {len(starts)} starts and {len(ends)} ends")
        by_path: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            by_path.setdefault(path, []).append(index)
        out: list[Any] = [b""] * len(paths)

        async def fetch(item: tuple[str, list[int]]) -> None:
            path, indices = item
            try:
                got = await self._ranges(path, [(starts[index], ends[index]) for index in indices], **kwargs)
            except (OSError, ValueError) as exc:
                if on_error != "return":
                    raise
                got = [exc] * len(indices)
            for index, data in zip(indices, got, strict=True):
                out[index] = data

        await for_each(by_path.items(), fetch, max_concurrency=batch_size or self.batch_size or CONCURRENT)
        return out

    async def _ranges(self, path: str, bounds: list[tuple[Any, Any]], **kwargs: Any) -> list[Any]:
        place = self.object_of(path)
        plain = all(start is not None and end is not None and 0 <= start <= end for start, end in bounds)
        if plain and len(bounds) > 1:
            storage = self._storages.get(place.root)
            parts = [ByteRange(*each) for each in bounds]
            try:
                with file_errors():
                    return list(await storage.read_ranges(storage.root / place.key, parts, **kwargs))
            except OSError as exc:
                if not isinstance(exc.__cause__, RangeNotSatisfiableError):
                    raise
        return [await self._cat_file(path, start, end, **kwargs) for start, end in bounds]

    async def _get_file(self, rpath: str, lpath: str, callback: Callback = DEFAULT_CALLBACK, **options: Any) -> None:
        target = Path(lpath)
        # Of what get() copies recursively, directories are a part.
        if target.is_dir():  # noqa: ASYNC240 - one look, as often as a file is opened
            return
        place = self.object_of(rpath)
        try:
            with file_errors():
                storage = self._storages.get(place.root)
                # Not flushed to disk, as programs that use fsspec are used to.
                options = {"sync": False, **options}
                await storage.download(storage.root / place.key, target, progress=_told(callback), **options)
        except FileNotFoundError:
            if not await self._isdir(rpath):
                raise
            target.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240

    # Writing

    async def _pipe_file(self, path: str, value: Any, mode: str = "overwrite", **options: Any) -> None:
        place = self.object_of(path)
        with file_errors():
            storage = self._storages.get(place.root)
            await storage.put(storage.root / place.key, value, **await self.exclusive(path, mode, options))
        self.invalidate_cache(path)

    async def _put_file(
        self, lpath: str, rpath: str, callback: Callback = DEFAULT_CALLBACK, mode: str = "overwrite", **options: Any
    ) -> None:
        source = Path(lpath)
        if source.is_dir():  # noqa: ASYNC240
            return
        place = self.object_of(rpath)
        with file_errors():
            storage = self._storages.get(place.root)
            options = await self.exclusive(rpath, mode, options)
            await storage.upload(source, storage.root / place.key, progress=_told(callback), **options)
        self.invalidate_cache(rpath)

    async def exclusive(self, path: str, mode: str, options: dict[str, Any]) -> dict[str, Any]:
        """
        Return *options* with the condition of *mode*.
        """
        if mode not in ("create", "overwrite"):
            raise ValueError(f"mode takes 'overwrite' or 'create', not {mode!r}")
        if mode == "overwrite":
            return options
        place = self.object_of(path)
        if self._storages.get(place.root).capabilities.conditional_create:
            return {**options, "if_none_match": "*"}
        # Without such a condition, check first: another writer can still come between.
        if await self._exists(path):
            raise FileExistsError(f"{path} exists")
        return options

    async def _touch(self, path: str, truncate: bool = True, **options: Any) -> None:
        if not truncate and await self._exists(path):
            raise NotImplementedError(f"{path} exists, and the time of an object cannot be changed without writing it")
        await self._pipe_file(path, b"", **options)

    touch = sync_wrapper(_touch)

    async def _cp_file(self, path1: str, path2: str, **options: Any) -> None:
        source, target = self.object_of(path1), self.object_of(path2)
        try:
            with file_errors():
                await self._copied(source, target, options)
        except FileNotFoundError:
            # Directories are where their objects are.
            if not await self._isdir(path1):
                raise
        self.invalidate_cache(path2)

    async def _copied(self, source: Place, target: Place, options: dict[str, Any]) -> None:
        storage, other = self._storages.get(source.root), self._storages.get(target.root)
        if storage is other:
            try:
                await storage.copy(storage.root / source.key, storage.root / target.key, **options)
                return
            except NotSupportedError:
                if storage.capabilities.copy:
                    raise
        await copy_between(storage, storage.root / source.key, other, other.root / target.key, **options)

    async def _mkdir(self, path: str, create_parents: bool = True, **_kwargs: Any) -> None:
        place = self.place_of(self._strip_protocol(path))
        if not place.key:
            # Buckets have owners, regions and bills: they are made with the provider's own tools.
            with file_errors():
                await self.any_below(place)
            raise FileExistsError(f"{path} exists")

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        try:
            await self._mkdir(path)
        except FileExistsError:
            if not exist_ok:
                raise

    async def _rmdir(self, path: str) -> None:
        children = await self._ls(path, refresh=True)
        if children:
            raise OSError(f"{path} is not an empty directory")
        place = self.object_of(path)
        with file_errors():
            storage = self._storages.get(place.root)
            await storage.delete(storage.root / place.folder)
        self.invalidate_cache(path)

    rmdir = sync_wrapper(_rmdir)

    async def _rm_file(self, path: str, **_kwargs: Any) -> None:
        place = self.object_of(path)
        try:
            with file_errors():
                storage = self._storages.get(place.root)
                await storage.delete(storage.root / place.key, missing_ok=False)
        except FileNotFoundError:
            if await self._isdir(path):
                raise IsADirectoryError(f"{path} is a directory: delete it with recursive=True") from None
            raise
        self.invalidate_cache(path)

    async def _rm(
        self,
        path: str | list[str],
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **_kwargs: Any,
    ) -> None:
        entries: dict[str, Entry] = {}

        async def look(name: str) -> None:
            entries[name] = await self._info(name, refresh=True)

        names = await self._expand_path(path)
        await for_each(names, look, max_concurrency=batch_size or self.batch_size or CONCURRENT)
        roots: dict[str, list[Entry]] = {}
        named = {self._strip_protocol(each) for each in ([path] if isinstance(path, str) else path)}
        for name, entry in entries.items():
            if entry["type"] == "directory" and not recursive:
                if name not in named:
                    # Of what a pattern matches, only the files.
                    continue
                raise IsADirectoryError(f"{name} is a directory: delete it with recursive=True")
            roots.setdefault(self.place_of(name).root, []).append(entry)
        for root, chosen in roots.items():
            result = await self._storages.get(root).bulk_delete(self._doomed(chosen, maxdepth), options=_FAILURES)
            for failure in result.failures:
                assert failure.error is not None
                raise as_file_error(failure.error) from failure.error
        for name in entries:
            self.invalidate_cache(name)

    async def _doomed(self, entries: list[Entry], maxdepth: int | None) -> AsyncIterator[ObjectURI]:
        """
        Yield the objects that *entries*, all of one root, are and have below them.
        """
        for entry in entries:
            place = self.place_of(entry["name"])
            storage = self._storages.get(place.root)
            if entry["type"] == "file":
                yield storage.root / place.key
            elif maxdepth is None:
                # With the markers of directories.
                async with iterating(storage.list(storage.root / place.folder)) as objects:
                    async for info in objects:
                        yield info.uri
            else:
                for name in await self._find(entry["name"], maxdepth):
                    yield storage.root / self.object_of(name).key

    # Files

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Open a file: :class:`StoredFile`, or one for text or compressed bytes over it.
        """
        known = {"block_size": block_size, "cache_options": cache_options, **kwargs}
        if compression is None or "b" not in mode:
            return super().open(path, mode, compression=compression, **known)
        stored = super().open(path, mode, **known)
        coded: Any = compr[get_compression(path, compression)](stored, mode=mode[0])
        if coded is not stored:
            # These leave the file below open, and one that is not closed is not published.
            close = coded.close
            coded.close = lambda: (close(), stored.close())
        return coded

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> StoredFile:
        return StoredFile(self, path, mode, **kwargs)

    async def open_async(self, path: str, mode: str = "rb", **kwargs: Any) -> StreamedFile:
        """
        Open a file whose methods are coroutines: ``"rb"``, ``"wb"`` or ``"xb"``.
        """
        path = self._strip_protocol(path)
        place = self.object_of(path)
        kwargs.pop("size", None)
        with file_errors():
            storage = self._storages.get(place.root)
            opened: Any = await storage.open(storage.root / place.key, mode, **kwargs)  # type: ignore[call-overload]  # any mode
        return StreamedFile(self, path, mode, opened)


def _told(callback: Callback) -> ProgressSink | None:
    """
    Return a sink that tells *callback* the bytes of one object.
    """
    if callback is DEFAULT_CALLBACK:
        return None

    def sink(event: ProgressEvent) -> None:
        if event.bytes_total is not None and event.bytes_total != callback.size:
            callback.set_size(event.bytes_total)
        callback.absolute_update(event.bytes_done)

    return sink
