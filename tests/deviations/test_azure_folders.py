"""
Azure accounts with a hierarchical namespace, and containers with the folder markers of Hadoop and blobfuse.

A directory answers HEAD and GET like an empty blob, is listed beside the blobs, cannot be deleted before what is in it
(Azure/azure-cli#23062), and has no snapshots (Azure/azure-storage-fuse#1068).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from asyncstore import Difference, Storage, compare_trees, download_tree, open_storage, sync_tree
from asyncstore.errors import InvalidRequestError, NotFoundError
from asyncstore.options import ListOptions
from tests.cli.shell import run, tree
from tests.servers.scripted import Exchange, Scripted, reply, scripted

KEY: Final = "ZmFrZS1rZXk="
DATE: Final = "Thu, 01 Jan 2026 00:00:00 GMT"


@dataclass
class Account:
    """
    One container, by the names in it.

    Attributes:
        hierarchical: Whether empty names are directories, and not blobs with the metadata of markers.
        blobs: The content of each; ``None`` for a directory or marker.
        locked: Names that are not deleted.
        deleted: The names in the order in which they were deleted.
    """

    hierarchical: bool
    blobs: dict[str, bytes | None]
    locked: frozenset[str] = frozenset()
    deleted: list[str] = field(default_factory=list)

    async def __call__(self, exchange: Exchange) -> None:
        body = await exchange.body()
        url = urlsplit(exchange.target)
        query = dict(parse_qsl(url.query))
        name = unquote(url.path).removeprefix("/acct/container").removeprefix("/")
        if query.get("comp") == "list":
            await exchange.send(self._listing(query))
        elif query.get("comp") == "batch":
            await exchange.send(self._batch(body.decode()))
        elif query.get("comp") == "blocklist":
            await exchange.send(reply(404, x_ms_error_code="BlobNotFound"))
        elif exchange.method == "DELETE":
            await exchange.send(self._plain(*self._delete(name, exchange.headers)))
        elif name not in self.blobs:
            await exchange.send(reply(404, x_ms_error_code="BlobNotFound"))
        else:
            await exchange.send(self._blob(name, head=exchange.method == "HEAD"))

    def _blob(self, name: str, *, head: bool) -> bytes:
        data = self.blobs[name]
        headers = {"ETag": '"0x1"', "Last_Modified": DATE, "x_ms_blob_type": "BlockBlob"}
        if data is None:
            headers["x_ms_meta_hdi_isfolder"] = "true"
        if self.hierarchical:
            headers["x_ms_resource_type"] = "directory" if data is None else "file"
        text = reply(200, data or b"", **headers).replace(b"x-ms-meta-hdi-isfolder", b"x-ms-meta-hdi_isfolder")
        return text[: len(text) - len(data or b"")] if head else text

    def _listing(self, query: Mapping[str, str]) -> bytes:
        told = "metadata" in query.get("include", "")
        found = [name for name in sorted(self.blobs) if name.startswith(query.get("prefix", ""))]
        items = "".join(self._entry(name, told) for name in found[: int(query["maxresults"])])
        xml = f"<EnumerationResults><Blobs>{items}</Blobs><NextMarker/></EnumerationResults>"
        return reply(200, xml.encode())

    def _entry(self, name: str, told: bool) -> str:
        data = self.blobs[name]
        kind = f"<ResourceType>{'directory' if data is None else 'file'}</ResourceType>" if self.hierarchical else ""
        metadata = "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>" if told and data is None else ""
        return (
            f"<Blob><Name>{escape(name)}</Name><Properties><Etag>0x1</Etag><Last-Modified>{DATE}</Last-Modified>"
            f"<Content-Length>{len(data or b'')}</Content-Length>{kind}</Properties>{metadata}</Blob>"
        )

    def _batch(self, body: str) -> bytes:
        boundary = body.partition("\r\n")[0].removeprefix("--")
        text = ""
        for part in body.split(f"--{boundary}")[1:-1]:
            number = re.search(r"Content-ID: (\d+)", part)
            target = re.search(r"DELETE (\S+) HTTP", part)
            assert number is not None
            assert target is not None
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in part.split("\r\n"))}
            name = unquote(target.group(1).partition("?")[0]).removeprefix("/acct/container/")
            status, code = self._delete(name, headers)
            text += f"--b\r\nContent-Type: application/http\r\nContent-ID: {number.group(1)}\r\n\r\n"
            text += f"HTTP/1.1 {status} Said\r\n"
            text += f"x-ms-error-code: {code}\r\n\r\n\r\n" if code else "\r\n\r\n"
        return reply(202, f"{text}--b--\r\n".encode(), Content_Type="multipart/mixed; boundary=b")

    def _delete(self, name: str, headers: Mapping[str, str]) -> tuple[int, str]:
        if name not in self.blobs:
            return 404, "BlobNotFound"
        if name in self.locked:
            return 412, "LeaseIdMissing"
        if self.hierarchical and self.blobs[name] is None:
            if "x-ms-delete-snapshots" in headers:
                return 400, "OperationNotSupportedOnDirectory"
            if any(other.startswith(f"{name}/") for other in self.blobs):
                return 409, "DirectoryIsNotEmpty"
        del self.blobs[name]
        self.deleted.append(name)
        return 202, ""

    def _plain(self, status: int, code: str) -> bytes:
        return reply(status, x_ms_error_code=code) if code else reply(status)


TREE: Final[Mapping[str, bytes | None]] = {
    "logs": None,
    "logs/day": None,
    "logs/day/one": b"1",
    "logs/day/two": b"2",
    "logs/empty": None,
    "logs/empty/deep": None,
    "logs/top": b"3",
    "logs-old": b"4",
}


@asynccontextmanager
async def serving(account: Account, **settings: Any) -> AsyncIterator[tuple[Storage, Scripted]]:
    async with scripted(account) as server:
        place = {"endpoint_url": f"{server.url}/acct", "account_key": KEY, **settings}
        async with open_storage("azure://container", **place) as storage:
            yield storage, server


def environment(server: Scripted) -> dict[str, str]:
    said = f"AccountName=acct;AccountKey={KEY};BlobEndpoint={server.url}/acct"
    return {"AZURE_STORAGE_CONNECTION_STRING": said}


async def test_directory_is_no_object() -> None:
    """
    A directory does not exist as an object, is not read as an empty one, and is not listed.
    """
    async with serving(Account(True, dict(TREE))) as (storage, _):
        assert not await storage.exists(storage.root / "logs/day")
        with pytest.raises(NotFoundError, match="directory"):
            await storage.stat(storage.root / "logs/day")
        with pytest.raises(NotFoundError, match="directory"):
            await storage.read(storage.root / "logs/day")
        with pytest.raises(NotFoundError, match="directory"):
            async with storage.get(storage.root / "logs/day"):
                pass
        assert [info.key async for info in storage.list(storage.root / "logs/day")] == ["logs/day/one", "logs/day/two"]


async def test_directory_is_not_downloaded(tmp_path: Path) -> None:
    """
    Downloading a directory or the marker of one is an error, and leaves no file.
    """
    for hierarchical, error in ((True, NotFoundError), (False, InvalidRequestError)):
        async with serving(Account(hierarchical, dict(TREE))) as (storage, _):
            with pytest.raises(error):
                await storage.download(storage.root / "logs/day", tmp_path / "day")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("hierarchical", [True, False], ids=["directories", "markers"])
async def test_listing_tells_folders(hierarchical: bool) -> None:
    """
    A listing tells directories and markers if it is asked to.
    """
    async with serving(Account(hierarchical, dict(TREE))) as (storage, _):
        options = ListOptions(folders=True)
        found = [info async for info in storage.list(storage.root / "logs/", options=options)]

    assert [info.key for info in found if info.is_folder] == ["logs/day", "logs/empty", "logs/empty/deep"]
    assert all(info.is_prefix is (hierarchical and info.is_folder) for info in found)


@pytest.mark.parametrize("hierarchical", [True, False], ids=["directories", "markers"])
async def test_tree_is_downloaded(hierarchical: bool, tmp_path: Path) -> None:
    """
    A tree with directories or their markers becomes the files in it.
    """
    async with serving(Account(hierarchical, dict(TREE))) as (_, server):
        arguments = ("cp", "-r", "azure://container/logs/", tmp_path / "out")
        result = await asyncio.to_thread(run, *arguments, env=environment(server))

    assert (result.returncode, result.stderr) == (0, result.stderr)
    assert tree(tmp_path / "out") == {"day/one": b"1", "day/two": b"2", "top": b"3"}


@pytest.mark.parametrize("hierarchical", [True, False], ids=["directories", "markers"])
async def test_empty_folders_are_downloaded(hierarchical: bool, tmp_path: Path) -> None:
    """
    Directories and markers become directories if they are asked for, and a sync finds nothing to do then.
    """
    async with serving(Account(hierarchical, dict(TREE))) as (_, server):
        source = f"{server.url}/acct"
        async with open_storage("azure://container/logs", endpoint_url=source, account_key=KEY) as storage:
            done = await download_tree(storage, tmp_path / "out", empty_folders=True)
            synced = await sync_tree(storage, tmp_path / "out", empty_folders=True, delete=True)
            plain = await sync_tree(storage, tmp_path / "plain")
            to_objects = await compared(storage, tmp_path)

    assert (done.failed, synced.transferred.done, synced.deleted) == (0, 3, None)
    assert tree(tmp_path / "out") == tree(tmp_path / "plain") == {"day/one": b"1", "day/two": b"2", "top": b"3"}
    assert (tmp_path / "out/empty/deep").is_dir()
    assert not (tmp_path / "plain/empty").exists()
    assert plain.transferred.done == 3
    assert to_objects == {"day/", "empty/", "empty/deep/", "day/one", "day/two", "top"}


async def compared(storage: Storage, folder: Path) -> set[str]:
    async with open_storage(f"file://{folder}/store/") as other:
        return {
            step.name
            async for step in compare_trees(storage, other, empty_folders=True)
            if isinstance(step, Difference)
        }


@pytest.mark.parametrize("hierarchical", [True, False], ids=["directories", "markers"])
async def test_markers_are_not_copied_to_another_provider(hierarchical: bool, tmp_path: Path) -> None:
    """
    A marker that only its metadata tells is left out where it would be an empty file.
    """
    async with serving(Account(hierarchical, dict(TREE))) as (_, server):
        arguments = ("cp", "-r", "azure://container/logs/", (tmp_path / "out").as_uri() + "/")
        await asyncio.to_thread(run, *arguments, env=environment(server))

    assert tree(tmp_path / "out") == {"day/one": b"1", "day/two": b"2", "top": b"3"}


@pytest.mark.parametrize("hierarchical", [True, False], ids=["directories", "markers"])
@pytest.mark.parametrize("snapshots", [True, False])
async def test_tree_is_deleted(hierarchical: bool, snapshots: bool) -> None:
    """
    ``rm -r`` deletes the files, then the directories from the deepest one up, and the named one at last.
    """
    account = Account(hierarchical, dict(TREE))
    async with serving(account) as (_, server):
        extra = ("--set", "delete_snapshots=true") if snapshots else ()
        arguments = ("rm", "-r", "-y", "azure://container/logs", *extra)
        result = await asyncio.to_thread(run, *arguments, env=environment(server))

    assert result.returncode == 0, result.stderr
    assert list(account.blobs) == ["logs-old"]
    assert account.deleted[-1] == "logs"
    assert account.deleted.index("logs/empty/deep") < account.deleted.index("logs/empty")


async def test_part_of_a_tree_is_deleted() -> None:
    """
    With a filter, directories stay; so do those in which an object could not be deleted, without further errors.
    """
    account = Account(True, dict(TREE))
    async with serving(account) as (_, server):
        arguments = ("rm", "-r", "-y", "azure://container/logs", "--include", "*one")
        await asyncio.to_thread(run, *arguments, env=environment(server))
    assert account.deleted == ["logs/day/one"]

    account = Account(True, dict(TREE), locked=frozenset({"logs/day/one"}))
    async with serving(account) as (_, server):
        result = await asyncio.to_thread(run, *arguments[:4], env=environment(server))
    assert result.returncode != 0
    assert b"DirectoryIsNotEmpty" not in result.stderr
    assert sorted(account.blobs) == ["logs", "logs-old", "logs/day", "logs/day/one"]


async def test_directory_that_is_not_empty() -> None:
    """
    Deleting a directory that is not empty is refused, and says so; it is not a failed condition.
    """
    account = Account(True, dict(TREE))
    async with serving(account) as (storage, _):
        with pytest.raises(InvalidRequestError) as caught:
            await storage.delete(storage.root / "logs")
        result = await storage.bulk_delete([storage.root / "logs", storage.root / "logs/top"])

    assert caught.value.code == "DirectoryIsNotEmpty"
    assert [outcome.error and outcome.error.code for outcome in result.outcomes] == ["DirectoryIsNotEmpty", None]


async def test_empty_directory_with_snapshots_setting() -> None:
    """
    A directory, which has no snapshots, can be deleted by a storage that deletes snapshots too.
    """
    account = Account(True, dict(TREE))
    async with serving(account, delete_snapshots=True) as (storage, _):
        await storage.delete(storage.root / "logs/empty/deep")
        result = await storage.bulk_delete([storage.root / "logs/empty", storage.root / "logs/top"])

    assert result.failed == 0
    assert account.deleted == ["logs/empty/deep", "logs/top", "logs/empty"]
