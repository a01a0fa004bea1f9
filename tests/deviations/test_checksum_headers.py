"""
Servers that do not know the headers of checksums: they are left out, visibly, where the caller did not ask for them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from aiohttp import web

from asyncstore import ChecksumAlgorithm, MiB, NotSupportedError, Storage, StorageError, UploadOptions
from tests.deviations.loose_s3 import LooseS3, loose_s3, refusal

Refuse = Callable[[web.Request], web.Response | None]

PARTS = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)
LARGE = bytes(6 * MiB)


def names_the_header(request: web.Request) -> web.Response | None:
    """Backblaze B2's refusal."""
    for name in request.headers:
        if name.lower().startswith(("x-amz-checksum", "x-amz-sdk-checksum")):
            text = f"Unsupported header '{name.lower()}' received for this API call."
            return web.Response(status=400) if request.method == "HEAD" else refusal(400, "InvalidArgument", text)
    return None


def not_implemented(request: web.Request) -> web.Response | None:
    """The refusal of Cloudflare R2 and OpenStack Swift."""
    if names_the_header(request) is None:
        return None
    return web.Response(status=501) if request.method == "HEAD" else refusal(501, "NotImplemented")


def of_uploads_only(request: web.Request) -> web.Response | None:
    """Cloudflare R2 has checksums of objects, and none of multipart uploads."""
    return not_implemented(request) if "uploads" in request.query or "uploadId" in request.query else None


async def written(storage: Storage, key: str, data: bytes, **options: object) -> bytes:
    await storage.put(storage.root / key, data, options=UploadOptions(**options))  # type: ignore[arg-type]
    return await storage.read(storage.root / key)


@pytest.mark.parametrize("refuse", [names_the_header, not_implemented])
async def test_done_without(
    refuse: Callable[[web.Request], web.Response | None], caplog: pytest.LogCaptureFixture
) -> None:
    """
    Every verb works at the first try; each kind of header is refused once, and then left out.
    """
    server = LooseS3(refuse=refuse, checksums=False)
    with caplog.at_level(logging.DEBUG, "asyncstore"):
        async with loose_s3(server) as storage:
            assert (await storage.stat(await _object(server, storage))).size == 1
            await storage.put(storage.root / "large", LARGE, options=PARTS)
            assert await storage.read(storage.root / "large") == LARGE
            assert await written(storage, "small", b"x") == b"x"
            before = server.calls.total()
            assert await written(storage, "again", b"y") == b"y"
            assert server.calls.total() - before == 2

            lacking = storage.describe()["narrowed"]
            assert not storage.capabilities.checksums - {ChecksumAlgorithm.MD5}
    for name in ("x-amz-checksum headers", "stored checksums in replies to reads", "checksums of multipart uploads"):
        assert name in lacking
        assert f"the endpoint does not support {name}" in caplog.text


async def _object(server: LooseS3, storage: Storage) -> str:
    server.objects["there"] = b"z"
    return str(storage.root / "there")


async def test_objects_keep_what_uploads_lack() -> None:
    """
    A server that refuses checksums of multipart uploads only is still sent those of objects.
    """
    server = LooseS3(refuse=of_uploads_only)
    async with loose_s3(server) as storage:
        await storage.put(storage.root / "large", LARGE, options=PARTS)
        await storage.put(storage.root / "small", b"x")

        assert server.requests[-1].headers["x-amz-checksum-crc32"]
        assert ChecksumAlgorithm.CRC32 in storage.capabilities.checksums
        assert "checksums of multipart uploads" in storage.describe()["narrowed"]


@pytest.mark.parametrize("checksum", [ChecksumAlgorithm.CRC32, ChecksumAlgorithm.SHA256])
async def test_chosen_checksum_is_not_left_out(checksum: ChecksumAlgorithm) -> None:
    """
    A caller who asks for a checksum gets an error that says what would work.
    """
    async with loose_s3(LooseS3(refuse=names_the_header)) as storage:
        with pytest.raises(StorageError, match="writes that name no checksum are sent without one"):
            await written(storage, "k", b"x", checksum=checksum)
        assert await written(storage, "k", b"x") == b"x"
        with pytest.raises(NotSupportedError, match="checksums"):
            await written(storage, "k", b"x", checksum=checksum)


async def test_none_sends_nothing() -> None:
    """
    checksum="none" sends nothing about checksums, on reads either; verify_checksums=True asks for stored ones.
    """
    server = LooseS3()
    async with loose_s3(server, checksum="none") as storage:
        assert await written(storage, "k", b"x") == b"x"
        await storage.stat(storage.root / "k")
        await storage.put(storage.root / "large", LARGE, options=PARTS)
    assert not [name for request in server.requests for name in request.headers if "checksum" in name.lower()]

    async with loose_s3(server, checksum="none", verify_checksums=True) as storage:
        await storage.read(storage.root / "k")
    assert server.requests[-1].headers["x-amz-checksum-mode"] == "ENABLED"


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidArgument"), (400, "InvalidRequest"), (403, "AccessDenied")])
async def test_other_refusals_are_not_blamed_on_checksums(status: int, code: str) -> None:
    """
    A refusal that is about something else is raised, and leaves checksums on.
    """
    server = LooseS3(refuse=lambda _: refusal(status, code, "The storage class you specified is not valid"))
    async with loose_s3(server) as storage:
        with pytest.raises(StorageError):
            await written(storage, "k", b"x")
        assert server.calls == {"put": 1}
        assert "narrowed" not in storage.describe()


async def test_a_fault_with_and_without_is_not_blamed_on_checksums() -> None:
    """
    Where the request fails without checksums too, they stay on.
    """
    server = LooseS3(refuse=lambda _: refusal(501, "NotImplemented"))
    async with loose_s3(server) as storage:
        with pytest.raises(NotSupportedError):
            await written(storage, "k", b"x")
        assert server.calls == {"put": 2}
        assert "narrowed" not in storage.describe()
