"""
Servers that want the bytes of a body signed: they are, after the first refusal.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from aiohttp import web

from asyncstore import MiB, StorageError, UploadOptions
from tests.deviations.loose_s3 import LooseS3, loose_s3, refusal

PARTS = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)


def unsigned(code: str, message: str, status: int = 400) -> LooseS3:
    def refuse(request: web.Request) -> web.Response | None:
        return refusal(status, code, message) if request.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD" else None

    return LooseS3(refuse=refuse)


@pytest.mark.parametrize(
    ("code", "message", "status"),
    [
        ("XAmzContentSHA256Mismatch", "The provided hash does not match what was computed.", 400),
        ("InvalidArgument", "Invalid x-amz-content-sha256.", 400),
        ("NotImplemented", "UNSIGNED-PAYLOAD is not supported.", 501),
    ],
)
async def test_signed_after_a_refusal(code: str, message: str, status: int, tmp_path: Path) -> None:
    """
    Objects, parts and files are written with the hash of their bytes; only the first request is refused.
    """
    server = unsigned(code, message, status)
    source = tmp_path / "file"
    source.write_bytes(b"f" * 300_000)
    async with loose_s3(server) as storage:
        await storage.put(storage.root / "small", b"x")
        await storage.put(storage.root / "large", bytes(6 * MiB), options=PARTS)
        await storage.upload(source, storage.root / "file")
        assert (server.calls["put"], server.calls["part"]) == (3, 2)
        assert "unsigned payloads" in storage.describe()["narrowed"]
    assert server.requests[-1].headers["x-amz-content-sha256"] == hashlib.sha256(b"f" * 300_000).hexdigest()


async def test_a_hash_that_is_refused_too() -> None:
    """
    A server that refuses the right hash as well is an error, and nothing is narrowed.
    """
    server = LooseS3(refuse=lambda _: refusal(400, "XAmzContentSHA256Mismatch"))
    async with loose_s3(server) as storage:
        with pytest.raises(StorageError):
            await storage.put(storage.root / "k", b"x")
        assert "narrowed" not in storage.describe()
    # Without a hash and with it; and both again, since the bytes might have been damaged on their way.
    assert server.calls == {"put": 4}
