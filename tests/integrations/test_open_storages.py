"""
Storages are opened once for each root and event loop, and closed whatever becomes of the loop.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from asyncstore import Storage, open_storage
from asyncstore.integrations.open_storages import OpenStorages
from tests.conformance.s3 import settings
from tests.servers.s3 import S3Server, fresh_bucket


def opened() -> tuple[OpenStorages, list[Storage]]:
    """
    Return an object under test, and the storages that it has opened.
    """
    made: list[Storage] = []

    def open_root(root: str) -> Storage:
        made.append(open_storage(root, shared="open-storages"))
        return made[-1]

    return OpenStorages(open_root), made


def is_closed(storage: Storage) -> bool:
    return storage._checks.closed


async def test_one_for_each_root() -> None:
    """
    A root is opened once, whoever asks.
    """
    storages, made = opened()

    first = storages.get("memory://one")

    assert storages.get("memory://one") is first
    assert storages.get("memory://two") is not first
    assert 2 == len(made)


def test_each_loop_has_its_own_which_it_closes() -> None:
    """
    Storages are closed when their event loop is shut down.
    """
    storages, made = opened()

    async def use() -> None:
        await storages.get("memory://bucket").put("key", b"data")

    asyncio.run(use())
    asyncio.run(use())

    assert [True, True] == [is_closed(storage) for storage in made]


async def test_closed_on_request() -> None:
    """
    After aclose() others are opened.
    """
    storages, made = opened()
    storages.get("memory://bucket")

    await storages.aclose()
    await storages.aclose()

    assert is_closed(made[0])
    assert storages.get("memory://bucket") is made[1]


@pytest.mark.parametrize("how", ["collected", "dropped"])
async def test_closed_when_nobody_needs_them(how: str) -> None:
    """
    An object that is collected, or whose storages are dropped, leaves no connection in its event loop.
    """
    storages, made = opened()
    storages.get("memory://bucket")

    if how == "dropped":
        storages.drop()
    else:
        del storages
    gc.collect()
    # The loop begins a task that closes them.
    async with asyncio.timeout(10):
        while not is_closed(made[0]):
            await asyncio.sleep(0)


_PROGRAM = """
import asyncio, atexit, os, sys, threading
from asyncstore import open_storage
from asyncstore.integrations.open_storages import OpenStorages

storages = OpenStorages(lambda root: open_storage(root, **{settings!r}))

async def use():
    storage = storages.get({root!r})
    await storage.put("key", b"data")
    assert await storage.read("key") == b"data"

{how}
"""
_ENDS = {
    "running in a thread": """
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
asyncio.run_coroutine_threadsafe(use(), loop).result()
""",
    "not running": """
loop = asyncio.new_event_loop()
atexit.register(loop.close)
loop.run_until_complete(use())
""",
    "forked": """
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
asyncio.run_coroutine_threadsafe(use(), loop).result()
if (child := os.fork()) == 0:
    asyncio.run(use())
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
asyncio.run_coroutine_threadsafe(use(), loop).result()
""",
}


@pytest.mark.parametrize("how", _ENDS)
def test_nothing_leaks_at_the_end_of_a_process(how: str, seaweed: S3Server) -> None:
    """
    A program that closes nothing ends without a warning of a connection that was not closed, also where it was forked.
    """
    known = {name: value for name, value in settings(seaweed).items() if value is not None}
    program = _PROGRAM.format(settings=known, root=f"s3://{fresh_bucket(seaweed)}", how=_ENDS[how])

    done = run(program)

    assert ("", "", 0) == (done.stdout, done.stderr, done.returncode)


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Python 3.12 warns of every fork in a process with threads.
    warned = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    env: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(
        [sys.executable, *warned, "-c", program], capture_output=True, text=True, timeout=50, check=False, env=env
    )


def test_threads_get_their_own() -> None:
    """
    Event loops of several threads share no storage.
    """
    storages, made = opened()

    async def use() -> None:
        await storages.get("memory://bucket").put("key", b"data")

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4 == len(made)
    assert all(is_closed(storage) for storage in made)
