"""
Blocking calls do what the asynchronous ones do, and never wait for themselves.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

import asyncstore
from asyncstore import NotFoundError, ObjectURI, ProgressEvent, sync
from asyncstore.driver import Driver, ForwardingDriver
from tests.docs import sync_verbs

_T = TypeVar("_T")


@pytest.fixture
def storage() -> Iterator[sync.Storage]:
    with sync.open_storage("memory://bucket") as storage:
        yield storage


def test_every_verb() -> None:
    """No verb is missing: the module is generated, and says which ones it leaves out."""
    assert sync_verbs.FILE.read_text("utf-8") == sync_verbs.module()
    verbs = {name for name in dir(asyncstore.Storage) if not name.startswith("_")}
    assert verbs - set(dir(sync.Storage)) == set(sync_verbs.ABSENT) - {"root"}
    taking = {
        name
        for name in asyncstore.__all__
        if inspect.isfunction(function := getattr(asyncstore, name))
        and any("Storage" in str(hint) or "Tree |" in str(hint) for hint in inspect.get_annotations(function).values())
    }
    assert taking <= set(sync.__all__)


def test_objects(storage: sync.Storage) -> None:
    """Verbs return and raise what the asynchronous ones do."""
    assert storage.put("a", b"data", content_type="text/plain").size == 4
    assert storage.read("a", range=(1, 3)) == b"at"
    assert storage.stat("a").content_type == "text/plain"
    assert storage.update("a", lambda data: (data or b"") + b"!").size == 5
    with storage.get("a") as stream:
        assert (stream.info.size, stream.start, stream.end) == (5, 0, 5)
        assert stream.read(2) == b"da"
        assert b"".join(stream) == b"ta!"
    with pytest.raises(NotFoundError, match="missing"):
        storage.read("missing")
    with pytest.raises(NotFoundError), storage.get("missing"):
        pass
    assert storage.root / "a" == ObjectURI("memory", "bucket", "a")


def test_listings(storage: sync.Storage, tmp_path: Path) -> None:
    """Listings of any length are iterators, which can be left early."""
    (tmp_path / "empty").touch()
    names = [f"{number:04}" for number in range(2500)]
    storage.bulk_upload(asyncstore.Upload(tmp_path / "empty", storage.root / name) for name in names)

    assert [info.name for info in storage.list()] == names
    with storage.list() as infos:
        assert next(infos).name == "0000"
    assert list(infos) == []
    infos = storage.list()
    infos.close()
    assert list(infos) == []
    with pytest.raises(TypeError, match="options"):
        list(storage.list(options=asyncstore.ReadOptions()))  # type: ignore[arg-type]


def test_files(storage: sync.Storage) -> None:
    """Opened objects are files for code that knows nothing of storages."""
    with storage.open("a.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inside", b"text")
    with storage.open("a.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.read("inside") == b"text"
    assert file.closed
    with storage.open("text", "w", compression="gzip") as text:
        assert text.write("one\ntwo\n") == 8
        assert text.writable()
    with storage.open("text", "r", compression="gzip") as text:
        assert (text.readline(), text.readlines()) == ("one\n", ["two\n"])
    with storage.open("text") as file:
        buffer = bytearray(2)
        assert file.readinto(buffer) == 2
        assert (bytes(buffer), file.tell(), file.seek(1), file.readable()) == (b"\x1f\x8b", 2, 1, True)
        assert file.name == "memory://bucket/text"


def test_while_a_file_is_written() -> None:
    """What a thread does while it writes a file does not wait for the bytes that the file holds."""
    with sync.open_storage("memory://bucket", max_buffer_bytes=9_000_000) as storage:
        with storage.open("a", "wb") as file:
            for _ in range(3):
                file.write(bytes(9_000_000))
                storage.put("b", iter([bytes(9_000_000)] * 2))
        assert [info.size for info in storage.list()] == [27_000_000, 18_000_000]


def test_failed_write(storage: sync.Storage) -> None:
    """A file whose block ends by an exception, or that is aborted, is not published."""
    with pytest.raises(ZeroDivisionError), storage.open("a", "wb") as file:
        file.write(b"half")
        raise ZeroDivisionError
    other = storage.open("b", "wb")
    other.write(b"half")
    other.abort()
    assert not storage.exists("a")
    assert not storage.exists("b")


def test_trees_and_wrappers(storage: sync.Storage, tmp_path: Path) -> None:
    """Functions of the package take and return blocking storages."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    inner = sync.under(storage, "sub")
    assert sync.upload_tree(tmp_path / "in", inner).ok
    with sync.open_storage("memory://other") as other:
        sync.copy_tree(storage, other)
        assert other.read("sub/a.txt") == b"a"
        assert list(sync.compare_trees(storage, other)) == []
        sync.copy_between(storage, "sub/a.txt", other, "b.txt")
        assert sync.sync_tree(storage, other, delete=True).ok
        with other.get("sub/a.txt") as stream:
            storage.put("streamed", stream)
        routed = sync.routed({"other": other}, storage)
        assert routed.read("other/sub/a.txt") == storage.read("streamed") == b"a"
    assert sync.read_only(storage).describe()["access"] == "read-only"


