"""
Servers that have only version 1 of ListObjects, which goes on by marker.
"""

from __future__ import annotations

import pytest
from aiohttp import web

from asyncstore import ListOptions, UnavailableError
from tests.deviations.loose_s3 import LooseS3, loose_s3, refusal

KEYS = [f"{number:03}" for number in range(25)]


def stored(**deviations: object) -> LooseS3:
    return LooseS3(objects=dict.fromkeys(KEYS, b"x"), **{"versions": (1,), "page_size": 10, **deviations})  # type: ignore[arg-type]


async def test_goes_on_by_marker() -> None:
    """
    All keys are listed once; the first page is not asked for again, and the next listing starts with version 1.
    """
    server = stored()
    async with loose_s3(server) as storage:
        assert [info.key async for info in storage.list()] == KEYS
        assert server.calls == {"list": 3}
        assert "version 2 of ListObjects" in storage.describe()["narrowed"]

        assert [info.key async for info in storage.list()] == KEYS
        assert "list-type" not in server.requests[3].query


async def test_start_after() -> None:
    """
    start_after is honoured, though version 1 ignores the parameter of version 2.
    """
    async with loose_s3(stored()) as storage:
        found = [info.key async for info in storage.list(options=ListOptions(start_after="004"))]
    assert found == KEYS[5:]


async def test_one_page_is_the_same_in_both_versions() -> None:
    """
    A listing of one page does not count as a lack.
    """
    server = stored(page_size=1000)
    async with loose_s3(server) as storage:
        assert [info.key async for info in storage.list()] == KEYS
        assert server.calls == {"list": 1}
        assert "narrowed" not in storage.describe()


@pytest.mark.parametrize("status", [400, 501])
async def test_refused(status: int) -> None:
    """
    A server that refuses list-type=2 is asked by version 1.
    """

    def refuse(request: web.Request) -> web.Response | None:
        return refusal(status, "InvalidArgument", "list-type 2?") if "list-type" in request.query else None

    async with loose_s3(stored(refuse=refuse)) as storage:
        assert [info.key async for info in storage.list()] == KEYS
        assert f"refused with status {status}" in storage.describe()["narrowed"]


async def test_ignored_marker_ends() -> None:
    """
    A server that ignores the marker too is an error, not an endless listing.
    """
    server = stored()

    def first_page_again(request: web.Request) -> web.Response | None:
        if "marker" not in request.query:
            return None
        rows = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in KEYS[:10])
        text = f"<ListBucketResult><Marker/><IsTruncated>true</IsTruncated>{rows}</ListBucketResult>"
        return web.Response(text=text, content_type="application/xml")

    server.refuse = first_page_again
    async with loose_s3(server) as storage:
        with pytest.raises(UnavailableError, match="ignores markers"):
            assert [info async for info in storage.list()]
    assert server.calls == {"list": 2}
