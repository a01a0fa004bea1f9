"""
Open pipes, sockets and terminals as data: the wait for their bytes can be cancelled, and no byte is lost or made up.
"""

import asyncio
import gzip
import os
import pty
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from tests.build import KEY, at_rest, patterned

DATA = patterned(300_000)

#: The reading end as a file, and what writes to the other end.
Ends = tuple[Any, int]


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def buffered_pipe(closing: ExitStack) -> Ends:
    receiving, sending = os.pipe()
    return closing.enter_context(os.fdopen(receiving, "rb")), sending


def plain_pipe(closing: ExitStack) -> Ends:
    receiving, sending = os.pipe()
    return closing.enter_context(os.fdopen(receiving, "rb", buffering=0)), sending


def pipe_that_does_not_block(closing: ExitStack) -> Ends:
    receiving, sending = os.pipe()
    os.set_blocking(receiving, False)
    return closing.enter_context(os.fdopen(receiving, "rb")), sending


def connection(closing: ExitStack) -> Ends:
    receiving, sending = socket.socketpair()
    closing.enter_context(receiving)
    return closing.enter_context(receiving.makefile("rb")), sending.detach()


def terminal(closing: ExitStack) -> Ends:
    sending, receiving = pty.openpty()
    tty.setraw(receiving)
    return closing.enter_context(os.fdopen(receiving, "rb", buffering=0)), sending


STREAMS = [buffered_pipe, plain_pipe, pipe_that_does_not_block, connection]
every_stream = pytest.mark.parametrize("opened", STREAMS)


def descriptors() -> set[str]:
    return set(os.listdir("/dev/fd"))


@pytest.mark.parametrize("opened", [*STREAMS, terminal])
@pytest.mark.parametrize("first", [b"", b"some"])
async def test_a_silent_stream_can_be_cancelled(
    storage: Storage,
    faults: FaultyDriver,
    memory: MemoryDriver,
    closing: ExitStack,
    opened: Callable[[ExitStack], Ends],
    first: bytes,
) -> None:
    file, sending = opened(closing)
    closing.callback(os.close, sending)
    os.write(sending, first)
    before = descriptors()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await storage.put(KEY, file)

    assert {} == memory.objects
    assert before == descriptors()
    at_rest(storage, faults)


@every_stream
async def test_a_cancelled_stream_can_be_read_on(
    storage: Storage, closing: ExitStack, opened: Callable[[ExitStack], Ends]
) -> None:
    file, sending = opened(closing)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await storage.put(KEY, file)
    os.write(sending, b"data")
    os.close(sending)
    await storage.put(KEY, file)

    assert b"data" == await storage.read(KEY)


@every_stream
async def test_all_bytes_arrive(
    storage: Storage, closing: ExitStack, small_chunks: int, opened: Callable[[ExitStack], Ends]
) -> None:
    file, sending = opened(closing)
    writer = threading.Thread(target=write, args=(sending, DATA))
    writer.start()
    await storage.put(KEY, file)
    writer.join()

    assert DATA == await storage.read(KEY)


def write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
    os.close(fd)


@pytest.mark.parametrize("opened", [buffered_pipe, connection])
@pytest.mark.parametrize("silent", [False, True], ids=["ended", "silent"])
async def test_bytes_that_the_file_has_received_already(
    storage: Storage, closing: ExitStack, small_chunks: int, opened: Callable[[ExitStack], Ends], silent: bool
) -> None:
    file, sending = opened(closing)
    os.write(sending, b"line\n" + DATA[:5000])
    assert b"line\n" == await asyncio.to_thread(file.readline)
    if silent:
        asyncio.get_running_loop().call_later(0.05, os.close, sending)
    else:
        os.close(sending)
    await storage.put(KEY, file)

    assert DATA[:5000] == await storage.read(KEY)


async def test_a_terminal_ends(storage: Storage, closing: ExitStack) -> None:
    """
    Its end is read once only.
    """
    sending, receiving = pty.openpty()
    closing.callback(os.close, sending)
    file = closing.enter_context(os.fdopen(receiving, "rb", buffering=0))
    os.write(sending, b"line\n\x04")
    async with asyncio.timeout(5):
        await storage.put(KEY, file)

    assert b"line\n" == await storage.read(KEY)


async def test_a_device_that_is_always_ready(storage: Storage, closing: ExitStack) -> None:
    file = closing.enter_context(os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb"))
    await storage.put(KEY, file)

    assert b"" == await storage.read(KEY)


async def test_a_file_that_decompresses_a_pipe(storage: Storage, closing: ExitStack) -> None:
    """
    It holds bytes that its descriptor does not show.
    """
    file, sending = buffered_pipe(closing)
    os.write(sending, gzip.compress(bytes(5_000_000)))
    os.close(sending)
    await storage.put(KEY, gzip.GzipFile(fileobj=file))

    assert bytes(5_000_000) == await storage.read(KEY)


async def test_a_socket_with_a_timeout_ends_the_wait_itself(storage: Storage, closing: ExitStack) -> None:
    receiving, sending = socket.socketpair()
    closing.enter_context(sending)
    closing.enter_context(receiving).settimeout(0.05)
    with pytest.raises(TimeoutError):
        await storage.put(KEY, closing.enter_context(receiving.makefile("rb")))


async def test_a_closed_file(storage: Storage, closing: ExitStack) -> None:
    file, sending = buffered_pipe(closing)
    os.close(sending)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        await storage.put(KEY, file)


async def test_a_file_closed_during_the_wait(storage: Storage, memory: MemoryDriver, closing: ExitStack) -> None:
    file, sending = plain_pipe(closing)
    loop = asyncio.get_running_loop()
    loop.call_later(0.02, file.close)
    loop.call_later(0.05, os.close, sending)
    with pytest.raises(ValueError, match="closed"):
        await storage.put(KEY, file)

    assert {} == memory.objects
