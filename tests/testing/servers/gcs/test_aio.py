"""
gcloud-aio-storage works against the stand-in for GCS without changes.
"""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from gcloud.aio.auth import Token
from gcloud.aio.storage import Storage

from asyncstore.testing.servers.gcs import GCSServer, Settings
from tests.servers.gcs_client import MIB, account, key_file, random_bytes

_SCOPES = ["https://www.googleapis.com/auth/devstorage.full_control"]


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    async with GCSServer(buckets=["b-1"]) as running:
        yield running


@pytest.fixture
async def client(server: GCSServer) -> AsyncIterator[Storage]:
    session: Any
    async with aiohttp.ClientSession() as session:
        yield Storage(session=session, api_root=server.url)


async def test_uploads_of_all_kinds(client: Storage) -> None:
    """Simple, multipart and resumable uploads can be read back, in full and in ranges."""
    small, large = random_bytes(1000), random_bytes(6 * MIB)
    await client.upload("b-1", "simple", small)
    metadata = {"metadata": {"colour": "blue"}, "content-language": "de"}
    await client.upload("b-1", "multi/part", small, content_type="text/x-test", metadata=metadata)
    await client.upload("b-1", "resumable", io.BytesIO(large), force_resumable_upload=True)

    assert await client.download("b-1", "simple") == small
    assert await client.download("b-1", "resumable") == large
    assert await client.download("b-1", "resumable", headers={"Range": "bytes=5-9"}) == large[5:10]
    found = await client.download_metadata("b-1", "multi/part")
    assert (found["metadata"], found["contentType"], found["size"]) == ({"colour": "blue"}, "text/x-test", "1000")


async def test_streamed_download(client: Storage) -> None:
    """A download in chunks returns the whole object."""
    data = random_bytes(3 * MIB)
    await client.upload("b-1", "a", data)
    stream = await client.download_stream("b-1", "a")
    received = bytearray()
    while chunk := await stream.read(MIB):
        received += chunk

    assert received == data


async def test_lists_copies_and_changes(client: Storage) -> None:
    """Listing, copying, patching and deleting work."""
    for name in ("d/a", "d/b", "e"):
        await client.upload("b-1", name, name.encode())
    listed = await client.list_objects("b-1", params={"delimiter": "/"})
    assert ([item["name"] for item in listed["items"]], listed["prefixes"]) == (["e"], ["d/"])

    await client.copy("b-1", "d/a", "b-1", new_name="f")
    assert await client.download("b-1", "f") == b"d/a"
    patched = await client.patch_metadata("b-1", "e", {"metadata": {"x": "y"}})
    assert (patched["metadata"], patched["metageneration"]) == ({"x": "y"}, "2")
    await client.delete("b-1", "e")
    with pytest.raises(aiohttp.ClientResponseError, match="404"):
        await client.download("b-1", "e")


@pytest.mark.skipif(not hasattr(Storage, "compose"), reason="this version cannot compose")
async def test_compose(client: Storage) -> None:
    """Compose concatenates objects in the requested order."""
    for name in ("b", "a"):
        await client.upload("b-1", name, name.encode())
    await client.compose("b-1", "c", ["b", "a", "b"])

    assert await client.download("b-1", "c") == b"bab"


async def test_conditions(client: Storage) -> None:
    """A failed precondition is a 412."""
    await client.upload("b-1", "a", b"1")
    with pytest.raises(aiohttp.ClientResponseError, match="412"):
        await client.upload("b-1", "a", b"2", parameters={"ifGenerationMatch": "0"})
    with pytest.raises(aiohttp.ClientResponseError, match="412"):
        await client.delete("b-1", "a", params={"ifGenerationMatch": "1"})

    assert await client.download("b-1", "a") == b"1"


@pytest.mark.skipif(
    "api_is_dev" not in inspect.signature(Storage).parameters, reason="this version sends no token to another address"
)
async def test_service_account() -> None:
    """A client with a service account's key file gets its token from the server."""
    session: Any
    settings = Settings(tokens=(), accounts=[account()])
    async with GCSServer(buckets=["b-1"], settings=settings) as server, aiohttp.ClientSession() as session:
        held = io.StringIO(json.dumps(key_file(server.url)))
        token = Token(service_file=held, session=session, scopes=_SCOPES)
        client = Storage(session=session, token=token, api_root=server.url, api_is_dev=False)
        await client.upload("b-1", "a", b"1")
        assert await client.download("b-1", "a") == b"1"
        await token.close()

        assert server.issuer.calls == {"jwt-bearer": 1}
        assert all("authorization" in one.headers for one in server.requests if one.path != "/token")
