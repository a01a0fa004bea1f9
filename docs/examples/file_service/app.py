"""
A service to browse, upload, download, share and copy files on any providers, in the browser.

    python app.py memory://demo file:///srv/files "s3://bucket/reports"

With another server, or with more options, the environment says the same:

    FILE_SERVICE_STORAGES="gs://photos s3://archive" python -m uvicorn --factory app:create_app

Credentials, regions and endpoints come from where each provider's own tools find them. Anyone who can reach the service
can read and write all files: keep it on loopback, or put it behind a proxy with a login.
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asyncstore import AlreadyExistsError, GiB, InvalidURIError, ObjectURI, Storage, copy_between
from asyncstore.integrations.fastapi import (
    PROBLEMS,
    ProgressResponse,
    StorageResponse,
    Storages,
    presigned_redirect,
    store_body,
)
from asyncstore.uri import parse_uri

#: A URI, or a function that opens a storage with settings of its own.
Source = str | Callable[[], AbstractAsyncContextManager[Storage]]

_PAGE = 200

# The page has scripts and styles in files of its own, and talks to nobody but this service.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Place:
    """A storage, by its name in this service, and a key below its root."""

    storage: str
    key: str


@dataclass(frozen=True)
class Copy:
    """A copy to make. Without *replace*, an object at the target stays, and is an error."""

    source: Place
    target: Place
    replace: bool = False


@dataclass(frozen=True)
class File:
    """A file of a folder; its size is -1 if the provider does not tell it."""

    key: str
    size: int
    modified: datetime | None


@dataclass(frozen=True)
class Folder:
    """Folders, which end in a slash, and files in a folder. More are listed with the token *more*."""

    folders: Sequence[str]
    files: Sequence[File]
    more: str | None


@dataclass(frozen=True)
class Service:
    """What the endpoints need: the storages by name, and the most bytes that an upload may have."""

    storages: Storages
    names: Sequence[str]
    max_size: int

    def storage(self, request: Request, name: str) -> Storage:
        """Return the storage called *name*."""
        if name not in self.names:
            raise HTTPException(404, "Unknown storage.")
        return self.storages[name](request)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(_service)]


def _storage(name: str, request: Request, service: TheService) -> Storage:
    return service.storage(request, name)


TheStorage = Annotated[Storage, Depends(_storage)]
router = APIRouter()


@router.get("/storages")
async def storages(request: Request, service: TheService) -> dict[str, Any]:
    """List the storages."""
    found = {name: service.storage(request, name) for name in service.names}
    listed = [{"name": name, "uri": str(one.root), "signs": one.capabilities.sign} for name, one in found.items()]
    return {"storages": listed, "max_size": service.max_size}


@router.get("/folders/{name}/{prefix:path}")
async def folder(storage: TheStorage, prefix: str, token: str | None = None) -> Folder:
    """List a folder: one page of it."""
    page = await storage.list_page(_below(storage, prefix), token=token, delimiter="/", page_size=_PAGE)
    # Some tools write an object that has the name of the folder.
    inside = [info for info in page.objects if info.name != prefix]
    return Folder(
        folders=[info.name for info in inside if info.is_prefix],
        files=[File(info.name, info.size, info.last_modified) for info in inside if not info.is_prefix],
        more=page.next_token,
    )


@router.head("/files/{name}/{key:path}", include_in_schema=False)
@router.get("/files/{name}/{key:path}")
async def download(storage: TheStorage, key: str) -> StorageResponse:
    """Download a file."""
    # Never shown in the browser, whatever is stored with it: a page that somebody uploaded would have our origin.
    return StorageResponse(storage, _object(storage, key), disposition="attachment")


@router.put("/files/{name}/{key:path}", status_code=201)
async def upload(
    storage: TheStorage, key: str, request: Request, service: TheService, replace: bool = False
) -> dict[str, int]:
    """Write the body of the request as a file."""
    uri = _object(storage, key)
    condition = await _condition(storage, uri, replace)
    info = await store_body(request, storage, uri, max_size=service.max_size, **condition)
    return {"size": info.size}


@router.head("/share/{name}/{key:path}", include_in_schema=False)
@router.get("/share/{name}/{key:path}")
async def share(storage: TheStorage, key: str, request: Request) -> Response:
    """Redirect to a presigned URL of the provider, or send the file if the provider has none."""
    if storage.capabilities.sign:
        return await presigned_redirect(request, storage, _object(storage, key))
    return await download(storage, key)


@router.post("/copies")
async def copy(wanted: Copy, request: Request, service: TheService) -> ProgressResponse:
    """Copy a file from one storage to another, with its progress as server-sent events."""
    source = service.storage(request, wanted.source.storage)
    target = service.storage(request, wanted.target.storage)
    uri = _object(target, wanted.target.key)
    condition = await _condition(target, uri, wanted.replace)
    return ProgressResponse(copy_between, source, _object(source, wanted.source.key), target, uri, **condition)


def _below(storage: Storage, key: str) -> ObjectURI:
    # To asyncstore these are names like others, but some servers resolve them as paths, to above the storage's root.
    if {".", ".."} & set(key.split("/")):
        raise InvalidURIError("a name must not have the segments . and ..")
    return storage.root / key


def _object(storage: Storage, key: str) -> ObjectURI:
    if not key or key.endswith("/"):
        raise InvalidURIError("the name of a file must not be empty or end in a slash")
    return _below(storage, key)


async def _condition(storage: Storage, uri: ObjectURI, replace: bool) -> dict[str, Any]:
    if replace:
        return {}
    # Before the body is sent. The condition holds at its end, too, where the provider has conditions.
    if await storage.exists(uri):
        raise AlreadyExistsError(uri=str(uri))
    return {"if_none_match": "*"} if storage.capabilities.conditional_create else {}


class _WithHeaders:
    """Adds headers to all responses that do not have them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def create_app(
    sources: Mapping[str, Source] | None = None, *, max_size: int | None = None, hosts: Sequence[str] = ()
) -> FastAPI:
    """
    Return the service.

    Args:
        sources: The storages by name; by default those of the URIs in ``FILE_SERVICE_STORAGES``.
        max_size: Most bytes of an upload; by default ``FILE_SERVICE_MAX_SIZE``, or 1 GiB.
        hosts: Names under which browsers may address the service; by default ``FILE_SERVICE_HOSTS``, or loopback's.
            A site elsewhere whose name leads to this machine is refused.
    """
    sources = sources or named(os.environ.get("FILE_SERVICE_STORAGES", "").split())
    max_size = max_size or int(os.environ.get("FILE_SERVICE_MAX_SIZE", GiB))
    hosts = hosts or os.environ.get("FILE_SERVICE_HOSTS", "127.0.0.1 localhost").split()
    if not sources:
        raise ValueError("no storage: set FILE_SERVICE_STORAGES to URIs, such as 'memory://demo s3://bucket/reports'")
    opened = Storages(**sources)
    app = FastAPI(title="Files", lifespan=opened.lifespan, exception_handlers=PROBLEMS, docs_url=None, redoc_url=None)
    app.state.service = Service(opened, list(sources), max_size)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_middleware(_WithHeaders)
    app.include_router(router)
    app.mount("/", StaticFiles(directory=Path(__file__).with_name("static"), html=True))
    return app


def named(uris: Sequence[str]) -> dict[str, str]:
    """
    Name storages by their providers: s3, s3-2, ...

    Raises:
        InvalidURIError: One is not a URI.
    """
    names: dict[str, str] = {}
    for uri in uris:
        provider = str(parse_uri(uri).provider)
        number = 1 + sum(name.split("-")[0] == provider for name in names)
        names[provider if number == 1 else f"{provider}-{number}"] = uri
    return names


def main() -> None:
    """Run the service until it is interrupted."""
    import uvicorn

    parser = argparse.ArgumentParser(description="Browse, upload, download, share and copy files on any providers.")
    parser.add_argument("uris", nargs="*", metavar="URI", help="a storage; by default those of FILE_SERVICE_STORAGES")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    arguments = parser.parse_args()
    try:
        app = create_app(named(arguments.uris))
    except (InvalidURIError, ValueError) as error:
        parser.error(str(error))
    uvicorn.run(app, host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
