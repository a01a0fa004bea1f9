"""
Updates on endpoints that are not the provider's own, which are tried before they are trusted.
"""

from __future__ import annotations

import pytest

from asyncstore import NotFoundError
from tests.deviations.good_replies import Said
from tests.deviations.hostile import Sending
from tests.deviations.server import opened, serving


async def test_update_in_a_missing_bucket(caplog: pytest.LogCaptureFixture) -> None:
    """
    The error names the object of the caller, and nothing is cleaned up where nothing can be.
    """
    missing = Said(404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchBucket</Code></Error>")
    async with serving("s3") as server, opened("s3", server.url) as storage:
        server.answer = lambda asked: (missing, Sending())
        with pytest.raises(NotFoundError) as failure:
            await storage.update("k", lambda data: b"new")

        assert str(storage.root / "k") == failure.value.uri
    assert "cleanup" not in caplog.text
    assert ["GET", "PUT"] == [asked.method for asked in server.asked]
