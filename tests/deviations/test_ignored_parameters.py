"""
Servers that ignore a parameter or header of a request, and so answer, or do, something else.
"""

from __future__ import annotations

import pytest
from aiohttp import web

from asyncstore import CopyOptions, MiB, NotSupportedError
from asyncstore.config import StorageConfig
from asyncstore.drivers.s3 import open_driver
from asyncstore.types import Part
from asyncstore.uri import parse_uri
from tests.deviations.loose_s3 import LooseS3, loose_s3, serving


async def test_tags() -> None:
    """
    An object is not replaced by its tags.
    """
    server = LooseS3(objects={"k": b"precious"})
    async with loose_s3(server) as storage:
        for _ in range(2):
            with pytest.raises(NotSupportedError, match="tags"):
                await storage.set_tags(storage.root / "k", {"a": "b"})
        with pytest.raises(NotSupportedError, match="tags"):
            await storage.get_tags(storage.root / "k")
        assert "object tags" in storage.describe()["narrowed"]
    assert server.objects == {"k": b"precious"}
    assert server.calls == {"get": 1}


async def test_versions() -> None:
    """
    A listing of objects is not taken for an empty listing of versions.
    """
    server = LooseS3(objects={"k": b"x"})
    async with loose_s3(server) as storage:
        for _ in range(2):
            with pytest.raises(NotSupportedError, match="versions"):
                assert [info async for info in storage.list_versions()]
    assert server.calls == {"list": 1}


async def test_copy_of_a_part() -> None:
    """
    A part that was written empty, since its source was ignored, is an error at once.
    """

    def refuse(request: web.Request) -> web.Response | None:
        return web.Response(headers={"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}) if request.method == "PUT" else None

    async with serving(LooseS3(refuse=refuse)) as server:
        keys = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret", "region": "us-east-1"}
        driver = open_driver(StorageConfig.build("s3://bucket", {"endpoint_url": server.url, **keys}))
        source, target = parse_uri("s3://bucket/a"), parse_uri("s3://bucket/b")
        with pytest.raises(NotSupportedError, match="copies of parts"):
            found = await driver.copy_part(source, target, "u1", 1, 0, 5 * MiB, CopyOptions())
            assert not isinstance(found, Part)
        assert not driver.capabilities.copy_part
        await driver.aclose()
