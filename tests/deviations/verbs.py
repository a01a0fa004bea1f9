"""
Every verb of five providers, for servers that treat all requests alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from asyncstore.errors import StorageError
from asyncstore.options import MiB, UploadOptions
from asyncstore.storage import Storage, open_storage
from asyncstore.types import Download, Upload
from tests.build import stream
from tests.servers.scripted import Exchange

_KEY: Final = rsa.generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)

PROVIDERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "s3": (
        "s3://bucket/",
        {"region": "us-east-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "fake-secret"},
    ),
    "gcs": ("gs://bucket/", {"token": "fake-token", "allow_http": True}),
    "azure": ("azure://container@account/", {"account_key": "ZmFrZS1rZXk="}),
    "oci": (
        "oci://namespace@eu-frankfurt-1/bucket/",
        {
            "tenancy": "ocid1.tenancy.oc1..fake",
            "user": "ocid1.user.oc1..fake",
            "fingerprint": "fa:ke",
            "key_content": _KEY.decode(),
        },
    ),
    "github": ("github://owner/repository/releases/v1/", {"token": "fake-token"}),
}


def opened(provider: str, url: str, **settings: Any) -> AbstractAsyncContextManager[Storage]:
    """
    Open a storage with credentials on a server.
    """
    uri, own = PROVIDERS[provider]
    return open_storage(uri, endpoint_url=url, **{"initial_backoff": 0.0, **own, **settings})


async def silence(exchange: Exchange) -> None:
    """
    Answer nothing.
    """
    await exchange.reader.read()


# What needs no request: the blocks of an upload to Azure begin and end it.
SENT_NOTHING: Final = {"azure": {"initiate", "abort"}}
UNSUPPORTED: Final[dict[str, dict[str, str]]] = {
    "github": dict.fromkeys(("copy", "initiate", "abort"), "NotSupportedError")
}


_PARTS: Final = UploadOptions(multipart_threshold=1)


async def _get(storage: Storage, path: Path) -> None:
    async with storage.get(storage.root / "key"):
        pass


async def _list(storage: Storage, path: Path) -> None:
    async for _ in storage.list():
        pass


async def _bulk(operation: Awaitable[Any]) -> None:
    result = await operation
    assert 1 == result.failed
    result.raise_for_failures()


Verb = Callable[[Storage, Path], Awaitable[Any]]

VERBS: Final[dict[str, Verb]] = {
    "get": _get,
    "read": lambda storage, path: storage.read(storage.root / "key"),
    "stat": lambda storage, path: storage.stat(storage.root / "key"),
    "exists": lambda storage, path: storage.exists(storage.root / "key"),
    "list": _list,
    "put": lambda storage, path: storage.put(storage.root / "key", b"data"),
    "put a stream": lambda storage, path: storage.put(storage.root / "key", stream(b"data")),
    "put in parts": lambda storage, path: storage.put(storage.root / "key", bytes(MiB), options=_PARTS),
    "upload": lambda storage, path: storage.upload(path, storage.root / "key"),
    "upload in parts": lambda storage, path: storage.upload(path, storage.root / "key", options=_PARTS),
    "download": lambda storage, path: storage.download(storage.root / "key", path),
    "delete": lambda storage, path: storage.delete(storage.root / "key"),
    "copy": lambda storage, path: storage.copy(storage.root / "key", storage.root / "other"),
    "initiate": lambda storage, path: storage.initiate_multipart_upload(storage.root / "key"),
    "abort": lambda storage, path: storage.abort_multipart_upload(storage.root / "key", "upload"),
    "bulk_upload": lambda storage, path: _bulk(storage.bulk_upload([Upload(path, storage.root / "key")])),
    "bulk_download": lambda storage, path: _bulk(storage.bulk_download([Download(storage.root / "key", path)])),
    "bulk_delete": lambda storage, path: _bulk(storage.bulk_delete([storage.root / "key"])),
}


async def outcomes(provider: str, url: str, path: Path, **settings: Any) -> dict[str, str]:
    """
    Run all verbs at the same time, each with a storage of its own; return the class of each one's error.

    Nothing is in flight or reserved afterwards.

    Args:
        path: A file of 1 MiB.
    """

    async def outcome(verb: Verb) -> str:
        async with opened(provider, url, **settings) as storage:
            try:
                await verb(storage, path)
            except ExceptionGroup as group:
                error: BaseException = group.exceptions[0]
            except StorageError as exc:
                error = exc
            else:
                return "no error"
            statistics = storage.statistics()
        assert (0, 0) == (statistics.requests_in_flight, statistics.bytes_buffered)
        return type(error).__name__

    verbs = {name: verb for name, verb in VERBS.items() if name not in SENT_NOTHING.get(provider, ())}
    return dict(zip(verbs, await asyncio.gather(*map(outcome, verbs.values())), strict=True))


def expected(provider: str, error: str) -> dict[str, str]:
    """
    Return *error* for every verb that sends a request.
    """
    return {
        name: UNSUPPORTED.get(provider, {}).get(name, error)
        for name in VERBS
        if name not in SENT_NOTHING.get(provider, ())
    }
