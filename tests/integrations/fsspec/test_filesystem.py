"""
What programs ask of a file system beyond fsspec's own suites.
"""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import sys
import tomllib
import urllib.request
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.callbacks import Callback
from fsspec.registry import known_implementations

from asyncstore import ConfigurationError, NotFoundError
from asyncstore.integrations.fsspec import (
    AsyncstoreFileSystem,
    AzureFileSystem,
    GCSFileSystem,
    GitHubFileSystem,
    LocalFileSystem,
    MemoryFileSystem,
    OCIFileSystem,
    S3FileSystem,
    register,
)
from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer
from tests.conformance.s3 import settings
from tests.servers.oci import running_oci
from tests.servers.s3 import S3Server, fresh_bucket

ROOT = Path(__file__).parents[3]

_numbers = itertools.count(1)


@pytest.fixture
def fs() -> MemoryFileSystem:
    """A file system with objects of its own, and one directory."""
    made = MemoryFileSystem(shared=f"filesystem-{next(_numbers)}")
    made.pipe({"bucket/a/1": b"one", "bucket/a/b/2": b"three", "bucket/c": b"c"})
    return made


# Found by fsspec


def test_entry_points_are_the_protocols() -> None:
    """
    Each declared protocol is that of the class it names.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = project["entry-points"]["fsspec.specs"]

    for name, value in declared.items():
        module, _, attribute = value.partition(":")
        assert name in getattr(import_module(module), attribute).protocol
    classes = AsyncstoreFileSystem.__subclasses__()
    assert {kind.protocol if isinstance(kind.protocol, str) else kind.protocol[0] for kind in classes} == set(declared)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """The registry of fsspec, which is as it was after the test."""
    # Its package has a variable of the same name.
    module = sys.modules["fsspec.registry"]
    found: dict[str, type] = {}
    for name, value in {
        "_registry": found,
        "registry": found,
        "known_implementations": dict(known_implementations),
    }.items():
        monkeypatch.setattr(module, name, value)
    return found


def test_register(registry: dict[str, type]) -> None:
    """
    Only what is named is replaced.
    """
    register("s3", "gs")

    assert fsspec.get_filesystem_class("s3") is S3FileSystem
    assert fsspec.get_filesystem_class("gs") is GCSFileSystem
    assert {"s3", "gs"} == set(registry)
    with pytest.raises(ValueError, match="http"):
        register("s3", "http")


@pytest.mark.usefixtures("registry")
def test_in_the_place_of_s3fs(seaweed: S3Server) -> None:
    """
    What was written for s3fs, with its names of settings, works.
    """
    register()
    bucket = fresh_bucket(seaweed)
    known = {
        "key": seaweed.access_key_id,
        "secret": seaweed.secret_access_key,
        "client_kwargs": {"endpoint_url": seaweed.endpoint_url, "region_name": seaweed.region},
    }

    with fsspec.open(f"s3://{bucket}/key", "wb", **known) as file:
        file.write(b"data")

    with fsspec.open(f"s3a://{bucket}/key", "rb", **known) as file:
        assert b"data" == file.read()
    assert [f"{bucket}/key"] == fsspec.filesystem("s3", **known).ls(bucket, detail=False)


def test_other_names_of_settings() -> None:
    """
    Anonymous access is asked for as with gcsfs and adlfs.
    """
    assert {"anonymous": True} == GCSFileSystem(token="anon")._settings
    assert {"token": "secret"} == GCSFileSystem(token="secret")._settings
    assert {"anonymous": True, "account_name": "a"} == AzureFileSystem(anon=True, account_name="a")._settings


def test_instances_are_shared_and_equal() -> None:
    """
    fsspec keeps one file system for the same settings, and tells others apart.
    """
    assert MemoryFileSystem(shared="x") is MemoryFileSystem(shared="x")
    assert MemoryFileSystem(shared="x") != MemoryFileSystem(shared="y")


def test_pickled(fs: MemoryFileSystem) -> None:
    """
    A pickled file system, and a pickled file, read the same objects.
    """
    assert b"one" == pickle.loads(pickle.dumps(fs)).cat_file("bucket/a/1")
    with fs.open("bucket/a/b/2") as file:
        file.seek(2)
        copy = pickle.loads(pickle.dumps(file))
        assert b"ree" == copy.read()
        copy.close()


def _read(fs: AsyncstoreFileSystem, path: str, queue: Any) -> None:
    queue.put(fs.cat_file(path))


def test_in_a_forked_process(seaweed: S3Server) -> None:
    """
    A file system that was used before a fork is usable after it, in both processes.
    """
    path = f"{fresh_bucket(seaweed)}/key"
    fs = S3FileSystem(**settings(seaweed))
    fs.pipe_file(path, b"data")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    child = context.Process(target=_read, args=(fs, path, queue))
    child.start()

    assert b"data" == queue.get(timeout=30)
    child.join()
    assert b"data" == fs.cat_file(path)


# Other providers


def test_local(tmp_path: Path) -> None:
    """
    Files below a root, which others see as files; what is elsewhere is refused.
    """
    fs = LocalFileSystem(root=tmp_path)

    fs.pipe_file(f"{tmp_path}/a/b", b"data")

    assert b"data" == (tmp_path / "a" / "b").read_bytes()
    assert [f"{tmp_path}/a/b"] == fs.find(f"asyncstore+file://{tmp_path}")
    assert f"{tmp_path}/a" == fs._parent(f"{tmp_path}/a/b")
    with pytest.raises(ValueError, match=f"not below {tmp_path}"):
        fs.ls("/elsewhere")


async def test_github() -> None:
    """
    Assets of releases; a repository has releases and nothing else. They are written without parts.
    """
    async with GitHubServer() as server:
        fs = GitHubFileSystem(asynchronous=True, base_url=server.url, token=FAKE_TOKEN, create_release=True)
        await fs._pipe_file("octocat/hello/releases/v1/a.bin", b"data")

        assert ["octocat/hello/releases/v1"] == await fs._ls("octocat/hello/releases", detail=False)
        assert b"at" == await fs._cat_file("octocat/hello/releases/v1/a.bin", 1, 3)
        assert await fs._isdir("octocat/hello")
        with pytest.raises(ValueError, match="owner/repo/releases/tag/asset"):
            await fs._info("octocat/hello/v1/a.bin")
        await fs.aclose()


def test_oci() -> None:
    """
    Both forms of names lead to one bucket, and listings have the form that was asked for.
    """
    with running_oci() as server:
        server.server.create_bucket("models")
        known: dict[str, Any] = {"endpoint_url": server.server.url, **server.user.settings(server.region)}
        fs = OCIFileSystem(auth_type="user_principal", **known)
        namespace = server.namespace
        fs.pipe_file(f"{namespace}/models/a/b", b"data")

        assert [f"{namespace}/models/a/b"] == fs.find(f"{namespace}/models")
        assert [f"models@{namespace}/a"] == fs.ls(f"models@{namespace}", detail=False)
        assert b"data" == fs.cat_file(f"models@{namespace}/a/b")
        fsspec.asyn.sync(fs.loop, fs.aclose)


# Entries


def test_info_says_what_the_object_is(fs: MemoryFileSystem) -> None:
    """
    Size, type, version and time, of an object and of what is a directory.
    """
    info = fs.info("asyncstore+memory://bucket/a/1")

    assert ("bucket/a/1", 3, "file") == (info["name"], info["size"], info["type"])
    assert info["etag"]
    assert datetime.now(UTC) - info["mtime"] < timedelta(minutes=5)
    assert {"name": "bucket/a", "size": 0, "type": "directory"} == fs.info("bucket/a/")
    assert "directory" == fs.info("bucket")["type"] == fs.info("")["type"]
    with pytest.raises(FileNotFoundError):
        fs.info("bucket/a/none")


def test_listings(fs: MemoryFileSystem) -> None:
    """
    Directories are what keys tell; a file lists itself.
    """
    assert ["bucket/a", "bucket/c"] == fs.ls("bucket", detail=False)
    assert ["bucket/a/1"] == fs.ls("bucket/a/1", detail=False)
    assert ["bucket/a/1", "bucket/a/b/2"] == fs.find("bucket/a")
    assert ["bucket/a", "bucket/a/1", "bucket/a/b", "bucket/a/b/2"] == fs.find("bucket/a", withdirs=True)
    assert ["bucket/a/1"] == fs.find("bucket/a", maxdepth=1)
    assert ["bucket/a", "bucket/a/b"] == [path for path, _, _ in fs.walk("bucket/a")]
    assert ["bucket/a/b/2"] == fs.glob("bucket/**/2")
    assert ["bucket/a/1"] == fs.expand_path("bucket/a/?")[:1]
    assert 9 == fs.du("bucket")
    assert [] == fs.find("bucket/none")
    with pytest.raises(FileNotFoundError):
        fs.ls("bucket/none")
    with pytest.raises(OSError, match="names no bucket"):
        fs.ls("")


def test_markers_are_directories(fs: MemoryFileSystem) -> None:
    """
    An object whose key ends in a slash stands for a directory, which rmdir deletes.
    """
    fs.pipe_file("bucket/empty/x", b"")
    fsspec.asyn.sync(fs.loop, _mark, fs)
    fs.rm_file("bucket/empty/x")

    assert [] == fs.ls("bucket/empty")
    assert fs.isdir("bucket/empty")
    assert "bucket/empty" in fs.find("bucket", withdirs=True)
    with pytest.raises(OSError, match="not an empty directory"):
        fs.rmdir("bucket/a")
    fs.rmdir("bucket/empty")
    assert not fs.exists("bucket/empty")


async def _mark(fs: MemoryFileSystem) -> None:
    storage, uri = fs.located("bucket/empty")
    await storage.put(f"{uri.key}/", b"")


def test_listings_are_kept_if_asked(fs: MemoryFileSystem) -> None:
    """
    Off, what others write is seen; on, it is not until the listing is forgotten, and own writes are seen.
    """
    keeping = MemoryFileSystem(**fs.storage_options, use_listings_cache=True)
    for one in (fs, keeping):
        one.ls("bucket")
    fs.pipe_file("bucket/d", b"")

    assert fs.exists("bucket/d")
    assert not keeping.exists("bucket/d")
    assert keeping.exists("bucket/c")
    keeping.pipe_file("bucket/e", b"")
    assert keeping.exists("bucket/d")
    assert keeping.exists("bucket/e")


def test_versions_are_told_apart(fs: MemoryFileSystem) -> None:
    """
    Checksum and unique key change with the object, and stay with it.
    """
    before = fs.checksum("bucket/c"), fs.ukey("bucket/c")
    assert before == (fs.checksum("bucket/c"), fs.ukey("bucket/c"))

    fs.pipe_file("bucket/c", b"C")

    assert not set(before) & {fs.checksum("bucket/c"), fs.ukey("bucket/c")}
    assert fs.created("bucket/c") == fs.modified("bucket/c") == fs.info("bucket/c")["mtime"]
    with pytest.raises(IsADirectoryError):
        fs.modified("bucket/a")


def test_signed_urls(seaweed: S3Server) -> None:
    """
    Anybody reads with the URL.
    """
    fs = S3FileSystem(**settings(seaweed))
    path = f"{fresh_bucket(seaweed)}/key"
    fs.pipe_file(path, b"data")

    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(fs.sign(path, 60)) as reply:
        assert b"data" == reply.read()


def test_old_versions() -> None:
    """
    A version is described and read by its id.
    """
    fs = MemoryFileSystem(shared="filesystem-versions", versioning=True)
    fs.pipe_file("bucket/key", b"old")
    version = fs.info("bucket/key")["version_id"]
    fs.pipe_file("bucket/key", b"newer")

    assert 3 == fs.info("bucket/key", version_id=version)["size"]
    assert b"old" == fs.cat_file("bucket/key", version_id=version)
    with fs.open("bucket/key", version_id=version) as file:
        assert b"old" == file.read()


# Reading


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (1, None), (None, 2), (1, 3), (-2, None), (-3, -1), (1, -1), (2, 1), (9, None), (0, 99), (-99, 2)],
)
def test_cat_file_is_a_slice(fs: MemoryFileSystem, start: int | None, end: int | None) -> None:
    """
    Bounds mean what they mean in a slice.
    """
    assert b"three"[start:end] == fs.cat_file("bucket/a/b/2", start, end)


def test_cat_ranges(fs: MemoryFileSystem) -> None:
    """
    Ranges of several files come in the order asked for, those of a missing file as errors.
    """
    paths = ["bucket/a/b/2", "bucket/a/1", "bucket/none", "bucket/a/b/2", "bucket/a/b/2"]

    got = fs.cat_ranges(paths, [0, 1, 0, 3, 9], [2, 3, 1, 5, 10])

    assert [b"th", b"ne"] == got[:2]
    assert isinstance(got[2], FileNotFoundError)
    assert [b"ee", b""] == got[3:]
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 0, 1, on_error="raise")


def test_errors_are_those_of_files(fs: MemoryFileSystem) -> None:
    """
    They name the object, and have the storage's error as their cause.
    """
    with pytest.raises(FileNotFoundError, match="memory://bucket/none does not exist") as raised:
        fs.cat_file("bucket/none")
    assert isinstance(raised.value.__cause__, NotFoundError)
    with pytest.raises(IsADirectoryError):
        fs.cat_file("bucket")
    with pytest.raises(ConfigurationError, match="nonsense"):
        MemoryFileSystem(nonsense=1).ls("bucket")


class Noted(Callback):
    """
    A callback that notes what it is told of each file.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.children: list[Noted] = []
        self.values: list[tuple[int | None, int]] = []

    def call(self, hook_name: str | None = None, **kwargs: Any) -> None:
        self.values.append((self.size, self.value))

    def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Noted:
        self.children.append(Noted())
        return self.children[-1]


