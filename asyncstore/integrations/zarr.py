"""
A store for zarr on every provider. Needs ``asyncstore[zarr]``.

::

    store = AsyncstoreStore("s3://bucket/climate.zarr", region="eu-central-1")
    array = zarr.open_array(store, mode="r")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any, Final, Self, Unpack

try:
    from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype
    from zarr.core.buffer.core import default_buffer_prototype
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(f"{exc.name} is not installed: pip install 'asyncstore[zarr]'") from None

from asyncstore.engine.task_pool import for_each
from asyncstore.errors import AlreadyExistsError, NotFoundError, RangeNotSatisfiableError
from asyncstore.integrations.file_errors import file_errors
from asyncstore.integrations.open_storages import OpenStorages
from asyncstore.options import BulkOptions, ByteRange
from asyncstore.settings import Settings
from asyncstore.storage import Storage
from asyncstore.storage.opening import open_storage

# Objects read at the same time by get_partial_values(): the storage has a limit of its own for its requests.
_CONCURRENT: Final = 64

_FAILURES: Final = BulkOptions(keep="failures", stop_on_error=True)


class AsyncstoreStore(Store):
    """
    The objects below a URI as a zarr store.

    zarr runs in an event loop of its own, so the store opens its connections itself, on first use and once for each
    event loop. They are closed with the store or its event loop, and at the end of the process. It can be pickled, with
    its settings: give credentials by reference, such as a profile, where they must not be sent.

    Args:
        uri: The bucket or prefix that contains the hierarchy.
        read_only: Refuse writes.
        settings: Those of :func:`asyncstore.open_storage`.
    """

    def __init__(self, uri: str, *, read_only: bool = False, **settings: Unpack[Settings]) -> None:
        super().__init__(read_only=read_only)
        self._uri = uri
        self._settings = settings
        self._storages = OpenStorages(self._open_root)

    def with_read_only(self, read_only: bool = False) -> Self:
        """
        Return a store of the same objects that refuses writes, or does not.
        """
        return type(self)(self._uri, read_only=read_only, **self._settings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._state() == other._state()

    def __hash__(self) -> int:
        return hash((self._uri, self.read_only))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), *self._state())

    def __str__(self) -> str:
        return self._uri

    def __repr__(self) -> str:
        # Without the settings, which can be secret.
        return f"{type(self).__name__}({self._uri!r})"

    def _state(self) -> tuple[str, bool, Settings]:
        return self._uri, self.read_only, self._settings

    def _open_root(self, root: str) -> Storage:
        return open_storage(root, **self._settings)

    async def _ready(self) -> Storage:
        if not self._is_open:
            await self._open()
        return self._storages.get(self._uri)

    def close(self) -> None:
        """
        Close the connections; the event loops that they are in do so when they get to it.
        """
        super().close()
        self._storages.drop()

    # Reading

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """
        Return an object or a range of it; ``None`` if the object does not exist.
        """
        storage = await self._ready()
        part = _part(byte_range)
        buffer = (prototype or default_buffer_prototype()).buffer
        try:
            data = await storage.read(storage.root / key, range=part)
        except NotFoundError:
            return None
        except RangeNotSatisfiableError:
            # As a slice after the end.
            data = b""
        return buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """
        Return objects or ranges of them: ranges of one object that are close together share a request.
        """
        storage = await self._ready()
        asked = list(key_ranges)
        got: list[Buffer | None] = [None] * len(asked)
        by_key: dict[str, list[int]] = {}
        for index, (key, _) in enumerate(asked):
            by_key.setdefault(key, []).append(index)

        async def fetch(item: tuple[str, list[int]]) -> None:
            key, indices = item
            parts = [_part(asked[index][1]) or ByteRange(0) for index in indices]
            if len(indices) > 1:
                try:
                    values = await storage.read_ranges(storage.root / key, parts)
                except NotFoundError:
                    return
                except RangeNotSatisfiableError:
                    # One of them is after the end, or the object is empty.
                    pass
                else:
                    for index, data in zip(indices, values, strict=True):
                        got[index] = prototype.buffer.from_bytes(data)
                    return
            for index in indices:
                got[index] = await self.get(key, prototype, asked[index][1])

        await for_each(by_key.items(), fetch, max_concurrency=_CONCURRENT)
        return got

    async def exists(self, key: str) -> bool:
        """
        Return whether there is an object.
        """
        storage = await self._ready()
        return await storage.exists(storage.root / key)

    async def getsize(self, key: str) -> int:
        """
        Return the bytes of an object, by a request for its metadata.

        Raises:
            FileNotFoundError: There is none.
        """
        storage = await self._ready()
        with file_errors():
            return (await storage.stat(storage.root / key)).size

    async def getsize_prefix(self, prefix: str) -> int:
        """
        Return the bytes of all objects below the array or group at *prefix*, by listing them.
        """
        storage = await self._ready()
        return sum([info.size async for info in storage.list(storage.root / _folder(prefix))])

    # Writing

    @property
    def supports_writes(self) -> bool:
        """``True``."""
        return True

    async def set(self, key: str, value: Buffer) -> None:
        """
        Write an object, which appears completely or not at all.
        """
        self._check_writable()
        storage = await self._ready()
        await storage.put(storage.root / key, _bytes_of(value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """
        Write an object unless there is one, which the provider decides where it can.
        """
        self._check_writable()
        storage = await self._ready()
        if not storage.capabilities.conditional_create:
            await super().set_if_not_exists(key, value)
            return
        with suppress(AlreadyExistsError):
            await storage.put(storage.root / key, _bytes_of(value), if_none_match="*")

    @property
    def supports_deletes(self) -> bool:
        """``True``."""
        return True

    async def delete(self, key: str) -> None:
        """
        Delete an object; a missing one is not an error.
        """
        self._check_writable()
        storage = await self._ready()
        await storage.delete(storage.root / key)

    async def delete_dir(self, prefix: str) -> None:
        """
        Delete all objects below a prefix, with as few requests as the provider allows.
        """
        self._check_writable()
        storage = await self._ready()
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        objects = (info.uri async for info in storage.list(storage.root / folder))
        await storage.bulk_delete(objects, options=_FAILURES)

    # Listing

    @property
    def supports_listing(self) -> bool:
        """``True``."""
        return True

    async def list(self) -> AsyncIterator[str]:
        """
        Yield all keys.
        """
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """
        Yield the keys that begin with *prefix*, with it.
        """
        storage = await self._ready()
        async for info in storage.list(storage.root / prefix):
            yield info.name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """
        Yield the names of objects and prefixes directly below *prefix*.
        """
        storage = await self._ready()
        folder = _folder(prefix)
        async for info in storage.list(storage.root / folder, delimiter="/"):
            if name := info.name.removeprefix(folder).rstrip("/"):
                yield name


def _rebuilt(kind: type[AsyncstoreStore], uri: str, read_only: bool, settings: Settings) -> AsyncstoreStore:
    return kind(uri, read_only=read_only, **settings)


def _folder(prefix: str) -> str:
    return f"{prefix.rstrip('/')}/" if prefix else ""


def _part(request: ByteRequest | None) -> ByteRange | None:
    match request:
        case None:
            return None
        case RangeByteRequest(start, end):
            return ByteRange(start, end)
        case OffsetByteRequest(offset):
            return ByteRange(offset)
        case SuffixByteRequest(suffix):
            return ByteRange(-suffix)
    raise ValueError(f"Unexpected byte_range, got {request!r}")


def _bytes_of(value: Buffer) -> Any:
    if not isinstance(value, Buffer):
        raise TypeError(f"a value is a zarr Buffer, not {type(value).__name__}")
    return memoryview(value.as_buffer_like())
