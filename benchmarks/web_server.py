"""
One server of ``benchmarks.web``: ``python -m benchmarks.web_server NAME UPSTREAM``.

Prints its URL, then its CPU seconds for each line on standard input but ``stop``.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import uvicorn
from aiohttp import web
from fastapi import FastAPI, Request

from asyncstore import Storage, open_storage
from asyncstore.integrations.aiohttp import problems, send_object, storage_context
from asyncstore.integrations.fastapi import PROBLEMS, StorageResponse, Storages
from benchmarks.clouds import S3
from benchmarks.fixtures import BUCKET, LARGE_KEY
from benchmarks.servers import free_port

_STORAGE = web.AppKey("STORAGE", Storage)
_SESSION = web.AppKey("SESSION", aiohttp.ClientSession)


def _open(upstream: str) -> Storage:
    return open_storage(
        f"s3://{BUCKET}",
        endpoint_url=upstream,
        region="us-east-1",
        access_key_id=S3.access_key,
        secret_access_key=S3.secret_key,
    )


def _bare_proxy(upstream: str) -> web.Application:
    async def session(app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as app[_SESSION]:
            yield

    async def get(request: web.Request) -> web.StreamResponse:
        async with request.app[_SESSION].get(f"{upstream}/{BUCKET}/{LARGE_KEY}") as reply:
            response = web.StreamResponse(headers={"Content-Length": reply.headers["Content-Length"]})
            await response.prepare(request)
            async for chunk in reply.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_get("/", get)
    return app


def _aiohttp(upstream: str) -> web.Application:
    async def get(request: web.Request) -> web.StreamResponse:
        return await send_object(request, request.app[_STORAGE], LARGE_KEY)

    app = web.Application(middlewares=[problems])
    app.cleanup_ctx.append(storage_context(_STORAGE, partial(_open, upstream)))
    app.router.add_get("/", get)
    return app


def _fastapi(upstream: str) -> FastAPI:
    storages = Storages(large=partial(_open, upstream))
    app = FastAPI(lifespan=storages.lifespan, exception_handlers=PROBLEMS)

    @app.get("/")
    async def get(request: Request) -> StorageResponse:
        return StorageResponse(storages["large"](request), LARGE_KEY)

    return app


@asynccontextmanager
async def _serving(name: str, upstream: str) -> AsyncIterator[str]:
    port = free_port()
    if name == "fastapi":
        server = uvicorn.Server(uvicorn.Config(_fastapi(upstream), port=port, log_config=None, access_log=False))
        task = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}/"
        server.should_exit = True
        await task
        return
    runner = web.AppRunner(_bare_proxy(upstream) if name == "bare_proxy" else _aiohttp(upstream), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}/"
    await runner.cleanup()


async def _main(name: str, upstream: str) -> None:
    async with _serving(name, upstream) as url:
        print(url, flush=True)
        while (await asyncio.to_thread(sys.stdin.readline)).strip() == "cpu":
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(used.ru_utime + used.ru_stime, flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