def test_callbacks(fs: MemoryFileSystem, tmp_path: Path) -> None:
    """
    Callbacks are told files, and of each file its bytes.
    """
    down, up = Noted(), Noted()

    fs.get("bucket/a/", f"{tmp_path}/copy/", recursive=True, callback=down)
    fs.put(f"{tmp_path}/copy/", "bucket/back/", recursive=True, callback=up)

    assert b"three" == (tmp_path / "copy" / "b" / "2").read_bytes()
    assert b"three" == fs.cat_file("bucket/back/b/2")
    assert {(3, 3), (5, 5)} <= {child.values[-1] for child in down.children if child.values}
    assert {(3, 3), (5, 5)} == {child.values[-1] for child in up.children}
    assert (2, 2) == up.values[-1]


# Writing


def test_options_of_writes(fs: MemoryFileSystem) -> None:
    """
    Writes take the fields of the storage's options.
    """
    fs.pipe_file("bucket/typed", b"{}", content_type="application/json", metadata={"by": "me"})

    info = fs.info("bucket/typed")
    assert ("application/json", {"by": "me"}) == (info["content_type"], info["metadata"])


def test_exclusive_writes_without_the_condition() -> None:
    """
    Where the service has no such condition, what exists is looked for.
    """
    fs = MemoryFileSystem(shared="filesystem-exclusive", conditional_create=False)
    fs.pipe_file("bucket/key", b"1", mode="create")

    with pytest.raises(FileExistsError):
        fs.pipe_file("bucket/key", b"2", mode="create")
    with pytest.raises(FileExistsError):
        fs.open("bucket/key", "xb")
    with pytest.raises(ValueError, match="append"):
        fs.pipe_file("bucket/key", b"2", mode="append")


