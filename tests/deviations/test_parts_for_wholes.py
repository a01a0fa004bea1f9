"""
Replies to reads of whole objects that name a range.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncstore.errors import UnavailableError
from tests.deviations.good_replies import DATE, Asked, Said
from tests.deviations.hostile import Sending
from tests.deviations.server import Answer, opened, serving

_EVERYWHERE = pytest.mark.parametrize("provider", ["s3", "gcs", "azure", "oci"])


def ranged(body: bytes, content_range: str, *, status: int = 200, framing: str = "length") -> Answer:
    """
    Answer with *body* and a Content-Range.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        headers = {"ETag": '"11"', "Last-Modified": DATE, "x-goog-generation": "11", "Content-Range": content_range}
        return Said(status, headers, body), Sending(framing=framing)

    return answer


@_EVERYWHERE
@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(
    "content_range", ["bytes 10-19/100", "bytes 0-9/100", "bytes 0-9/*", "bytes 1-10/11", "bytes */100", "words"]
)
async def test_part_instead_of_the_whole_object(
    provider: str, content_range: str, framing: str, status: int, tmp_path: Path
) -> None:
    """
    Ten bytes of an object of a hundred are not the object, nor are they if the range does not say so.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = ranged(b"0123456789", content_range, status=status, framing=framing)
        with pytest.raises(UnavailableError):
            await storage.read("k")
        with pytest.raises(UnavailableError):
            await storage.download("k", tmp_path / "file")

    assert not list(tmp_path.iterdir())


@_EVERYWHERE
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_range_that_is_the_whole_object(provider: str, framing: str) -> None:
    """
    A range of all bytes is the object; a range of an empty object has no form, so any is taken.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = ranged(b"0123456789", "bytes 0-9/10", framing=framing)
        assert b"0123456789" == await storage.read("k")
        server.answer = ranged(b"", "bytes */0")
        assert b"" == await storage.read("k")


@_EVERYWHERE
async def test_range_of_other_bytes_than_announced(provider: str) -> None:
    """
    A reply of fewer bytes than its range has is not the object.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = ranged(b"01234", "bytes 0-9/10")
        with pytest.raises(UnavailableError):
            await storage.read("k")
