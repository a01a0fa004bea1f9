"""
The WebDAV provider of docs/examples, installed as a package of its own, on WsgiDAV.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from aiohttp import web

from asyncstore import ListOptions, ObjectURI, Storage, open_storage
from asyncstore.errors import (
    ConfigurationError,
    InvalidRequestError,
    InvalidURIError,
    NotFoundError,
    UnauthenticatedError,
)
from asyncstore.http import HTTPClient
from asyncstore.testing.conformance import StorageConformance
from tests.servers.wsgidav import PASSWORD, USERNAME, WsgiDAV

# Rules of the protocol.
_TREE = "names are a tree (RFC 4918, 5.2): what is above a resource is a collection, not an object too"
_STAYS = "no request deletes a collection only if it is empty (RFC 4918, 9.6.1), so it stays, and is listed as a prefix"
# Departures of WsgiDAV and its file system.
_DESTINATION = "WsgiDAV decodes Destination before it parses it (mar10/wsgidav#139), and cuts the name at '?' or ';'"
_RACE = "WsgiDAV checks the conditions of a MOVE, deletes the target and renames the source without a lock"
_NAME_MAX = "the server's file system has names of up to 255 bytes"

_EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an installer leaves it: the module, and the metadata that announces its driver."""
    folder = tmp_path_factory.mktemp("site-packages")
    (folder / "webdav.py").write_bytes((_EXAMPLES / "webdav.py").read_bytes())
    info = folder / "dav_storage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dav-storage\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[asyncstore.drivers]\ndav = webdav:open_driver\n", "utf-8")
    return folder


@pytest.fixture(autouse=True)
def _installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package))


def opened(server: WsgiDAV, bucket: str, **settings: Any) -> Storage:
    settings = {"username": USERNAME, "password": PASSWORD, **settings}
    return open_storage(f"dav://{bucket}", endpoint_url=server.endpoint_url, **settings)


class TestWebDAV(StorageConformance):
    """The shared contract, on WebDAV."""

    quirks: ClassVar[Mapping[str, str]] = {
        **{f"[{name}]": _DESTINATION for name in ("question", "at", "sub-delimiters", "tab", "newline")},
        **{f"[{name}]": _DESTINATION for name in ("ascii-1-15", "ascii-58-64")},
        **{f"test_longest_key[{name}]": _NAME_MAX for name in ("one-segment", "characters")},
        **dict.fromkeys(
            (
                "test_object_and_folder_of_one_name",
                "test_object_below_an_object",
                "test_object_and_prefix_of_one_name",
                "test_folder_object",
                "test_delimiter[slash]",
                "test_delimiter_in_the_prefix",
                "test_prefix_is_a_raw_string",
                "test_byte_order_of_whole_keys",
                "test_levels_with_a_character_before_the_slash",
            ),
            _TREE,
        ),
        "test_deleted_can_be_written_again": _STAYS,
        "test_prefix_vanishes_with_its_last_object": _STAYS,
        "test_no_increment_is_lost": _RACE,
        "create-only-race": _RACE,
    }

    @pytest.fixture
    async def storage(self, wsgidav: WsgiDAV) -> AsyncIterator[Storage]:
        async with opened(wsgidav, wsgidav.create_bucket()) as storage:
            yield storage

    def holds(self, key: str) -> bool:
        return not {"", ".", ".."} & set(key.split("/"))


@pytest.fixture
async def storage(wsgidav: WsgiDAV) -> AsyncIterator[Storage]:
    """A storage in a bucket of its own."""
    async with opened(wsgidav, wsgidav.create_bucket()) as storage:
        yield storage


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of the requests that are sent, as they are sent."""
    methods: list[str] = []
    send = HTTPClient.send

    async def recorded(client: HTTPClient, method: str, *args: Any, **options: Any) -> Any:
        methods.append(method)
        return await send(client, method, *args, **options)

    monkeypatch.setattr(HTTPClient, "send", recorded)
    return methods


def names_on(server: WsgiDAV, storage: Storage) -> list[str]:
    """The files and folders of the bucket as they are on the server's disk, hidden or not."""
    folder = server.folder / storage.root.bucket
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_is_short() -> None:
    """The whole provider fits in 200 lines."""
    assert len((_EXAMPLES / "webdav.py").read_text("utf-8").splitlines()) <= 200


