"""
Drivers that sign as they did before URLs could bind anything.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from asyncstore import PresignedURL
from asyncstore.driver.forwarding import ForwardingDriver
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.testing.faults import FaultyDriver
from asyncstore.uri import ObjectURI
from asyncstore.wrappers import read_only
from tests.build import KEY, ROOT


class Older(MemoryDriver):
    """Its method takes no options, and returns text."""

    async def sign(self, method: str, uri: ObjectURI, expires: timedelta) -> Any:  # type: ignore[override]
        return f"https://example.com/{uri.key}?method={method}&for={expires.total_seconds():.0f}"


async def test_signed_by_an_older_driver() -> None:
    """
    The URL is the same, through wrappers too, and ends after the time that was asked for.
    """
    async with FaultyDriver(Older()).storage(ROOT) as storage, storage.wrapped(ForwardingDriver) as wrapped:
        for each in (storage, wrapped, read_only(storage)):
            before = datetime.now(UTC)
            url = await each.presign(KEY, expires=timedelta(minutes=1))
            assert url == f"https://example.com/{KEY.key}?method=GET&for=60"
            assert isinstance(url, PresignedURL)
            assert before <= url.expires_at - timedelta(minutes=1) <= datetime.now(UTC)
            assert url.headers == {}
