"""
AWS's services on loopback, which the environment names too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.servers.identity.aws import Service, serving


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The token service and the metadata service."""
    async with serving(service) as url:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        for name in ("AWS_ENDPOINT_URL_STS", "AWS_EC2_METADATA_SERVICE_ENDPOINT"):
            monkeypatch.setenv(name, url)
        yield url


@pytest.fixture
async def sts(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The token service alone."""
    async with serving(service) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        yield url
