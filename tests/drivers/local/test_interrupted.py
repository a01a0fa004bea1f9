"""
Objects stay intact with concurrent writers, and wherever a call or a process is stopped.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from asyncstore._support.threads import in_thread
from asyncstore.checksum import compute
from asyncstore.options import CopyOptions, MiB, ReadOptions
from asyncstore.types import ChecksumAlgorithm
from tests.blocking import no_blocking
from tests.drivers.calls import PLAIN, Calls, Slow, copied, leftovers, names_in, opened_files

HERE = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def never_blocks() -> Iterator[None]:
    with no_blocking():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def calls(root: Path) -> Calls:
    return opened_files(root)


def descriptors() -> int:
    return len(names_in(Path("/proc/self/fd")))


async def test_creators_in_two_processes(calls: Calls, root: Path) -> None:
    """Of two processes that create the same keys, one succeeds for each key."""
    code = """if True:
        import anyio, sys
        from pathlib import Path
        from asyncstore.errors import AlreadyExistsError
        from tests.drivers.calls import opened_files

        async def main():
            calls, won = opened_files(Path(sys.argv[1])), []
            async def create(number):
                try:
                    await calls.put(f"dir{number % 3}/{number}", sys.argv[2].encode(), if_none_match="*")
                except AlreadyExistsError:
                    return
                won.append(number)
            for first in range(0, 160, 16):
                async with anyio.create_task_group() as tg:
                    for number in range(first, first + 16):
                        tg.start_soon(create, number)
            print(*won)
        anyio.run(main)
    """
    async with anyio.create_task_group() as tg:
        won: list[tuple[bytes, int]] = []

        async def run(name: str) -> None:
            done = await anyio.run_process([sys.executable, "-c", code, str(root), name], cwd=HERE)
            won.extend((name.encode(), int(number)) for number in done.stdout.split())

        tg.start_soon(run, "one")
        tg.start_soon(run, "two")

    assert sorted(number for _, number in won) == list(range(160))
    assert {f"dir{number % 3}/{number}": name for name, number in won} == await calls.objects()


async def test_counting_in_two_processes(calls: Calls, root: Path) -> None:
    """Compare-and-swap between processes loses no update."""
    code = """if True:
        import anyio, sys
        from pathlib import Path
        from asyncstore.errors import PreconditionFailedError
        from asyncstore.options import ReadOptions
        from tests.drivers.calls import opened_files

        async def main():
            calls, added = opened_files(Path(sys.argv[1])), 0
            while added < 50:
                body = await calls.driver.open_read(calls.key, ReadOptions())
                value = int(await body.read())
                try:
                    await calls.put(data=b"%d" % (value + 1), if_match=body.info.etag)
                except PreconditionFailedError:
                    continue
                added += 1
        anyio.run(main)
    """
    await calls.put(data=b"0")

    async with anyio.create_task_group() as tg:
        for _number in range(2):
            tg.start_soon(lambda: anyio.run_process([sys.executable, "-c", code, str(root)], cwd=HERE))

    assert await calls.read() == b"100"


async def test_writers_and_deleters_of_one_directory(calls: Calls) -> None:
    """Removing empty parents never breaks a concurrent write."""

    async def churn(name: str) -> None:
        for _turn in range(40):
            await calls.put(f"a/b/c/{name}")
            await calls.put("a/b")
            await calls.delete(f"a/b/c/{name}")
        await calls.put(f"a/b/c/{name}", name.encode())

    async with anyio.create_task_group() as tg:
        for name in "wxyz":
            tg.start_soon(churn, name)

    assert await calls.objects() == {"a/b": b"data", **{f"a/b/c/{name}": name.encode() for name in "wxyz"}}


def test_killed_writer_leaves_a_whole_object(root: Path) -> None:
    """A killed writer leaves the old or the new object, with its own metadata; stale files are removed later."""
    code = """if True:
        import anyio, sys
        from pathlib import Path
        from tests.drivers.calls import opened_files

        async def main():
            calls = opened_files(Path(sys.argv[1]), sync=True)
            for number in range(10 ** 9):
                letter = "ab"[number % 2]
                await calls.put("dir/key", letter.encode() * 700_000, metadata={"letter": letter})
                if number == 0:
                    print("ready", flush=True)
        anyio.run(main)
    """
    calls = opened_files(root)
    choose = random.Random(7)
    for _turn in range(8):
        writer = subprocess.Popen([sys.executable, "-c", code, str(root)], cwd=HERE, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.02 + choose.random() / 20)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()

        info = anyio.run(calls.stat)
        data = anyio.run(calls.read)

        assert data == info.metadata["letter"].encode() * 700_000
        assert compute(ChecksumAlgorithm.CRC32C, data) == info.checksum

    junk = root / ".asyncstore/tmp/junk"
    junk.mkdir(parents=True)
    (junk / "part").touch()
    long_ago = time.time() - 90_000
    for name in leftovers(root):
        os.utime(root / ".asyncstore/tmp" / name, (long_ago, long_ago))
    anyio.run(opened_files(root).put)
    assert leftovers(root) == []


async def _cancelled_natively(call: Callable[[], Awaitable[object]], turns: int) -> None:
    task = asyncio.ensure_future(call())
    for _turn in range(turns):
        await asyncio.sleep(0)
    if turns % 2:
        # Often a turn of the loop is too short for a thread to get anywhere.
        await asyncio.sleep(turns / 10_000)
    task.cancel()
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _cancelled_by_scope(call: Callable[[], Awaitable[object]], turns: int) -> None:
    with anyio.move_on_after(turns / 10_000):
        await call()


@pytest.mark.parametrize("cancelled", [_cancelled_natively, _cancelled_by_scope])
async def test_cancelled_calls_leave_nothing(
    calls: Calls, root: Path, cancelled: Callable[[Callable[[], Awaitable[object]], int], Awaitable[None]]
) -> None:
    """A cancelled call leaves no temporary file, upload or open descriptor, and the old object or the new one."""
    await calls.put("big", b"1" * MiB)
    await calls.put("old", b"old")
    await asyncio.sleep(0)
    held = descriptors()
    new = b"new object"

    async def write() -> None:
        await calls.driver.put(calls.root / "old", Slow(new), PLAIN)

    async def read() -> None:
        body = await calls.driver.open_read(calls.root / "big", ReadOptions())
        try:
            await body.read()
        finally:
            await body.aclose()

    async def copy() -> None:
        await copied(calls.driver, calls.root / "big", calls.root / "copy", CopyOptions())

    async def initiate() -> None:
        started = await calls.driver.initiate_multipart_upload(calls.key, PLAIN)
        await calls.driver.abort_multipart_upload(calls.key, started)

    for turns in range(40):
        for call in (write, read, copy, initiate):
            await cancelled(call, turns)
            for name in [name for name in leftovers(root) if call is initiate]:
                # Cancelled in the abort itself, as the caller's own clean-up never is.
                await calls.driver.abort_multipart_upload(calls.key, name)
            assert leftovers(root) == []
            assert held == descriptors()

    assert await calls.read("old") in (b"old", new)


async def test_cancelled_part_can_be_sent_again(calls: Calls, root: Path) -> None:
    """An interrupted part leaves nothing behind, and its slot is free."""
    upload_id = await calls.start()
    first = await calls.part(upload_id, 1, b"0123456789")
    held = descriptors()

    async def send() -> None:
        await calls.driver.upload_part(calls.key, upload_id, 2, Slow(b"x" * 10), PLAIN)

    for turns in range(30):
        await _cancelled_natively(send, turns)
        assert held == descriptors()

    second = await calls.part(upload_id, 2, b"abcdefghij")
    await calls.complete(upload_id, [first, second])

    assert await calls.objects() == {"dir/key": b"0123456789abcdefghij"}
    assert leftovers(root) == []


async def test_thread_outlives_no_call(root: Path) -> None:
    """A cancelled call returns only after its thread has ended, even if cancelled twice."""
    ended = []

    def work() -> None:
        time.sleep(0.05)
        ended.append(True)

    task = asyncio.ensure_future(in_thread(work))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with anyio.move_on_after(0.01) as scope:
        await in_thread(work)
        await anyio.lowlevel.checkpoint()

    assert scope.cancelled_caught
    assert len(ended) == 2
