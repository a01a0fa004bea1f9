"""
The small requests for credentials: what is no answer, and what is no address.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from asyncstore.auth.token_service import TokenService
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, UnavailableError
from tests.auth.azure_service import serving
from tests.servers.tls import make_ca


async def test_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """
    A server without a good certificate is one that cannot be reached, not a wrong address; it sees no request.
    """
    tls = make_ca(tmp_path)
    seen: list[str] = []

    async def reply(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response()

    async with serving(reply, tls) as url:
        with pytest.raises(UnavailableError, match="no answer"):
            await TokenService().send("GET", url)
        assert (await TokenService(HTTPOptions(ca_file=tls.ca_file)).send("GET", url)).status == 200
    assert seen == ["/"]


async def test_no_address() -> None:
    """
    What is no address is a wrong setting.
    """
    with pytest.raises(ConfigurationError):
        await TokenService().send("GET", "https://")
