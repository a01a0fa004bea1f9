"""
Replies to writes that state another size, or another object, than was sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from asyncstore import IntegrityError, open_storage
from asyncstore.options import MiB, UploadOptions
from tests.deviations.good_replies import Asked, Content, Said
from tests.deviations.hostile import Sending
from tests.deviations.server import STORAGES, Answer, Server, serving

_DATA: Final = bytes(range(256)) * 24 * 1024
_PARTS: Final = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)

#: How GCS is written to: the settings of the storage, and the options of the write.
WAYS: Final[dict[str, tuple[dict[str, Any], UploadOptions]]] = {
    "single": ({"resumable_threshold": 1 << 40}, UploadOptions(multipart_threshold=8 * MiB)),
    "resumable": ({"resumable_threshold": 1}, UploadOptions(multipart_threshold=8 * MiB)),
    "multipart": ({}, _PARTS),
}
_EVERY_WAY = pytest.mark.parametrize("way", WAYS)


def changing(server: Server, change: Callable[[dict[str, Any]], None]) -> Answer:
    """
    Answer with *change* in each resource that describes what was written.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        said = server.good(asked, Content(_DATA, "11"))
        if said.body.startswith(b"{") and b"generation" in said.body:
            found = json.loads(said.body)
            change(found)
            said.body = json.dumps(found).encode()
        return said, Sending()

    return answer


async def written(way: str, change: Callable[[dict[str, Any]], None]) -> int:
    """
    Write to GCS, and return the size that the result states.
    """
    settings, options = WAYS[way]
    uri, common = STORAGES["gcs"]
    async with serving("gcs") as server:
        server.answer = changing(server, change)
        async with open_storage(uri, endpoint_url=server.url, attempts=2, **{**common, **settings}) as storage:
            return (await storage.put("k", _DATA, options=options)).size


@_EVERY_WAY
@pytest.mark.parametrize("size", ["0", "1", str(len(_DATA) + 1)])
async def test_reply_of_another_size(way: str, size: str) -> None:
    """
    It is an error, also in the look that follows the completion of a multipart upload.
    """
    with pytest.raises(
        IntegrityError, match=f"another number of bytes .*expected {len(_DATA)} bytes, got {size} bytes"
    ):
        await written(way, lambda found: found.update(size=size))


@_EVERY_WAY
async def test_reply_without_a_size(way: str) -> None:
    """
    It is not that of an empty object: the size is that which was sent.
    """
    assert len(_DATA) == await written(way, lambda found: found.pop("size"))
    assert len(_DATA) == await written(way, lambda found: None)


@pytest.mark.parametrize("way", ["single", "resumable"])
@pytest.mark.parametrize("other", [{"name": "other"}, {"bucket": "other"}])
async def test_reply_about_another_object(way: str, other: dict[str, str]) -> None:
    """
    It says nothing of what was sent.
    """
    with pytest.raises(IntegrityError, match="describes another object: expected bucket/k, got"):
        await written(way, lambda found: found.update(other))


async def test_completion_of_other_bytes() -> None:
    """
    The look that follows a completion has the checksum of the parts.
    """
    with pytest.raises(IntegrityError, match="stored other bytes than were sent"):
        await written("multipart", lambda found: found.update(crc32c="AAAAAA=="))


async def test_size_of_an_s3_object() -> None:
    """
    S3 may state the size in a header.
    """
    uri, settings = STORAGES["s3"]
    async with serving("s3") as server:
        stated = 4

        def answer(asked: Asked) -> tuple[Said, Sending]:
            said = server.good(asked)
            said.headers["x-amz-object-size"] = str(stated)
            return said, Sending()

        server.answer = answer
        async with open_storage(uri, endpoint_url=server.url, **settings) as storage:
            assert 4 == (await storage.put("k", b"data")).size
            stated = 3
            with pytest.raises(IntegrityError, match="expected 4 bytes, got 3 bytes"):
                await storage.put("k", b"data")
