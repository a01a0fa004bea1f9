"""
Parts of files that the system sends from its cache.
"""

import asyncio
import errno
import os
import ssl
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from asyncstore import open_storage
from asyncstore.checksum import compute
from asyncstore.config import HTTPOptions
from asyncstore.driver.body import FileRange
from asyncstore.engine.upload.file_source import CHUNK, FilePart, FileSource
from asyncstore.errors import IntegrityError, SourceChangedError, UnavailableError
from asyncstore.http import HTTPClient
from asyncstore.http.origin import Origin
from asyncstore.options import MiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.servers.gcs import GCSServer, Settings
from asyncstore.types import ChecksumAlgorithm
from tests.build import open_files, patterned, written
from tests.http.sending import sent
from tests.servers.scripted import OK, Exchange, scripted, wait
from tests.servers.tls import ThrowawayCA

CRC32C = ChecksumAlgorithm.CRC32C
DATA = patterned(6 * MiB + 100)
_sendfile = os.sendfile

pytestmark = pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="this system does not tell what it has in memory")


class Sending:
    """
    Counts what the system sends, and does it in another way if a test says so.
    """

    def __init__(self) -> None:
        self.size = 0
        self.calls = 0
        self.instead: Callable[[int, int, int, int], int] | None = None

    def __call__(self, out: int, file: int, offset: int, size: int) -> int:
        self.calls += 1
        count = (self.instead or _sendfile)(out, file, offset, size)
        self.size += count
        return count


@pytest.fixture
def sending(monkeypatch: pytest.MonkeyPatch) -> Sending:
    found = Sending()
    monkeypatch.setattr(os, "sendfile", found)
    return found