def test_in_a_running_loop(storage: sync.Storage) -> None:
    """In a notebook, whose cells run in an event loop, calls block the cell and work."""

    async def cell() -> bytes:
        storage.put("a", b"data")
        return storage.read("a")

    assert asyncio.run(cell()) == b"data"


def test_threads(storage: sync.Storage) -> None:
    """Threads share a storage."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: storage.put(f"{number}", b"x"), range(50)))
    assert len(list(storage.list())) == 50


def test_calls_from_the_loop(storage: sync.Storage) -> None:
    """A blocking call in the loop's own thread is an error, and no deadlock."""

    def progress(event: ProgressEvent) -> None:
        storage.exists("a")

    with pytest.raises(RuntimeError, match="would wait for itself: progress callbacks"):
        storage.put("a", b"data", progress=progress)
    assert not storage.statistics().requests_in_flight


def test_coroutines(storage: sync.Storage) -> None:
    """A coroutine function runs in the loop, with the asynchronous storage."""

    async def names(storage: asyncstore.Storage, *, prefix: str) -> list[str]:
        return [info.name async for info in storage.list(prefix)]

    storage.put("a/b", b"")
    assert sync.run(names, storage, prefix="a/") == ["a/b"]


class Interrupting(ForwardingDriver):
    """Sends SIGINT to the main thread during each request, and waits for ever."""

    def __init__(self, driver: Driver, cleaned: list[str]) -> None:
        super().__init__(driver)
        self.cleaned = cleaned

    async def call(self, op: str, uris: Sequence[ObjectURI], send: Callable[[], Awaitable[_T]]) -> _T:
        try:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            self.cleaned.append(op)
        raise AssertionError


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of Ctrl-C: a shell has the signal ignored in what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupt(storage: sync.Storage) -> None:
    """Ctrl-C cancels the operation, waits for its clean-up, and the storage works on."""
    cleaned: list[str] = []
    interrupted = storage.wrapped(lambda driver: Interrupting(driver, cleaned))

    with pytest.raises(KeyboardInterrupt):
        interrupted.read("a")
    assert cleaned == ["open_read"]
    with pytest.raises(KeyboardInterrupt):
        list(interrupted.list())
    assert cleaned == ["open_read", "list_page"]
    assert not storage.exists("a")


def test_exit_of_a_callback(storage: sync.Storage) -> None:
    """SystemExit in a function of the caller reaches the caller, and the loop goes on."""

    def change(data: bytes | None) -> bytes:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        storage.update("a", change)
    assert not storage.exists("a")


def test_pickled(tmp_path: Path) -> None:
    """A blocking storage is pickled as the asynchronous one is."""
    with sync.open_storage(f"file://{tmp_path}/", sync=False) as storage:
        storage.put("a", b"data")
        with pickle.loads(pickle.dumps(storage)) as copied:
            assert copied.read("a") == b"data"


def test_closed(storage: sync.Storage) -> None:
    """A closed storage says so."""
    storage.close()
    storage.close()
    with pytest.raises(RuntimeError, match="closed"):
        storage.read("a")
    with pytest.raises(TypeError, match=r"storage takes an asyncstore\.Storage, not str"):
        sync.Storage("memory://bucket")  # type: ignore[arg-type]


def _program(text: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text, *args], capture_output=True, text=True, timeout=50, check=False
    )


_FORKED = """
import os, pickle, sys
from asyncstore import sync

storage = sync.open_storage("file://" + sys.argv[1] + "/", sync=False)
storage.put("a", bytes(3_000_000))
if os.fork() == 0:
    try:
        storage.read("a")
    except RuntimeError as error:
        assert "opened before fork()" in str(error), error
        with pickle.loads(pickle.dumps(storage)) as again:
            again.download("a", sys.argv[1] + "/copy")
            os._exit(0 if len(again.read("a")) == 3_000_000 else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
storage.read("a")
print("done")
"""


def test_fork(tmp_path: Path) -> None:
    """In a child, storages of the parent are refused, and new ones have a loop of their own."""
    done = _program(_FORKED, str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


_LEFT_OPEN = """
import sys
from asyncstore import sync
from asyncstore.driver import ForwardingDriver

class Noting(ForwardingDriver):
    async def aclose(self):
        print("closed")

storage = sync.open_storage("file://" + sys.argv[1] + "/", sync=False)
for key in "ab":
    storage.put(key, b"data")
noting = storage.wrapped(Noting)
infos = noting.list()
next(infos)
file = noting.open("half", "wb")
file.write(bytes(20_000_000))
"""


def test_end_of_the_process(tmp_path: Path) -> None:
    """A program that closes nothing ends, and everything is closed: nothing half-written appears or stays."""
    done = _program(_LEFT_OPEN, str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a", "b"]
    for folder in ("uploads", "tmp"):
        assert not list((tmp_path / ".asyncstore" / folder).iterdir())
