"""
One small application with each of the web helpers, on a real server in this process.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any, Final

import aiohttp
import pytest
import uvicorn
from aiohttp import web
from fastapi import Depends, FastAPI, Request, Response

from asyncstore import Storage, open_storage
from asyncstore.integrations import aiohttp as ours_aiohttp
from asyncstore.integrations import fastapi as ours_fastapi

#: Most bytes of a body that the applications take.
MAX_SIZE: Final = 64 * 1024 * 1024

STORAGE: Final = web.AppKey("STORAGE", Storage)

Operation = Callable[..., Awaitable[Any]]


def fastapi_app(storage: Storage, operation: Operation, **options: Any) -> FastAPI:
    """
    Return an application of FastAPI over *storage*, which it does not close.
    """
    storages = ours_fastapi.Storages(objects=lambda: nullcontext(storage))
    app = FastAPI(lifespan=storages.lifespan, exception_handlers=ours_fastapi.PROBLEMS)
    opened = Depends(storages["objects"])

    @app.head("/objects/{key:path}", include_in_schema=False)
    @app.get("/objects/{key:path}")
    async def download(key: str, objects: Storage = opened) -> ours_fastapi.StorageResponse:
        return ours_fastapi.StorageResponse(objects, key, **options)

    @app.put("/objects/{key:path}", status_code=201)
    async def upload(key: str, request: Request, objects: Storage = opened) -> dict[str, int]:
        info = await ours_fastapi.store_body(request, objects, key, max_size=MAX_SIZE)
        return {"size": info.size}

    @app.post("/forms")
    async def form(request: Request, objects: Storage = opened) -> dict[str, Any]:
        stored = await ours_fastapi.store_form(
            request, objects, lambda part: f"forms/{part.filename}", max_size=MAX_SIZE
        )
        return {"files": [[file.name, file.filename, file.info.size] for file in stored.files], "fields": stored.fields}

    @app.get("/links/{key:path}")
    async def link(key: str, request: Request, objects: Storage = opened) -> Response:
        return await ours_fastapi.presigned_redirect(request, objects, key)

    @app.post("/transfers")
    async def transfer() -> ours_fastapi.ProgressResponse:
        return ours_fastapi.ProgressResponse(operation)

    return app


def aiohttp_app(storage: Storage, operation: Operation, **options: Any) -> web.Application:
    """
    Return an application of aiohttp over *storage*, which it does not close.
    """
    app = web.Application(middlewares=[ours_aiohttp.problems])
    app.cleanup_ctx.append(ours_aiohttp.storage_context(STORAGE, lambda: nullcontext(storage)))

    async def download(request: web.Request) -> web.StreamResponse:
        return await ours_aiohttp.send_object(request, request.app[STORAGE], request.match_info["key"], **options)

    async def upload(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        info = await ours_aiohttp.store_body(request, request.app[STORAGE], key, max_size=MAX_SIZE)
        return web.json_response({"size": info.size}, status=201)

    async def form(request: web.Request) -> web.Response:
        stored = await ours_aiohttp.store_form(
            request, request.app[STORAGE], lambda part: f"forms/{part.filename}", max_size=MAX_SIZE
        )
        files = [[file.name, file.filename, file.info.size] for file in stored.files]
        return web.json_response({"files": files, "fields": stored.fields})

    async def link(request: web.Request) -> web.Response:
        return await ours_aiohttp.presigned_redirect(request, request.app[STORAGE], request.match_info["key"])

    async def transfer(request: web.Request) -> web.StreamResponse:
        return await ours_aiohttp.send_progress(request, operation)

    app.router.add_get("/objects/{key:.*}", download)
    app.router.add_put("/objects/{key:.*}", upload)
    app.router.add_post("/forms", form)
    app.router.add_get("/links/{key:.*}", link)
    app.router.add_post("/transfers", transfer)
    return app


async def _no_transfer(**_: object) -> None:
    raise NotImplementedError


@asynccontextmanager
async def serving(
    framework: str, storage: Storage, operation: Operation = _no_transfer, **options: Any
) -> AsyncIterator[str]:
    """
    Run the application of *framework* and yield its URL.

    Args:
        operation: What is run at ``/transfers``.
        options: How objects are presented.
    """
    runner = on_uvicorn(fastapi_app(storage, operation, **options)) if framework == "fastapi" else None
    async with runner or on_aiohttp(aiohttp_app(storage, operation, **options)) as url:
        yield url


@asynccontextmanager
async def on_uvicorn(app: Any) -> AsyncIterator[str]:
    """
    Run an ASGI application with uvicorn.
    """
    config = uvicorn.Config(app, lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=5)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listener = socket.create_server(("127.0.0.1", 0))
    # As serve() does, without its signal handlers and its pauses of 100 ms.
    await server.startup(sockets=[listener])
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for running in server.servers:
            running.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await until(lambda: not server.server_state.tasks and not server.server_state.connections)
        await server.lifespan.shutdown()


@asynccontextmanager
async def on_aiohttp(app: web.Application) -> AsyncIterator[str]:
    """
    Run an application of aiohttp with its own server.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5, lingering_time=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    try:
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


FRAMEWORKS: Final = ("fastapi", "aiohttp")
both = pytest.mark.parametrize("framework", FRAMEWORKS)


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """
    Open a client that decodes nothing.
    """
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


async def until(reached: Callable[[], object]) -> None:
    """
    Wait until *reached*, at most ten seconds.
    """
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.01)


@contextmanager
def in_thread(framework: str, uri: str) -> Iterator[tuple[str, int]]:
    """
    Run the application of *framework* over a storage of its own, in a thread, and yield its host and port.
    """

    async def run() -> None:
        async with open_storage(uri) as storage, serving(framework, storage) as url:
            started.put(url)
            await stopping.wait()

    async def stop() -> None:
        stopping.set()

    started: queue.Queue[str] = queue.Queue()
    stopping = asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        host, _, port = started.get(timeout=20).removeprefix("http://").partition(":")
        yield host, int(port)
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        thread.join()
        loop.close()