class Received:
    """
    The bodies that a scripted server received.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, exchange: Exchange) -> None:
        self.bodies.append(await exchange.body())
        await exchange.send(OK)


async def prepared(file: FileSource, start: int = 0, end: int = len(DATA)) -> FilePart:
    assert await file.open() is None
    part = file.part(start, end)
    await part.prepare(CRC32C)
    if not file.is_cached(start, end - start):
        pytest.skip("this file system does not tell what it has in memory")
    return part


async def test_a_part_is_copied_once(tmp_path: Path, sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is read for the checksum; afterwards only its first MiB is read, to be sent with the head of the request.
    """
    reads: list[int] = []
    read = os.preadv

    def counting(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        reads.append(len(buffers[0]))
        return read(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", counting)
    received = Received()
    async with FileSource(written(tmp_path / "file", DATA)) as file, scripted(received) as server:
        part = await prepared(file, 100)
        assert 200 == (await sent(server, "PUT", part)).status

    assert [DATA[100:]] == received.bodies
    assert compute(CRC32C, DATA[100:]) == part.checksum(CRC32C)
    assert part.size - CHUNK == sending.size
    # Apart from the single bytes that tell whether the system has the others.
    assert part.size + CHUNK == sum(size for size in reads if size > 1)


async def test_without_a_checksum_the_bytes_are_read(tmp_path: Path, sending: Sending) -> None:
    """
    The checksum that is computed while a part is sent is that of the bytes that were sent.
    """
    received = Received()
    async with FileSource(written(tmp_path / "file", DATA)) as file, scripted(received) as server:
        assert await file.open() is None
        part = file.part(0, len(DATA), algorithm=CRC32C)
        await sent(server, "PUT", part)

    assert [DATA] == received.bodies
    assert (0, compute(CRC32C, DATA)) == (sending.calls, part.checksum(CRC32C))


async def test_what_is_not_in_memory_is_read_in_a_thread(
    tmp_path: Path, sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Sending never waits for the disk in the event loop.
    """
    received = Received()
    async with FileSource(written(tmp_path / "file", DATA)) as file, scripted(received) as server:
        part = await prepared(file)
        monkeypatch.setattr(FileSource, "read_cached", lambda *_: False)
        await sent(server, "PUT", part)

    assert [DATA] == received.bodies
    assert 0 == sending.calls


@pytest.mark.parametrize("after", [0, 2])
async def test_a_system_that_cannot_send_the_file(tmp_path: Path, sending: Sending, after: int) -> None:
    """
    The rest is read and sent, from the byte on that was sent last.
    """

    def fails(out: int, file: int, offset: int, size: int) -> int:
        if sending.calls > after:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return _sendfile(out, file, offset, min(size, 1000))

    sending.instead = fails
    received = Received()
    async with FileSource(written(tmp_path / "file", DATA)) as file, scripted(received) as server:
        await sent(server, "PUT", await prepared(file))

    assert [DATA] == received.bodies
    assert 1000 * after == sending.size


async def test_a_file_that_becomes_shorter(tmp_path: Path, sending: Sending) -> None:
    path = written(tmp_path / "file", DATA)

    def shortens(out: int, file: int, offset: int, size: int) -> int:
        os.truncate(path, 2 * MiB)
        return _sendfile(out, file, offset, size)

    sending.instead = shortens
    async with FileSource(path) as file, scripted(Received()) as server:
        with pytest.raises(SourceChangedError, match="file became shorter"):
            await sent(server, "PUT", await prepared(file))


async def test_tls(tmp_path: Path, sending: Sending, tls_ca: ThrowawayCA) -> None:
    """
    What is encrypted in this process is read.
    """
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tls_ca.cert_file, tls_ca.key_file)
    received = Received()
    async with FileSource(written(tmp_path / "file", DATA)) as file, scripted(received, tls=tls) as server:
        client = HTTPClient(HTTPOptions(ca_file=tls_ca.ca_file))
        await client.send("PUT", Origin.parse(server.url), "/", {}, await prepared(file))
        await client.aclose()

    assert [DATA] == received.bodies
    assert 0 == sending.calls


@pytest.mark.parametrize("end", ["lost", "cancelled"])
async def test_a_request_that_ends_early_leaves_nothing_open(tmp_path: Path, sending: Sending, end: str) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def some(exchange: Exchange) -> None:
        await exchange.reader.readexactly(2 * MiB)
        began.set()
        if end == "lost":
            exchange.writer.transport.abort()
        else:
            with suppress(ConnectionError):
                while await exchange.reader.read(MiB):
                    pass
        ended.set()

    path = written(tmp_path / "file", DATA)
    os.truncate(path, 64 * MiB)
    async with FileSource(path) as file, scripted(some) as server:
        part = await prepared(file, 0, 64 * MiB)
        before = open_files()
        request = asyncio.ensure_future(sent(server, "PUT", part))
        await began.wait()
        if end == "cancelled":
            request.cancel()
        with pytest.raises(asyncio.CancelledError if end == "cancelled" else UnavailableError):
            await request
        await ended.wait()
        while not open_files() <= before:
            # The server's end closes soon.
            await asyncio.sleep(0)

    assert 0 < sending.size < 64 * MiB


async def test_a_server_that_stops_reading(tmp_path: Path, sending: Sending) -> None:
    path = written(tmp_path / "file", DATA)
    os.truncate(path, 64 * MiB)
    async with FileSource(path) as file, scripted(wait) as server:
        with pytest.raises(UnavailableError, match="read nothing"):
            await sent(server, "PUT", await prepared(file, 0, 64 * MiB), stall_timeout=0.2)

    assert 0 < sending.size < 64 * MiB


async def test_chunks_are_never_ranges(tmp_path: Path) -> None:
    """
    A driver that takes chunks gets bytes; ranges come only after the chunk that goes with the head of a request.
    """
    async with FileSource(written(tmp_path / "file", DATA)) as file:
        part = await prepared(file)
        chunks = [bytes(chunk) async for chunk in part.chunks()]
        async with aclosing(part._produce(with_ranges=True)) as pieces:
            kinds = [isinstance(piece, FileRange) async for piece in pieces]

    assert DATA == b"".join(chunks)
    assert [False] + [True] * 6 == kinds


class TestCorruption:
    """
    What the system sends is not what was read for the checksum.
    """

    @pytest.fixture
    async def server(self) -> GCSServer:
        return GCSServer(buckets=["bucket"], settings=Settings(tokens=["t"]))

    async def test_on_the_way(self, server: GCSServer, tmp_path: Path, sending: Sending) -> None:
        """
        The part is refused twice, and nothing is published.
        """

        def corrupts(out: int, file: int, offset: int, size: int) -> int:
            data = bytearray(os.pread(file, min(size, 10_000), offset))
            data[0] ^= 1
            return os.write(out, data)

        sending.instead = corrupts
        await self._fails(server, IntegrityError, written(tmp_path / "file", DATA))

    async def test_once_on_the_way(self, server: GCSServer, tmp_path: Path, sending: Sending) -> None:
        """
        The part is refused and sent again.
        """

        def corrupts(out: int, file: int, offset: int, size: int) -> int:
            data = bytearray(os.pread(file, min(size, 10_000), offset))
            data[0] ^= sending.calls == 1
            return os.write(out, data)

        path = written(tmp_path / "file", DATA)
        async with server, open_storage("gs://bucket", endpoint_url=server.url, token="t") as storage:
            if not await _is_cached(path):
                pytest.skip("this file system does not tell what it has in memory")
            sending.instead = corrupts
            await _upload(storage, path)
            assert DATA == await storage.read(storage.root / "key")

    async def test_of_the_file(self, server: GCSServer, tmp_path: Path, sending: Sending) -> None:
        """
        A byte that changes between the two readings is found, although the file keeps its size.
        """
        path = written(tmp_path / "file", DATA)

        def changes(out: int, file: int, offset: int, size: int) -> int:
            with path.open("r+b") as opened:
                opened.seek(offset)
                opened.write(b"\xff\xff")
            return _sendfile(out, file, offset, size)

        sending.instead = changes
        await self._fails(server, SourceChangedError, path)

    async def _fails(self, server: GCSServer, error: type[Exception], path: Path) -> None:
        async with server, open_storage("gs://bucket", endpoint_url=server.url, token="t") as storage:
            if not await _is_cached(path):
                pytest.skip("this file system does not tell what it has in memory")
            with pytest.raises(error):
                await _upload(storage, path)
            assert not await storage.exists(storage.root / "key")
            assert [] == [upload async for upload in storage.list_multipart_uploads()]


async def _upload(storage: Storage, path: Path) -> None:
    await storage.upload(path, storage.root / "key", options=UploadOptions(multipart_threshold=MiB, part_size=6 * MiB))


async def _is_cached(path: Path) -> bool:
    async with FileSource(path) as file:
        await file.open()
        return file.is_cached(0, file.size)
