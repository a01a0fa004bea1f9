"""
Storage with principals: from the machine's token services to the bytes of an object.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asyncstore import open_storage
from asyncstore.testing.servers.oci import OCIServer
from tests.auth.oci.methods import CASES, Asked
from tests.servers.oci import user

REFRESHING = [name for name, case in CASES.items() if case.refreshes]


@pytest.mark.parametrize("name", REFRESHING)
async def test_storage(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Every refreshable method writes, lists and reads while its tokens expire.
    """
    async with CASES[name].start(monkeypatch, tmp_path) as running, OCIServer(user()) as server:
        assert isinstance(running, Asked)
        store = server.store
        running.service.on_issue = lambda token, key, ends: store.add_token(token, key, expires=ends, user=user())
        running.ttl = 1.0
        server.create_bucket("bucket")
        async with open_storage(
            "oci://bucket", endpoint_url=server.url, region=store.region, auth=running.auth
        ) as storage:
            for number in range(4):
                await storage.put(storage.root / f"{number}.bin", b"data")
                await asyncio.sleep(0.4)
            keys = [info.key async for info in storage.list()]
            data = await storage.read(storage.root / "3.bin")

    assert keys == [f"{number}.bin" for number in range(4)]
    assert data == b"data"
    assert running.fetches() >= 2


async def test_native(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The native client uses the same principal.
    """
    async with CASES["instance_principal"].start(monkeypatch, tmp_path) as running, OCIServer(user()) as server:
        assert isinstance(running, Asked)
        store = server.store
        running.service.on_issue = lambda token, key, ends: store.add_token(token, key, expires=ends, user=user())
        async with (
            open_storage("oci://bucket", endpoint_url=server.url, auth=running.auth) as storage,
            storage.native() as client,
        ):
            reply = await asyncio.to_thread(client.get_namespace)

        assert reply.data == store.namespace
        assert running.fetches() == 1
