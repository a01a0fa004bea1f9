"""
The parts of the FastAPI helpers that the other helpers have not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asyncstore import Storage, open_storage, under
from asyncstore.integrations.fastapi import PROBLEMS, StorageResponse, Storages
from asyncstore.options import MiB
from tests.integrations.web import client, on_uvicorn

opened: list[Storage] = []


@asynccontextmanager
async def confined() -> AsyncIterator[Storage]:
    async with open_storage("memory://bucket") as storage:
        opened.append(storage)
        await storage.put("public/key", b"data")
        yield under(storage, "public")


STORAGES = Storages(public=confined, plain="memory://bucket")
Public = Annotated[Storage, Depends(STORAGES["public"])]
Plain = Annotated[Storage, Depends(STORAGES["plain"])]
done: list[str] = []


async def download(public: Public, plain: Plain) -> StorageResponse:
    assert plain.root != public.root
    background = BackgroundTask(done.append, "sent")
    headers = {"Cache-Control": "private", "X-Own": "1"}
    return StorageResponse(public, "key", cache_control="public", headers=headers, background=background)


async def test_storages_live_as_long_as_the_application() -> None:
    """
    They are dependencies while it runs, and are closed when it stops.
    """
    opened.clear()
    done.clear()
    app = FastAPI(lifespan=STORAGES.lifespan, exception_handlers=PROBLEMS)
    app.add_api_route("/key", download)
    async with on_uvicorn(app) as url, client() as session:
        reply = await session.get(f"{url}/key")
        assert await reply.read() == b"data"
        assert reply.headers.getall("Cache-Control") == ["private"]
        assert reply.headers["X-Own"] == "1"
        (storage,) = opened
        assert await storage.exists("public/key")
    assert done == ["sent"]
    with pytest.raises(RuntimeError, match="closed"):
        await storage.exists("public/key")


async def test_lifespan_of_ones_own() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with STORAGES.lifespan(app) as state:
            yield {**state, "more": 1}

    async def look(request: Request, public: Public) -> list[int]:
        return [request.state.more, (await public.stat("key")).size]

    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/", look)
    async with on_uvicorn(app) as url, client() as session:
        assert await (await session.get(url)).json() == [1, 4]


async def test_application_without_the_lifespan() -> None:
    """
    The error says what is missing.
    """
    app = FastAPI()

    @app.exception_handler(RuntimeError)
    async def show(request: Request, error: RuntimeError) -> JSONResponse:
        return JSONResponse(str(error))

    app.add_api_route("/key", download)
    scope = {"type": "http", "headers": [], "app": app}
    with pytest.raises(RuntimeError, match="give the application lifespan="):
        STORAGES["public"](Request(scope))


def test_unknown_name() -> None:
    with pytest.raises(KeyError, match="no storage is called 'models'; there are public, plain"):
        STORAGES["models"]


async def test_starlette_without_fastapi() -> None:
    """
    The route of a GET takes HEAD, too.
    """

    async def endpoint(request: Request) -> StorageResponse:
        return StorageResponse(STORAGES["public"](request), request.path_params["key"])

    routes = [Route("/{key:path}", endpoint)]
    app = Starlette(routes=routes, lifespan=STORAGES.lifespan, exception_handlers=PROBLEMS)
    async with on_uvicorn(app) as url, client() as session:
        assert await (await session.get(f"{url}/key")).read() == b"data"
        async with session.head(f"{url}/key") as reply:
            assert reply.headers["Content-Length"] == "4"
        async with session.get(f"{url}/none") as reply:
            assert reply.status == 404


async def test_client_that_has_gone_is_an_error_of_send() -> None:
    """
    Servers of ASGI 2.4 say so by an OSError: the response ends without an error of its own.
    """
    async with open_storage("memory://bucket") as storage:
        await storage.put("key", bytes(MiB))
        sent: list[str] = []

        async def send(message: Any) -> None:
            sent.append(message["type"])
            if len(sent) == 2:
                raise OSError("gone")

        async def receive() -> Any:
            # Nothing but send() says that the client has gone.
            await asyncio.Event().wait()

        await StorageResponse(storage, "key")({"type": "http", "method": "GET", "headers": []}, receive, send)

        assert sent == ["http.response.start", "http.response.body"]
        assert storage.statistics().requests_in_flight == 0
