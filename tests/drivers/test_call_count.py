"""
The hot path stays short: how many Python functions one small read calls.
"""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from types import FrameType
from typing import Any, Final, NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from asyncstore.storage import Storage, open_storage

BODY = b"x" * 1024
_COMMON: Final = (
    "Date: Wed, 12 Mar 2025 17:50:00 GMT",
    "Last-Modified: Wed, 12 Mar 2025 17:50:00 GMT",
    "Content-Type: binary/octet-stream",
    "Content-Length: 1024",
)

_KEY: Final = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


_AZURE: Final = """
    x-ms-request-id: 0A49CE40-60975EAC
    x-ms-version: 2026-02-06
    x-ms-blob-type: BlockBlob
    x-ms-server-encrypted: true
    ETag: "0x8DD619A"
    Accept-Ranges: bytes
    """


class Provider(NamedTuple):
    """
    A provider that signs its requests.

    Attributes:
        headers: As many as it sends, so that the library parses as many.
        bound: The most calls. OCI takes more, since its replies have only an MD5, which is compared as well.
    """

    uri: str
    settings: dict[str, Any]
    headers: str
    bound: int


PROVIDERS: Final = {
    "s3": Provider(
        "s3://bucket",
        {"region": "us-east-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "fake-secret"},
        """
        x-amz-id-2: GfDP3k0B
        x-amz-request-id: 0A49CE4060975EAC
        ETag: "7265f4d211b56873a381d321f586e4a9"
        Accept-Ranges: bytes
        Server: AmazonS3
        """,
        200,
    ),
    "gcs": Provider(
        "gs://bucket",
        {"token": "fake-token", "allow_http": True},
        """
        x-goog-generation: 1741801800000000
        x-goog-metageneration: 1
        x-goog-hash: crc32c=63NV2Q==
        x-goog-stored-content-length: 1024
        ETag: "CNC2"
        Server: UploadServer
        """,
        200,
    ),
    "azure-key": Provider(
        "azure://container@account",
        {"account_key": "ZmFrZS1rZXk="},
        _AZURE,
        200,
    ),
    "azure-sas": Provider(
        "azure://container@account",
        {"sas_token": "sv=2026&sig=ZmFrZQ%3D%3D"},
        _AZURE,
        200,
    ),
    "oci": Provider(
        "oci://namespace@eu-frankfurt-1/bucket",
        {
            "tenancy": "ocid1.tenancy.oc1..fake",
            "user": "ocid1.user.oc1..fake",
            "fingerprint": "fa:ke",
            "key_content": _KEY.decode(),
        },
        """
        etag: 5e4c8a10
        opc-request-id: fra-1:abc
        version-id: 1
        Content-MD5: cmX00hG1aHOjgdMh9YbkqQ==
        Accept-Ranges: bytes
        """,
        214,
    ),
}


@contextmanager
def serving(headers: str) -> Iterator[str]:
    """
    A server in its own thread, whose calls are not counted.
    """
    lines = [line.strip() for line in headers.strip().splitlines()]
    reply = "\r\n".join(["HTTP/1.1 200 OK", *lines, *_COMMON, "", ""]).encode() + BODY
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, reply), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _serve(listener: socket.socket, reply: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        received = b""
        while data := connection.recv(65536):
            received += data
            while b"\r\n\r\n" in received:
                _, _, received = received.partition(b"\r\n\r\n")
                connection.sendall(reply)


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
async def test_warm_signed_read_of_1_kib(provider: Provider) -> None:
    """
    At most 200 calls of Python functions on most providers, those of aiohttp and asyncio included.

    Each entry of a function and each resumption of a coroutine counts, in the thread of
    the event loop from ``storage.read()`` to its result; functions in C do not count.
    """
    with serving(provider.headers) as endpoint:
        storage = open_storage(provider.uri, endpoint_url=endpoint, **provider.settings)
        counts = await _counts(storage)

    # A reply that arrives in two pieces costs a few more.
    assert min(counts) <= provider.bound, counts
    assert min(counts) > 100, "nothing was counted"


async def _counts(opening: AbstractAsyncContextManager[Storage]) -> list[int]:
    async with opening as storage:
        for _ in range(20):
            await storage.read(storage.root / "key")
        counts = []
        for _ in range(5):
            calls = 0

            def profile(frame: FrameType, event: str, arg: Any) -> None:
                nonlocal calls
                calls += event == "call"

            sys.setprofile(profile)
            try:
                data = await storage.read(storage.root / "key")
            finally:
                sys.setprofile(None)
            assert data == BODY
            counts.append(calls)
    return counts
