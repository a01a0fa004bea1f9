"""
Objects as files, and reads into the caller's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any, Final, Unpack, overload
from weakref import WeakSet

import anyio

from asyncstore._support.argument_types import check_argument
from asyncstore._support.awaitable_context import Opening
from asyncstore.engine.compression import Compression
from asyncstore.engine.download.decoded import DecodedReader
from asyncstore.engine.download.read_into import ReadInto
from asyncstore.engine.download.reader import ObjectReader, open_reader
from asyncstore.engine.progress import measured
from asyncstore.engine.requests import Requests
from asyncstore.engine.upload.encoded import EncodedWriter
from asyncstore.engine.upload.writer import ObjectWriter, open_writer
from asyncstore.errors import InvalidRequestError
from asyncstore.keywords import DownloadFields, StatFields, UploadFields, merged
from asyncstore.options import PLAIN_READ, ByteRange, DownloadOptions, MiB, ReadOptions, UploadOptions
from asyncstore.protocols import ProgressSink
from asyncstore.storage.arguments import Checks
from asyncstore.storage.file_modes import (
    Coding,
    Newline,
    ReadBinary,
    ReadText,
    WriteBinary,
    WriteText,
    parse_mode,
    refuse,
)
from asyncstore.uri import ObjectURI, URILike

if TYPE_CHECKING:
    # collections.abc has it since Python 3.12.
    from typing_extensions import Buffer

# The formats that memoryview.cast() takes, without and with the sign of native order.
_NATIVE: Final = frozenset(f"{sign}{code}" for sign in ("", "@") for code in "cbB?hHiIlLqQnNfd")

_DOWNLOAD: Final = DownloadOptions()
_UPLOAD: Final = UploadOptions()

#: Largest window of read-ahead, and most bytes of the cache, of one file: two windows fit, and three files into the
#: default of ``max_buffer_bytes``.
_READ_AHEAD: Final = 8 * MiB
_CACHE: Final = 16 * MiB


class FileVerbs:
    """
    The verbs that treat an object as a file, or as memory.
    """

    _requests: Requests
    _checks: Checks
    _opened: WeakSet[ObjectReader | ObjectWriter]

    @overload
    def open(
        self,
        uri: URILike,
        mode: ReadBinary = "rb",
        *,
        options: ReadOptions = ...,
        compression: None = None,
        read_ahead: int = ...,
        cache_size: int = ...,
        **fields: Unpack[StatFields],
    ) -> Opening[ObjectReader]: ...
    @overload
    def open(
        self,
        uri: URILike,
        mode: ReadBinary = "rb",
        *,
        options: ReadOptions = ...,
        compression: Compression,
        read_ahead: int = ...,
        cache_size: int = ...,
        **fields: Unpack[StatFields],
    ) -> Opening[DecodedReader[bytes]]: ...
    @overload
    def open(
        self,
        uri: URILike,
        mode: ReadText,
        *,
        options: ReadOptions = ...,
        compression: Compression | None = None,
        encoding: str = "utf-8",
        errors: str = "strict",
        newline: Newline | None = None,
        read_ahead: int = ...,
        cache_size: int = ...,
        **fields: Unpack[StatFields],
    ) -> Opening[DecodedReader[str]]: ...
    @overload
    def open(
        self,
        uri: URILike,
        mode: WriteBinary,
        *,
        options: UploadOptions = ...,
        compression: None = None,
        **fields: Unpack[UploadFields],
    ) -> Opening[ObjectWriter]: ...
    @overload
    def open(
        self,
        uri: URILike,
        mode: WriteBinary,
        *,
        options: UploadOptions = ...,
        compression: Compression,
        **fields: Unpack[UploadFields],
    ) -> Opening[EncodedWriter[bytes]]: ...
    @overload
    def open(
        self,
        uri: URILike,
        mode: WriteText,
        *,
        options: UploadOptions = ...,
        compression: Compression | None = None,
        encoding: str = "utf-8",
        errors: str = "strict",
        newline: Newline | None = None,
        **fields: Unpack[UploadFields],
    ) -> Opening[EncodedWriter[str]]: ...
    def open(
        self,
        uri: URILike,
        mode: str = "rb",
        *,
        options: ReadOptions | UploadOptions | None = None,
        compression: Compression | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: Newline | None = None,
        read_ahead: int | None = None,
        cache_size: int | None = None,
        **fields: Any,
    ) -> Opening[Any]:
        """
        Open an object as an asynchronous file.

        ::

            async with storage.open("logs/today.csv", "r") as lines:
                async for line in lines:
                    ...
            async with storage.open("model.bin") as file:
                await file.seek(-8, os.SEEK_END)
                tail = await file.read(8)
            async with storage.open("result.bin", "wb") as file:
                await file.write(data)
            print(file.info)

        ``await`` opens it for the caller to close. Closing the storage closes its files, and publishes none of them.

        ``"rb"`` and ``"r"`` read one version of the object: a file reads from where it stands, and is an error once the
        object was replaced. ``"wb"`` and ``"w"`` write it: it appears at the end of the block, completely or not
        at all. An exception or a cancellation in the block publishes nothing and leaves no upload. ``"xb"`` and
        ``"x"`` do so only if the object does not exist: that is checked at once, and enforced when it is written. Text
        is read as by Python's :func:`open`, but as UTF-8 unless *encoding* says otherwise, and the ends of lines are
        written unchanged unless *newline* says otherwise. There is no appending and no mode that reads and writes.

        The bytes of a range are compared with no checksum, since services store that of the whole object: those of
        a file that is read with one request are.

        Args:
            options: :class:`ReadOptions` without a range to read, :class:`UploadOptions` to write; or their fields as
                keywords.
            compression: ``"gzip"`` or ``"zstd"`` decompresses what is read and compresses what is written; nothing is
                guessed, and the content encoding stays what *options* say. Such a file cannot be sought in. ``"zstd"``
                needs Python 3.14 or the package ``backports.zstd``.
            encoding, errors, newline: As for Python's :func:`open`; for text only.
            read_ahead: Most bytes that are fetched before they are asked for; 0 fetches nothing ahead. 8 MiB
                unless given, and at most half of *cache_size*.
            cache_size: Most bytes that this file keeps of what was fetched, 16 MiB unless given; 0 keeps nothing. They
                take what is free of ``max_buffer_bytes``, and are dropped when another operation needs it.

        Raises:
            NotFoundError, NotModifiedError, PreconditionFailedError: As :meth:`get`, when it is opened.
            AlreadyExistsError: The object exists, and the write is create-only.
            NotSupportedError: The mode is ``"ab"``, or the service does not tell the size of the object.
            ValueError: The mode is invalid, or an argument does not apply to it.
        """
        letter, text = parse_mode(mode)
        target = self._checks.object(uri) if letter == "r" else self._checks.target(uri)
        if not text:
            refuse(mode, encoding=encoding, errors=errors, newline=newline)
        coding = Coding(compression, text, encoding, errors, newline)
        if letter == "r":
            sizes = _size("read_ahead", read_ahead, _READ_AHEAD), _size("cache_size", cache_size, _CACHE)
            reading: Any = PLAIN_READ if options is None else options
            return Opening(self._reading(target, merged(reading, ReadOptions, fields), sizes, coding))
        refuse(mode, read_ahead=read_ahead, cache_size=cache_size)
        writing: Any = _UPLOAD if options is None else options
        return Opening(self._writing(target, merged(writing, UploadOptions, fields), mode, coding))

    async def _close_files(self) -> None:
        """
        Close the files that are still open, while the connections can abort uploads.
        """
        async with anyio.create_task_group() as group:
            for file in list(self._opened):
                group.start_soon(file.abort if isinstance(file, ObjectWriter) else file.close)

    def _reading(
        self, target: ObjectURI, options: ReadOptions, sizes: tuple[int, int], coding: Coding
    ) -> Callable[[], Coroutine[Any, Any, Any]]:
        checked = self._checks.read_without_range(options, "open")
        decoder = coding.decoder()

        async def start() -> Any:
            reader = await open_reader(self._requests, target, checked, *sizes)
            self._opened.add(reader)
            return reader if coding.plain else DecodedReader(reader, coding.compression, *decoder)

        return start

    def _writing(
        self, target: ObjectURI, options: UploadOptions, mode: str, coding: Coding
    ) -> Callable[[], Coroutine[Any, Any, Any]]:
        self._checks.write(options)
        if "x" in mode and options.if_none_match is None:
            options = replace(options, if_none_match="*")
            self._checks.write(options)
        encoder = coding.encoder()

        async def start() -> Any:
            writer = await open_writer(self._requests, target, options, mode)
            self._opened.add(writer)
            return writer if coding.plain else EncodedWriter(writer, coding.compression, encoder)

        return start

    async def read_into(
        self,
        uri: URILike,
        buffer: Buffer,
        *,
        options: DownloadOptions = _DOWNLOAD,
        progress: ProgressSink | None = None,
        **fields: Unpack[DownloadFields],
    ) -> int:
        """
        Read a whole object, or a range of it, into *buffer*, and return how many bytes.

        *buffer* is any writable, contiguous memory: ``bytearray``, ``memoryview``, ``mmap``, ``array.array``, shared
        memory, a NumPy array. Large objects arrive by concurrent requests, each straight from its connection, without
        a copy in between where the event loop allows it (asyncio's own, also with TLS). Besides the
        buffer, about 2 MiB are in memory for each request.

        The stored checksum is compared at the end, over all parts. After an error or a cancellation the contents of the
        buffer are undefined, but nothing writes to it any more: it can be resized, closed or used again.

        Args:
            options: Range (one that ends past the object is clipped), conditions, version, ``part_size`` (bytes of each
                request) and ``max_concurrency``. What concerns files (``overwrite``, ``sync``, ``resume``) does not
                apply.
            progress: Called in the event loop with cumulative counts, as the bytes arrive; must not block.

        Raises:
            TypeError: *buffer* has no writable, contiguous memory.
            InvalidRequestError: It is smaller than the range, which is refused before anything is sent, or
                than the object, which is known from the head of the first reply.
            NotFoundError, NotModifiedError, PreconditionFailedError: As :meth:`get`.
            RangeNotSatisfiableError: The range starts at or after the end.
            SourceChangedError: The object was replaced between the requests.
            IntegrityError: The bytes received do not match the stored checksum.
        """
        source = self._checks.object(uri)
        options = self._checks.read(merged(options, DownloadOptions, fields), DownloadOptions)
        with _memory(buffer) as memory:
            _check_size(memory, options.range)
            with measured(progress, source) as meter:
                return await ReadInto(self._requests, source, memory, options, meter).run()


def _size(name: str, given: int | None, default: int) -> int:
    check_argument(name, given, int | None)
    if given is not None and given < 0:
        raise ValueError(f"{name} must be 0 or more bytes, not {given}")
    return default if given is None else given


def _memory(buffer: Buffer) -> memoryview:
    """
    Return the memory of *buffer* as bytes, whatever its items are.
    """
    try:
        view = memoryview(buffer)
    except TypeError:
        kind = type(buffer).__name__
        raise TypeError(f"buffer takes memory, such as a bytearray or a NumPy array, not {kind}") from None
    with view:
        if view.readonly or not view.c_contiguous:
            what = "read-only" if view.readonly else "not contiguous"
            raise TypeError(f"buffer takes writable, contiguous memory, and this {type(buffer).__name__} is {what}")
        if view.format in _NATIVE:
            return view.cast("B")
        if isinstance(buffer, memoryview):
            # CPython crashes when it collects a PickleBuffer of a memoryview.
            raise TypeError(
                f"buffer takes the object that has the memory, not a memoryview of its {view.format!r} items"
            )
    # memoryview.cast() knows the formats of struct only, without a byte order; ctypes and NumPy have others.
    return PickleBuffer(buffer).raw()


def _check_size(memory: memoryview, part: ByteRange | None) -> None:
    if part is None:
        return
    wanted = -part.start if part.start < 0 else None if part.end is None else part.end - part.start
    if wanted is not None and wanted > len(memory):
        raise InvalidRequestError(f"the buffer has {len(memory)} bytes, and the range {wanted}")