def test_touch(fs: MemoryFileSystem) -> None:
    """
    An object is emptied, or left alone.
    """
    fs.touch("bucket/c")
    assert 0 == fs.size("bucket/c")
    fs.touch("bucket/new", truncate=False)
    with pytest.raises(NotImplementedError):
        fs.touch("bucket/a/1", truncate=False)


def test_copies_and_moves(fs: MemoryFileSystem) -> None:
    """
    Within a bucket, between buckets, and of a whole directory.
    """
    fs.cp_file("bucket/c", "other/c")
    fs.mv("bucket/a", "bucket/z", recursive=True)

    assert b"c" == fs.cat_file("other/c")
    assert ["bucket/c", "bucket/z/1", "bucket/z/b/2"] == fs.find("bucket")
    with pytest.raises(FileNotFoundError):
        fs.cp_file("bucket/none", "bucket/d")


def test_deletions(fs: MemoryFileSystem) -> None:
    """
    A directory needs *recursive*; what is missing is an error; a pattern takes files only.
    """
    for delete in (fs.rm, fs.rm_file):
        with pytest.raises(IsADirectoryError):
            delete("bucket/a")
        with pytest.raises(FileNotFoundError):
            delete("bucket/none")
    fs.rm("bucket/*")
    assert ["bucket/a/1", "bucket/a/b/2"] == fs.find("bucket")
    fs.rm("bucket/a", recursive=True, maxdepth=1)
    assert ["bucket/a/b/2"] == fs.find("bucket")
    fs.rm(["bucket/a"], recursive=True)
    assert [] == fs.find("bucket")


