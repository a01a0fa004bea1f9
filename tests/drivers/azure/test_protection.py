"""
Immutability policies and legal holds: the requests, since Azurite has neither.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from asyncstore import PermissionDeniedError, Retention, UploadOptions, open_storage
from asyncstore.options import MiB
from tests.servers.scripted import Exchange, reply, saying, scripted

SETTINGS: dict[str, Any] = {"account_name": "account", "account_key": base64.b64encode(b"not a secret").decode()}
LOCKED = Retention(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "compliance")
UNLOCKED = Retention(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))
POLICY = {
    "x-ms-immutability-policy-until-date": "Wed, 02 Jan 2030 03:04:05 GMT",
    "x-ms-immutability-policy-mode": "Locked",
}
HEADERS = {**POLICY, "x-ms-legal-hold": "true"}
_SHOWN = {name.replace("-", "_"): value for name, value in HEADERS.items()}


async def blob(exchange: Exchange) -> None:
    """Answer with a blob of one byte that is protected, and HEAD without the byte."""
    await exchange.body()
    status = 200 if exchange.method in ("GET", "HEAD") else 201
    whole = reply(status, b"x", ETag='"e"', x_ms_copy_status="success", **_SHOWN)
    await exchange.send(whole[:-1] if exchange.method == "HEAD" else whole)


def sent(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in HEADERS}


async def test_headers_of_writes() -> None:
    """
    A put, the commit of blocks and a copy have them, one that replaces the metadata, too.
    """
    protected: dict[str, Any] = {"retention": LOCKED, "legal_hold": True}
    parts = UploadOptions(part_size=MiB, multipart_threshold=MiB)
    async with (
        scripted(blob) as server,
        open_storage("azure://container", endpoint_url=server.url, **SETTINGS) as storage,
    ):
        await storage.put("k", b"x", **protected)
        await storage.put("k", bytes(2 * MiB), options=parts, **protected)
        await storage.copy("k", "copy", **protected)
        await storage.copy("k", "copy", replace=UploadOptions(metadata={"a": "1"}), **protected)
        info = await storage.stat("k")
    assert (info.retention, info.legal_hold) == (LOCKED, True)
    having = [request for request in server.requests if sent(request.headers)]
    assert [sent(request.headers) for request in having] == [HEADERS] * 4
    assert ["comp=blocklist" in request.target for request in having] == [False, True, False, True]


async def test_requests_about_a_blob() -> None:
    """
    A policy is set and deleted, and a hold set and ended, by requests about the blob or a version of it.
    """
    async with (
        scripted(saying(reply(200, b""))) as server,
        open_storage("azure://container", endpoint_url=server.url, **SETTINGS) as storage,
    ):
        await storage.set_retention("k", LOCKED)
        await storage.set_retention("k", UNLOCKED, version_id="2026-01-01T00:00:00.0000000Z", bypass_retention=True)
        await storage.set_retention("k", None)
        await storage.set_legal_hold("k", held=True)
        await storage.set_legal_hold("k", held=False)
    version = "versionid=2026-01-01T00%3A00%3A00.0000000Z"
    asked = [(request.method, request.target.partition("?")[2], sent(request.headers)) for request in server.requests]
    assert asked == [
        ("PUT", "comp=immutabilityPolicies", POLICY),
        ("PUT", f"comp=immutabilityPolicies&{version}", {**POLICY, "x-ms-immutability-policy-mode": "Unlocked"}),
        ("DELETE", "comp=immutabilityPolicies", {}),
        ("PUT", "comp=legalhold", {"x-ms-legal-hold": "true"}),
        ("PUT", "comp=legalhold", {"x-ms-legal-hold": "false"}),
    ]


@pytest.mark.parametrize("code", ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"])
async def test_refusals(code: str) -> None:
    """
    A protected blob is refused with a conflict, which is not about another writer.
    """
    async with (
        scripted(saying(reply(409, b"", x_ms_error_code=code))) as server,
        open_storage("azure://container", endpoint_url=server.url, **SETTINGS) as storage,
    ):
        with pytest.raises(PermissionDeniedError):
            await storage.delete("k")
        with pytest.raises(PermissionDeniedError):
            await storage.put("k", b"x", if_none_match="*")
