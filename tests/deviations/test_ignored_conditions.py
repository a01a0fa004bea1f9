"""
Servers that speak S3 and ignore the conditions of writes: the object is looked at before it is overwritten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from asyncstore import (
    AlreadyExistsError,
    BulkOptions,
    CopyOptions,
    DeleteOptions,
    MiB,
    NotModifiedError,
    NotSupportedError,
    PreconditionFailedError,
    ReadOptions,
    Storage,
    StorageError,
    Upload,
    UploadOptions,
)
from tests.cli.shell import run
from tests.deviations.loose_s3 import LooseS3, loose_s3, md5, refusal, serving

Write = Callable[..., Awaitable[object]]
LARGE = bytes(6 * MiB)


async def put(storage: Storage, **condition: str) -> None:
    await storage.put(storage.root / "k", b"new", options=UploadOptions(**condition))  # type: ignore[arg-type]


async def put_parts(storage: Storage, **condition: str) -> None:
    options = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB, **condition)  # type: ignore[arg-type]
    await storage.put(storage.root / "k", LARGE, options=options)


async def put_stream(storage: Storage, **condition: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"new"

    await storage.put(storage.root / "k", chunks(), options=UploadOptions(**condition))  # type: ignore[arg-type]


async def complete(storage: Storage, **condition: str) -> None:
    uri, options = storage.root / "k", UploadOptions(**condition)  # type: ignore[arg-type]
    upload = await storage.initiate_multipart_upload(uri, options=options)
    part = await storage.upload_part(uri, upload, 1, b"new", options=options)
    await storage.complete_multipart_upload(uri, upload, [part], options=options)


async def copy(storage: Storage, **condition: str) -> None:
    await storage.copy(storage.root / "source", storage.root / "k", options=CopyOptions(**condition))  # type: ignore[arg-type]


async def delete(storage: Storage, **condition: str) -> None:
    await storage.delete(storage.root / "k", options=DeleteOptions(**condition))  # type: ignore[arg-type]


WRITES = [put, put_parts, put_stream, complete, copy]


def ignoring() -> LooseS3:
    return LooseS3(conditions=False, objects={"k": b"precious", "source": b"new"})


@pytest.mark.parametrize("write", WRITES)
async def test_create_only(write: Write) -> None:
    """
    An object that exists is not overwritten; one that does not is written.
    """
    server = ignoring()
    async with loose_s3(server) as storage:
        with pytest.raises(AlreadyExistsError):
            await write(storage, if_none_match="*")
        assert server.objects["k"] == b"precious"

        del server.objects["k"]
        await write(storage, if_none_match="*")
        assert server.objects["k"] != b"precious"


@pytest.mark.parametrize("write", [*WRITES, delete])
async def test_compare_and_swap(write: Write) -> None:
    """
    Another version is neither replaced nor deleted, nor is a missing object written; the right version is.
    """
    server = ignoring()
    async with loose_s3(server) as storage:
        with pytest.raises(PreconditionFailedError):
            await write(storage, if_match=md5(b"older"))
        assert server.objects["k"] == b"precious"
        await write(storage, if_match=md5(b"precious"))
        assert server.objects.pop("k", None) != b"precious"

        with pytest.raises(PreconditionFailedError):
            await write(storage, if_match=md5(b"precious"))
        assert "k" not in server.objects


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (ReadOptions(if_match=md5(b"older")), PreconditionFailedError),
        (ReadOptions(if_none_match=md5(b"precious")), NotModifiedError),
        (ReadOptions(if_modified_since=datetime(2030, 1, 1, tzinfo=UTC)), NotModifiedError),
        (ReadOptions(if_unmodified_since=datetime(2020, 1, 1, tzinfo=UTC)), PreconditionFailedError),
    ],
)
@pytest.mark.parametrize("verb", ["read", "stat", "get"])
async def test_reads(verb: str, options: ReadOptions, kind: type[StorageError]) -> None:
    """
    The conditions of reads hold, too, by what the reply says of the object.
    """
    server = ignoring()
    server.extra_headers["Last-Modified"] = "Mon, 01 Jan 2024 00:00:00 GMT"
    async with loose_s3(server) as storage:
        with pytest.raises(kind):
            if verb == "get":
                async with storage.get(storage.root / "k", options=options):
                    pass
            else:
                await getattr(storage, verb)(storage.root / "k", options=options)
        assert await storage.read(storage.root / "k", options=ReadOptions(if_match=md5(b"precious"))) == b"precious"


async def test_bulk_upload_skips(tmp_path: Path) -> None:
    """
    A bulk upload counts the object as skipped, and leaves it alone.
    """
    source = tmp_path / "file"
    source.write_bytes(b"new")
    server = ignoring()
    async with loose_s3(server) as storage:
        options = BulkOptions(upload=UploadOptions(if_none_match="*"))
        result = await storage.bulk_upload([Upload(source, storage.root / "k")], options=options)
    assert (result.done, result.skipped, server.objects["k"]) == (0, 1, b"precious")


async def test_proven_conditions_are_left_to_the_endpoint() -> None:
    """
    After the endpoint has refused a write by its condition, no look precedes another; describe() says which it is.
    """
    server = LooseS3()
    async with loose_s3(server) as storage:
        assert "looked at first" in storage.describe()["conditions"]
        server.refuse = lambda request: refusal(412, "PreconditionFailed") if request.method == "PUT" else None
        with pytest.raises(AlreadyExistsError):
            await put(storage, if_none_match="*")
        assert server.calls == {"head": 1, "put": 1}
        server.refuse = lambda _: None
        await put(storage, if_none_match="*")
        assert server.calls == {"head": 1, "put": 2}

        # Another kind of condition is not proven by it.
        await put(storage, if_match=md5(b"new"))
        assert server.calls == {"head": 2, "put": 3}


async def test_unconditional_writes_are_not_looked_at() -> None:
    """
    Nothing precedes a write without a condition.
    """
    server = ignoring()
    async with loose_s3(server) as storage:
        await put(storage)
        await storage.delete(storage.root / "k")
    assert server.calls == {"put": 1, "delete": 1}


async def test_look_that_is_forbidden() -> None:
    """
    Credentials that may only write still write.
    """
    server = LooseS3(refuse=lambda request: web.Response(status=403) if request.method == "HEAD" else None)
    async with loose_s3(server) as storage:
        await put(storage, if_none_match="*")
        with pytest.raises(AlreadyExistsError):
            await put(storage, if_none_match="*")
    assert server.objects == {"k": b"new"}


@pytest.mark.parametrize(
    ("name", "condition"), [("If-None-Match", {"if_none_match": "*"}), ("If-Match", {"if_match": "*"})]
)
@pytest.mark.parametrize("status", [400, 501])
async def test_refused_condition(name: str, condition: dict[str, str], status: int) -> None:
    """
    A server that refuses the header: an error before the next request, never a write without the condition.
    """

    def refuse(request: web.Request) -> web.Response | None:
        return refusal(status, "NotImplemented", f"Unsupported header '{name}'") if name in request.headers else None

    server = LooseS3(refuse=refuse, objects={} if name == "If-None-Match" else {"k": b"precious"})
    before = dict(server.objects)
    async with loose_s3(server) as storage:
        for _ in range(2):
            with pytest.raises(NotSupportedError):
                await put(storage, **condition)
        assert name in storage.describe()["narrowed"]
    assert server.objects == before
    assert server.calls["put"] <= 2


async def test_no_overwrite_of_the_command(tmp_path: Path) -> None:
    """
    `cp --no-overwrite` skips what exists.
    """
    source = tmp_path / "file"
    source.write_bytes(b"new")
    keys = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_REGION": "us-east-1"}
    async with serving(ignoring()) as server:
        arguments = ("cp", "--no-overwrite", "--endpoint-url", server.url, source, "s3://bucket/k")
        result = await asyncio.to_thread(run, *arguments, env=keys)
    assert (result.returncode, server.objects["k"]) == (0, b"precious"), result.stderr