def test_buckets_are_not_made(seaweed: S3Server) -> None:
    """
    mkdir() of a bucket says whether it is there; of a directory it does nothing.
    """
    fs = S3FileSystem(**settings(seaweed))
    bucket = fresh_bucket(seaweed)

    fs.mkdir(f"{bucket}/directory")
    fs.makedirs(bucket, exist_ok=True)
    with pytest.raises(FileExistsError):
        fs.mkdir(bucket)
    with pytest.raises(FileNotFoundError):
        fs.makedirs("no-such-bucket-anywhere", exist_ok=True)


async def test_asynchronous() -> None:
    """
    In a program's own event loop, the coroutines are awaited there.
    """
    fs = MemoryFileSystem(asynchronous=True, shared="filesystem-asynchronous")

    await fs._pipe_file("bucket/key", b"data")
    async with await fs.open_async("bucket/streamed", "wb") as writer:
        await writer.write(b"streamed")
    async with await fs.open_async("bucket/streamed") as reader:
        reader.seek(2)
        assert (b"ream", 6) == (await reader.read(4), reader.tell())
    with pytest.raises(KeyError):
        async with await fs.open_async("bucket/spoilt", "wb") as writer:
            await writer.write(b"half")
            raise KeyError

    assert ["bucket/key", "bucket/streamed"] == await fs._find("bucket")
    await fs.aclose()
