"""
Azure over a faulty network: lost replies, corrupted bytes, throttling, and cancellation at every request.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from asyncstore import Storage, open_storage
from asyncstore.errors import IntegrityError, UnavailableError
from asyncstore.options import CopyOptions, DownloadOptions, MiB, UploadOptions, WriteOptions
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults_proxy import (
    CannedReply,
    CorruptRequest,
    CutReply,
    Fault,
    FaultProxy,
    LoseReply,
    ResetBeforeForwarding,
    StallReply,
    When,
)
from tests.servers.azure import AzureServer, fresh_container

PARTS = UploadOptions(part_size=MiB, multipart_threshold=MiB)
DATA = payload(3 * MiB + 9)

REQUESTS = {
    "block": When(method="PUT", target="comp=block&"),
    "second-block": When(method="PUT", target="comp=block&", nth=2),
    "commit": When(method="PUT", target="comp=blocklist"),
}


@pytest.fixture
async def proxy(azurite: AzureServer) -> AsyncIterator[FaultProxy]:
    upstream = urlsplit(azurite.endpoint_url)
    assert upstream.hostname
    assert upstream.port
    async with FaultProxy(upstream.hostname, upstream.port) as running:
        yield running


@pytest.fixture
async def storage(azurite: AzureServer, proxy: FaultProxy) -> AsyncIterator[Storage]:
    settings = {**azurite.settings, "endpoint_url": f"{proxy.url}/{azurite.account_name}"}
    async with open_storage(f"azure://{fresh_container(azurite)}", **settings, initial_backoff=0.01) as storage:
        yield storage


async def unfinished(storage: Storage) -> list[str]:
    return [upload.upload_id async for upload in storage.list_multipart_uploads()]


def sent(proxy: FaultProxy, when: When) -> int:
    return sum(when.matches(record.method, record.target) for record in proxy.requests)


def test_block_target_does_not_match_a_commit() -> None:
    """
    The pattern that matches the URL of a block does not match that of a commit.
    """
    assert not REQUESTS["block"].matches("PUT", "/c/k?comp=blocklist")


@pytest.mark.parametrize("fault", [LoseReply(), ResetBeforeForwarding(), CannedReply(code="ServerBusy")])
@pytest.mark.parametrize("when", REQUESTS.values(), ids=REQUESTS)
async def test_transient_fault_of_an_upload(storage: Storage, proxy: FaultProxy, when: When, fault: Fault) -> None:
    """
    Any request of an upload may fail once, executed or not: the object is complete and no upload is left.
    """
    rule = proxy.add(fault, when=when)

    info = await storage.put(storage.root / "key", DATA, options=PARTS)

    assert rule.fired == 1
    assert info.size == len(DATA)
    assert await storage.read(storage.root / "key") == DATA
    assert await unfinished(storage) == []


@pytest.mark.parametrize("size", [5, len(DATA)], ids=["one", "parts"])
async def test_lost_reply_of_a_create_only_write(storage: Storage, proxy: FaultProxy, size: int) -> None:
    """
    A create-only write whose reply was lost is recognized as our own.
    """
    when = REQUESTS["commit"] if size > MiB else When(method="PUT")
    proxy.add(LoseReply(), when=when)
    options = UploadOptions(part_size=MiB, multipart_threshold=MiB, if_none_match="*")

    info = await storage.put(storage.root / "key", DATA[:size], options=options)

    assert info.etag == (await storage.stat(storage.root / "key")).etag


@pytest.mark.parametrize("size", [5, len(DATA)], ids=["one", "parts"])
async def test_changed_bytes_are_not_stored(storage: Storage, proxy: FaultProxy, size: int) -> None:
    """
    The service detects a byte that changes in transit, and the old object stays.
    """
    await storage.put(storage.root / "key", b"old")
    proxy.add(CorruptRequest(at=3), when=When(method="PUT"), times=None)

    with pytest.raises(IntegrityError) as failure:
        await storage.put(storage.root / "key", DATA[:size], options=PARTS)

    assert failure.value.code == "Crc64Mismatch"
    proxy.clear()
    assert await storage.read(storage.root / "key") == b"old"


async def test_reads_resume(storage: Storage, proxy: FaultProxy, tmp_path: Path) -> None:
    """
    A truncated reply is resumed where it broke off, streamed or to a file.
    """
    await storage.put(storage.root / "key", DATA)
    proxy.add(CutReply(after=MiB + 1), when=When(method="GET"))
    async with storage.get(storage.root / "key") as stream:
        assert await stream.read() == DATA
    proxy.add(CutReply(after=1000), when=When(method="GET"), times=2)
    await storage.download(storage.root / "key", tmp_path / "file", options=DownloadOptions(part_size=MiB))

    assert (tmp_path / "file").read_bytes() == DATA


async def test_retry_after_is_honoured(storage: Storage, proxy: FaultProxy) -> None:
    """
    A busy server gets the next request after the time that it names.
    """
    proxy.add(CannedReply(code="ServerBusy", retry_after="1"))
    began = asyncio.get_running_loop().time()

    assert not await storage.exists(storage.root / "key")
    assert asyncio.get_running_loop().time() - began >= 1.0


async def _put(storage: Storage) -> Any:
    await storage.put(storage.root / "key", b"new")


async def _put_parts(storage: Storage) -> Any:
    await storage.put(storage.root / "key", DATA, options=PARTS)


async def _copy_replacing(storage: Storage) -> Any:
    options = CopyOptions(replace=WriteOptions(metadata={"a": "1"}))
    await storage.copy(storage.root / "old", storage.root / "key", options=options)


CANCELLED: dict[str, tuple[Any, When]] = {
    "put": (_put, When(method="PUT", target="/key")),
    "read": (lambda storage: storage.read(storage.root / "old"), When(method="GET")),
    "stat": (lambda storage: storage.stat(storage.root / "old"), When(method="HEAD")),
    "list": (lambda storage: storage.list_page(storage.root), When(method="GET", target="comp=list")),
    "delete": (lambda storage: storage.delete(storage.root / "missing"), When(method="DELETE")),
    "batch": (lambda storage: storage.bulk_delete([storage.root / "x"]), When(method="POST", target="comp=batch")),
    "copy": (lambda storage: storage.copy(storage.root / "old", storage.root / "key"), When(method="PUT")),
    "copy-block": (_copy_replacing, When(method="PUT", target="comp=block&")),
    "copy-commit": (_copy_replacing, When(method="PUT", target="comp=blocklist")),
    "tags": (lambda storage: storage.get_tags(storage.root / "old"), When(method="GET", target="comp=tags")),
    **{name: (_put_parts, when) for name, when in REQUESTS.items()},
}


@pytest.mark.parametrize("native", [False, True], ids=["scope", "task"])
@pytest.mark.parametrize(("call", "when"), CANCELLED.values(), ids=CANCELLED)
async def test_cancelled(storage: Storage, proxy: FaultProxy, call: Any, when: When, native: bool) -> None:
    """
    Wherever a call is cancelled, no connection stays busy, no upload is left, and the storage still works.
    """
    await storage.put(storage.root / "old", b"old")
    rule = proxy.add(StallReply(), when=when)

    async def reached() -> None:
        while not rule.fired:
            await anyio.sleep(0.005)

    with anyio.fail_after(20):
        if native:
            task = asyncio.ensure_future(call(storage))
            await reached()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(call, storage)
                await reached()
                group.cancel_scope.cancel()
        proxy.clear()
        assert await unfinished(storage) == []

    assert storage.statistics().requests_in_flight == 0
    assert await storage.read(storage.root / "old") == b"old"


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
async def test_interrupted_upload_resumes(storage: Storage, proxy: FaultProxy, tmp_path: Path, nth: int) -> None:
    """
    An upload that fails at any block resumes with the blocks that the service has, even if replies were lost.
    """
    (tmp_path / "file").write_bytes(DATA)
    options = UploadOptions(part_size=MiB, multipart_threshold=MiB, max_concurrency=1, resume=True)
    proxy.add(LoseReply(), when=When(method="PUT", target="comp=block&", nth=nth), times=None)
    with pytest.raises(UnavailableError):
        await storage.upload(tmp_path / "file", storage.root / "key", options=options)
    proxy.clear()
    before = sent(proxy, REQUESTS["block"])

    await storage.upload(tmp_path / "file", storage.root / "key", options=options)

    assert sent(proxy, REQUESTS["block"]) - before == 4 - nth
    assert await storage.read(storage.root / "key") == DATA
    assert await unfinished(storage) == []