async def test_opens_by_its_entry_point(storage: Storage) -> None:
    """The scheme of a package that is installed is known to `open_storage`."""
    assert storage.provider == "dav"
    assert type(storage._driver).__module__ == "webdav"


def test_command_line(wsgidav: WsgiDAV, package: Path, tmp_path: Path) -> None:
    """The CLI copies to and from, lists and removes, as with any provider."""
    (tmp_path / "file").write_bytes(b"data")
    target = f"dav://{wsgidav.create_bucket()}/models/a b"

    def run(*arguments: str) -> str:
        settings = ["--endpoint-url", wsgidav.endpoint_url, "--set", f"username={USERNAME}"]
        command = [sys.executable, "-m", "asyncstore.cli", *arguments, *settings, "--set", f"password={PASSWORD}"]
        path = os.pathsep.join([str(package), *sys.path])
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": path}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    run("cp", "file", target)
    before = run("ls", "-r", target)
    run("cp", target, "copy")
    run("rm", target)
    after = run("ls", "-r", target)

    assert (tmp_path / "copy").read_bytes() == b"data"
    assert "a b" in before
    assert "a b" not in after


@pytest.mark.parametrize("password", ["fake-wrong", ""], ids=["wrong", "empty"])
async def test_refused_credentials(wsgidav: WsgiDAV, password: str) -> None:
    """Wrong credentials are an error that does not show them."""
    async with opened(wsgidav, wsgidav.create_bucket(), password=password) as storage:
        with pytest.raises(UnauthenticatedError) as failure:
            await storage.put(storage.root / "key", b"data")

    assert failure.value.status == 401
    assert USERNAME not in repr(failure.value) + str(failure.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, None), ({"token": "fake-token"}, "Bearer fake-token"), ({"username": "a", "password": "b"}, "Basic YTpi")],
    ids=["anonymous", "bearer", "basic"],
)
async def test_authorization(settings: dict[str, Any], expected: str | None) -> None:
    """Each kind of credentials is sent as its scheme says, and none if there are none."""
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with open_storage("dav://bucket", endpoint_url=url, **settings) as storage:
            assert not await storage.exists("dav://bucket/key")
    finally:
        await runner.cleanup()

    assert seen == [expected]


@pytest.mark.parametrize(
    "settings",
    [{}, {"endpoint_url": "http://192.0.2.1", "token": "fake-token"}, {"endpoint_url": "https://x", "tokne": "x"}],
    ids=["no-endpoint", "plain-http", "unknown"],
)
def test_impossible_settings(settings: dict[str, Any]) -> None:
    """Settings that cannot work, or would send credentials unencrypted, are refused when the storage is opened."""
    with pytest.raises(ConfigurationError) as failure:
        open_storage("dav://bucket", **settings)

    assert "fake-token" not in str(failure.value)


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "a//b", "./a", "a/", ".", ".."])
async def test_keys_that_are_no_paths(wsgidav: WsgiDAV, storage: Storage, sent: list[str], key: str) -> None:
    """A key that a server could resolve to another one is never sent."""
    target = ObjectURI("dav", storage.root.bucket, key)

    with pytest.raises(InvalidURIError):
        await storage.put(target, b"data")
    with pytest.raises(NotFoundError):
        await storage.read(target)
    await storage.delete(target)

    assert sent == []
    assert not (wsgidav.folder / "outside").exists()


async def test_bucket_above_the_endpoint(storage: Storage, sent: list[str]) -> None:
    """Nor is a bucket that would lead out of the endpoint."""
    with pytest.raises(NotFoundError):
        await storage.read(ObjectURI("dav", "..", "key"))

    assert sent == []


async def test_encoded_dots_are_a_name(wsgidav: WsgiDAV, storage: Storage) -> None:
    """Percent-encoding in a key is text, not a way out."""
    await storage.put(storage.root / "%2e%2e" / "x", b"data")

    assert names_on(wsgidav, storage) == ["%2e%2e", "%2e%2e/x"]
    assert await storage.read(storage.root / "%2e%2e" / "x") == b"data"


async def test_collection_is_not_an_object(storage: Storage) -> None:
    """A collection is neither read, nor replaced by an object, nor deleted as one."""
    await storage.put(storage.root / "a/b", b"data")

    with pytest.raises(NotFoundError):
        await storage.read(storage.root / "a")
    with pytest.raises(InvalidRequestError, match="a collection has this name"):
        await storage.put(storage.root / "a", b"other")
    with pytest.raises(InvalidRequestError):
        await storage.put(storage.root / "a/b/c", b"below an object")
    await storage.delete(storage.root / "a")

    assert await storage.read(storage.root / "a/b") == b"data"


