"""
Customer-provided keys and encryption scopes: the headers, since Azurite checks neither.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from asyncstore import Encryption, NotSupportedError, UploadOptions, open_storage
from asyncstore.errors import ConfigurationError
from asyncstore.options import MiB
from tests.servers.scripted import Exchange, reply, saying, scripted

SETTINGS: dict[str, Any] = {"account_name": "account", "account_key": base64.b64encode(b"not a secret").decode()}
KEY = bytes(range(32))
CREATED = saying(reply(201, b"", ETag='"e"', x_ms_copy_status="success"))
OF_KEY = {
    "x-ms-encryption-algorithm": "AES256",
    "x-ms-encryption-key": base64.b64encode(KEY).decode(),
    "x-ms-encryption-key-sha256": base64.b64encode(hashlib.sha256(KEY).digest()).decode(),
}
OF_SCOPE = {"x-ms-encryption-scope": "team"}


async def blob(exchange: Exchange) -> None:
    """Answer with a blob of one byte, and HEAD without it."""
    await exchange.body()
    whole = reply(200, b"x", ETag='"e"', x_ms_copy_status="success")
    await exchange.send(whole[:-1] if exchange.method == "HEAD" else whole)


def sent(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if "encryption" in name}


@pytest.mark.parametrize(
    ("encryption", "expected"),
    [(Encryption.customer_key(KEY), OF_KEY), (Encryption.scope("team"), OF_SCOPE)],
    ids=["key", "scope"],
)
async def test_headers_of_writes(encryption: Encryption, expected: dict[str, str]) -> None:
    """
    A put, each block and the commit have them, from the options or from the storage.
    """
    parts = UploadOptions(part_size=MiB, multipart_threshold=MiB)
    async with scripted(CREATED) as server:
        async with open_storage("azure://container", endpoint_url=server.url, **SETTINGS) as storage:
            await storage.put("k", b"x", encryption=encryption)
            await storage.put("k", bytes(2 * MiB), options=parts, encryption=encryption)
        async with open_storage("azure://container", endpoint_url=server.url, encryption=encryption, **SETTINGS) as own:
            await own.put("k", b"x")
    assert [sent(request.headers) for request in server.requests] == [expected] * 5


async def test_headers_of_reads() -> None:
    """
    Reads have the key, from the options or from the storage.
    """
    key = Encryption.customer_key(KEY)
    async with scripted(blob) as server:
        async with open_storage("azure://container", endpoint_url=server.url, **SETTINGS) as storage:
            await storage.read("k", encryption=key)
            await storage.stat("k", encryption=key)
        async with open_storage("azure://container", endpoint_url=server.url, encryption_key=KEY, **SETTINGS) as own:
            await own.read("k")
    assert [sent(request.headers) for request in server.requests] == [OF_KEY] * 3


async def test_headers_of_copies() -> None:
    """
    A copy into a scope is one request; one into a key is made of blocks, since Azure copies none into a key.
    """
    async with (
        scripted(blob, blob, CREATED) as server,
        open_storage("azure://container", endpoint_url=server.url, **SETTINGS) as storage,
    ):
        await storage.copy("k", "copy", encryption=Encryption.scope("team"))
        scoped = [sent(request.headers) for request in server.requests]
        del server.requests[:]
        await storage.copy("k", "copy", encryption=Encryption.customer_key(KEY))
        with pytest.raises(NotSupportedError, match="source with a customer's key"):
            await storage.copy("k", "copy", source_encryption=Encryption.customer_key(KEY))
    assert scoped[-1] == OF_SCOPE
    *_, block, commit = server.requests
    assert "comp=block&" in block.target
    assert "comp=blocklist" in commit.target
    assert sent(block.headers) == sent(commit.headers) == OF_KEY


def test_key_needs_tls() -> None:
    """
    A storage without credentials takes no key over plain HTTP to another machine.
    """
    place: dict[str, Any] = {"endpoint_url": "http://store.example", "auth_type": "anonymous"}
    with pytest.raises(ConfigurationError, match="unencrypted"):
        open_storage("azure://account/container", encryption_key=KEY, **place)
    assert "customer_key" not in open_storage("azure://account/container", **place).capabilities.encryption_kinds
