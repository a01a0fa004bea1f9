"""
Servers without batch deletion: keys are deleted one by one.
"""

from __future__ import annotations

import pytest
from aiohttp import web

from tests.deviations.loose_s3 import LooseS3, loose_s3, refusal


@pytest.mark.parametrize(
    ("status", "code"), [(404, "NoSuchKey"), (404, ""), (405, "MethodNotAllowed"), (405, ""), (501, "NotImplemented")]
)
async def test_one_by_one(status: int, code: str) -> None:
    """
    All keys are deleted, after one refusal.
    """

    def refuse(request: web.Request) -> web.Response | None:
        if "delete" not in request.query:
            return None
        return refusal(status, code) if code else web.Response(status=status, text="<h1>Not here</h1>")

    server = LooseS3(objects={"a": b"", "b": b""}, refuse=refuse)
    async with loose_s3(server) as storage:
        result = await storage.bulk_delete(["s3://bucket/a", "s3://bucket/b"])
        assert (result.done, server.objects) == (2, {})
        assert server.calls == {"batch": 1, "delete": 2}
        assert f"status {status}" in storage.describe()["narrowed"]


@pytest.mark.parametrize("text", ["", "OK", "<!DOCTYPE html><p>Welcome"])
async def test_reply_to_another_request(text: str) -> None:
    """
    A server that takes a batch for something else has deleted nothing: keys are deleted one by one.
    """

    def refuse(request: web.Request) -> web.Response | None:
        return web.Response(text=text) if "delete" in request.query else None

    server = LooseS3(objects={"a": b"", "b": b""}, refuse=refuse)
    async with loose_s3(server) as storage:
        result = await storage.bulk_delete(["s3://bucket/a", "s3://bucket/b"])
        assert (result.done, server.objects) == (2, {})
    assert server.calls == {"batch": 1, "delete": 2}


async def test_missing_bucket_is_an_error() -> None:
    """
    A missing bucket does not count as a lack.
    """
    server = LooseS3(refuse=lambda _: refusal(404, "NoSuchBucket"))
    async with loose_s3(server) as storage:
        result = await storage.bulk_delete(["s3://bucket/a"])
        assert result.failed == 1
        assert "narrowed" not in storage.describe()
    assert server.calls == {"batch": 1}
