"""
The parts of the aiohttp helpers that the other helpers have not.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from aiohttp import web

from asyncstore import Storage, open_storage
from asyncstore.integrations.aiohttp import problems, send_object, storage_context
from tests.integrations.web import client, on_aiohttp

STORAGE = web.AppKey("STORAGE", Storage)


async def test_storage_lives_as_long_as_the_application() -> None:
    """
    A subapplication finds it, too; it is closed when the application stops.
    """
    opened: list[Storage] = []

    def source() -> Storage:
        opened.append(open_storage("memory://bucket"))
        return opened[0]

    async def download(request: web.Request) -> web.StreamResponse:
        return await send_object(request, request.config_dict[STORAGE], "key")

    sub = web.Application()
    sub.router.add_get("/key", download)
    app = web.Application(middlewares=[problems])
    app.cleanup_ctx.append(storage_context(STORAGE, source))
    app.add_subapp("/sub", sub)
    async with on_aiohttp(app) as url, client() as session:
        await opened[0].put("key", b"data")
        assert await (await session.get(f"{url}/sub/key")).read() == b"data"

    with pytest.raises(RuntimeError, match="closed"):
        await opened[0].exists("key")


def test_missing_packages_are_named() -> None:
    """
    Without its extra, a helper says which one it needs; aiohttp without forms needs none.
    """
    program = """
import sys
sys.modules["python_multipart"] = sys.modules["starlette"] = None
sys.modules["starlette.background"] = None
import asyncstore.integrations.aiohttp
from asyncstore.integrations.http_serving.forms import form_parts
async def none(): yield b""
for call in (
    lambda: form_parts({"content-type": "multipart/form-data; boundary=a"}, none(), max_size=1),
    lambda: __import__("asyncstore.integrations.fastapi"),
):
    try:
        call()
    except ModuleNotFoundError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)

    form, fastapi = done.stdout.splitlines()
    assert "pip install 'asyncstore[fastapi]' or 'asyncstore[aiohttp]'" in form
    assert "pip install 'asyncstore[fastapi]'" in fastapi
