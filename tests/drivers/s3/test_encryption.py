"""
The headers that say how an object is encrypted.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from asyncstore import Encryption, open_storage
from asyncstore.errors import ConfigurationError
from tests.servers.scripted import Exchange, reply, saying, scripted

KEYS: dict[str, Any] = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret", "region": "us-east-1"}
KEY = bytes(range(32))
SSE = "x-amz-server-side-encryption"
OBJECT = saying(reply(200, b"x", ETag='"e"'))


async def found(exchange: Exchange) -> None:
    """Answer with an object of one byte, and HEAD without it."""
    await exchange.body()
    whole = reply(200, b"x", ETag='"e"')
    await exchange.send(whole[:-1] if exchange.method == "HEAD" else whole)


COPIED = saying(reply(200, b'<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>', ETag='"e"'))


def sent(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if "encryption" in name}


def of_key(key: bytes, prefix: str = "x-amz-") -> dict[str, str]:
    stem = f"{prefix}server-side-encryption-customer"
    digest = base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode()
    return {f"{stem}-algorithm": "AES256", f"{stem}-key": base64.b64encode(key).decode(), f"{stem}-key-md5": digest}


@pytest.mark.parametrize(
    ("encryption", "expected"),
    [
        (Encryption.managed(), {SSE: "AES256"}),
        (Encryption.kms(), {SSE: "aws:kms"}),
        (
            Encryption.kms("arn:key", bucket_key=True, context={"team": "ä"}),
            {
                SSE: "aws:kms",
                f"{SSE}-aws-kms-key-id": "arn:key",
                f"{SSE}-bucket-key-enabled": "true",
                f"{SSE}-context": base64.b64encode(json.dumps({"team": "ä"}, separators=(",", ":")).encode()).decode(),
            },
        ),
        (
            Encryption.kms("arn:key", dual_layer=True, bucket_key=False),
            {SSE: "aws:kms:dsse", f"{SSE}-aws-kms-key-id": "arn:key", f"{SSE}-bucket-key-enabled": "false"},
        ),
        (Encryption.customer_key(KEY), of_key(KEY)),
    ],
    ids=["managed", "kms-default", "kms-context", "dsse", "customer-key"],
)
async def test_headers_of_a_write(encryption: Encryption, expected: dict[str, str]) -> None:
    """
    A write has what its encryption says, from its options or from the storage.
    """
    async with scripted(OBJECT) as server:
        async with open_storage("s3://bucket", endpoint_url=server.url, **KEYS) as storage:
            await storage.put("k", b"x", encryption=encryption)
        async with open_storage("s3://bucket", endpoint_url=server.url, encryption=encryption, **KEYS) as storage:
            await storage.put("k", b"x")
            # Options say it instead of the storage.
            await storage.put("k", b"x", encryption=Encryption.managed())
    one, other, own = (sent(request.headers) for request in server.requests)
    assert one == other == expected
    assert own == {SSE: "AES256"}


async def test_headers_of_reads_and_copies() -> None:
    """
    Reads have the customer's key, and a copy that of its source and its own.
    """
    other = bytes(32)
    async with (
        scripted(found, found, COPIED, found) as server,
        open_storage("s3://bucket", endpoint_url=server.url, **KEYS) as storage,
    ):
        await storage.read("k", encryption=Encryption.customer_key(KEY))
        key, new = Encryption.customer_key(KEY), Encryption.customer_key(other)
        await storage.copy("k", "copy", source_encryption=key, encryption=new)
    read, look, copy, stat = (sent(request.headers) for request in server.requests)
    assert read == look == of_key(KEY)
    assert copy == of_key(KEY, "x-amz-copy-source-") | of_key(other)
    assert stat == of_key(other)


async def test_key_needs_tls() -> None:
    """
    A request without credentials sends no key over plain HTTP to another machine.
    """
    settings: dict[str, Any] = {"auth_type": "anonymous", "region": "us-east-1"}
    async with open_storage("s3://bucket", endpoint_url="http://store.example", **settings) as storage:
        with pytest.raises(ConfigurationError, match="unencrypted"):
            await storage.read("k", encryption=Encryption.customer_key(KEY))


def test_two_ways_at_once() -> None:
    """
    The storage has one encryption.
    """
    with pytest.raises(ConfigurationError, match="not both"):
        open_storage("s3://bucket", sse="AES256", encryption=Encryption.kms("key"), **KEYS)
    with pytest.raises(ConfigurationError, match="sse_kms_key_id needs"):
        open_storage("s3://bucket", sse="AES256", sse_kms_key_id="key", **KEYS)