async def test_requests_of_a_write(storage: Storage, sent: list[str]) -> None:
    """Collections are made only if they are missing; the bytes are sent once."""
    for key in ("a/b/one", "a/b/two"):
        await storage.put(storage.root / key, b"data")

    move = ["PUT", "PROPFIND", "PROPFIND", "MOVE"]
    assert sent == [*move, "MKCOL", "MKCOL", "MOVE", *move]


async def test_failed_write_leaves_nothing(wsgidav: WsgiDAV, storage: Storage) -> None:
    """The temporary object is deleted if the write fails."""
    await storage.put(storage.root / "a/b", b"data")

    with pytest.raises(InvalidRequestError):
        await storage.put(storage.root / "a", b"other")

    assert names_on(wsgidav, storage) == ["a", "a/b"]


async def test_cancelled_write(storage: Storage) -> None:
    """Wherever a write is cancelled, the old object or the new one is there, whole, and nothing else is listed."""
    await storage.put(storage.root / "a/b", b"data")

    for turns in range(30):
        with anyio.move_on_after(0.001 * turns):
            await storage.put(storage.root / "a/b", b"new")
    await anyio.sleep(0.1)  # until the server has carried out the last request

    assert [info.key async for info in storage.list()] == ["a/b"]
    assert await storage.read(storage.root / "a/b") in (b"data", b"new")


async def test_temporary_objects_are_hidden(wsgidav: WsgiDAV, storage: Storage) -> None:
    """What an interrupted program left is not listed, and its name cannot be written to."""
    name = ".asyncstore-upload-0123"
    (wsgidav.folder / storage.root.bucket / name).write_bytes(b"half")

    with pytest.raises(InvalidURIError):
        await storage.put(storage.root / name, b"data")

    assert [info.key async for info in storage.list()] == []


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_tree_on_pages_of_every_size(storage: Storage, sent: list[str], size: int) -> None:
    """A tree is listed in the order of its whole keys, with one request for each page."""
    keys = ["a!/x", "a-x", "a.x/y/z", "a.x/y0", "a/b/c", "a/b0", "a/x", "a0", "b/c/d/e", "b/c/d/f", "c"]
    for key in reversed(keys):
        await storage.put(storage.root / key, b"data")
    del sent[:]

    listed, pages, token = [], 0, None
    while True:
        page = await storage.list_page(storage.root, token=token, options=ListOptions(page_size=size))
        listed += [info.key for info in page.objects]
        assert len(page.objects) <= size
        pages, token = pages + 1, page.next_token
        if token is None:
            break

    assert listed == sorted(keys)
    assert sent == ["PROPFIND"] * pages


@pytest.mark.parametrize(
    ("prefix", "options", "expected"),
    [
        ("foo", {}, ["foo.bar/x", "foo/x", "foo0", "food"]),
        ("foo/", {}, ["foo/x"]),
        ("foo.b", {}, ["foo.bar/x"]),
        ("missing/deep/", {}, []),
        ("foo//", {}, []),
        ("", {"delimiter": "/"}, ["foo.bar/", "foo/", "foo0", "food", "z/"]),
        ("z/", {"delimiter": "/"}, ["z/y/"]),
        ("", {"start_after": "foo/x"}, ["foo0", "food", "z/y/x/w"]),
        ("", {"start_after": "foo//x"}, ["foo/x", "foo0", "food", "z/y/x/w"]),
        ("", {"start_after": "z/y/x/a/b"}, ["z/y/x/w"]),
        ("f", {"start_after": "zzz"}, []),
    ],
)
async def test_places_in_a_tree(storage: Storage, prefix: str, options: dict[str, Any], expected: list[str]) -> None:
    """Prefixes and starts may end anywhere, in collections that exist or not."""
    for key in ("foo/x", "foo.bar/x", "food", "foo0", "z/y/x/w"):
        await storage.put(storage.root / key, b"data")

    listing = storage.list(storage.root / prefix, options=ListOptions(**options))

    assert [info.key async for info in listing] == expected


async def test_missing_bucket_under_a_prefix(storage: Storage) -> None:
    """To list below a prefix in a bucket that is missing is an error too."""
    with pytest.raises(NotFoundError):
        _ = [info async for info in storage.list(ObjectURI("dav", "missing", "a/b/"))]
