"""
Objects in FastAPI and Starlette applications. Needs ``asyncstore[fastapi]``, or Starlette and python-multipart.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final, Literal, Unpack

import anyio

try:
    from starlette.background import BackgroundTask
    from starlette.datastructures import Headers
    from starlette.requests import ClientDisconnect, HTTPConnection, Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(f"{exc.name} is not installed: pip install 'asyncstore[fastapi]'") from None

from asyncstore.engine.task_pool import single_error
from asyncstore.errors import StorageError
from asyncstore.integrations.http_serving import events, forms, upload
from asyncstore.integrations.http_serving.download import Answer, answering, object_uri
from asyncstore.integrations.http_serving.events import Render
from asyncstore.integrations.http_serving.forms import FormPart, StoredForm, Target
from asyncstore.integrations.http_serving.links import link
from asyncstore.integrations.http_serving.problems import (
    BodyTooLargeError,
    ClientDisconnectedError,
    InterruptedResponseError,
    RequestBodyError,
    problem_of,
)
from asyncstore.integrations.http_serving.representation import Presentation
from asyncstore.integrations.http_serving.sources import StorageSource, opened
from asyncstore.keywords import UploadFields
from asyncstore.protocols import ProgressSink
from asyncstore.storage import Storage
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

__all__ = [
    "PROBLEMS",
    "BodyTooLargeError",
    "FormPart",
    "InterruptedResponseError",
    "ProgressResponse",
    "RequestBodyError",
    "StorageResponse",
    "Storages",
    "StoredForm",
    "form_parts",
    "presigned_redirect",
    "problem_response",
    "store_body",
    "store_form",
]

_STATE: Final = "asyncstore_"


class Storages:
    """
    The storages of an application, open while it runs.

    ::

        storages = Storages(models="s3://models")
        app = FastAPI(lifespan=storages.lifespan, exception_handlers=PROBLEMS)
        Models = Annotated[Storage, Depends(storages["models"])]

    They are opened in the event loop of the server, and closed when it stops. The same object can serve several
    applications, each of which opens its own.

    Args:
        sources: For each name a URI, a :class:`~asyncstore.StorageConfig`, or a function that returns a storage or
            another context manager of one: ``lambda: open_storage("s3://models", region="eu-central-1")``.
    """

    def __init__(self, **sources: StorageSource) -> None:
        self._sources = sources

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[dict[str, Storage]]:
        """
        Open the storages; the lifespan of an application, or a part of its own one.

        A lifespan that does more yields the items of this one among its own: ``yield {**state, "more": more}``.
        """
        async with AsyncExitStack() as stack:
            yield {
                _STATE + name: await stack.enter_async_context(opened(source)) for name, source in self._sources.items()
            }

    def __getitem__(self, name: str) -> Callable[[HTTPConnection], Storage]:
        """
        Return the dependency that is the storage called *name*.

        Raises:
            KeyError: There is none of that name.
        """
        if name not in self._sources:
            raise KeyError(f"no storage is called {name!r}; there are {', '.join(self._sources) or 'none'}")

        def storage(connection: HTTPConnection) -> Storage:
            found = getattr(connection.state, _STATE + name, None)
            if not isinstance(found, Storage):
                # Not a TypeError: the caller passed none.
                raise RuntimeError(  # noqa: TRY004
                    f"the storage {name!r} is not open: give the application lifespan=storages.lifespan, or yield the "
                    "items of that in its own lifespan"
                )
            return found

        return storage


class StorageResponse(Response):
    """
    An object as the response to a GET or HEAD, by RFC 9110: ranges, conditions, and headers of what is stored.

    ::

        @app.head("/models/{key:path}", include_in_schema=False)
        @app.get("/models/{key:path}")
        async def download(key: str, models: Models) -> StorageResponse:
            return StorageResponse(models, key)

    The bytes are passed on as the client takes them, all of one version of the object. When the client disconnects, the
    connection to the provider is closed. Errors before the first byte are raised, for :data:`PROBLEMS` to handle; after
    it the connection is closed, and :class:`InterruptedResponseError` says why.

    A GET without conditions is one request to the provider, and so is a HEAD. ``If-Match``, ``If-None-Match``, their
    dates and several ranges cost a HEAD, which is the only request if the answer is 304, 412 or 416.

    Args:
        key: Relative to the root of the storage; text is never taken for a URI. Confine clients to a part of a bucket
            by a storage whose root that is.
        filename: The name to save it under; by default the last segment of the key.
        disposition: ``"inline"`` shows it in the browser, which runs what is stored as HTML or SVG with the rights of
            your site; the default is what is stored with the object, else ``"attachment"``.
        content_type: By default the stored one, else that of the key's suffix.
        cache_control: By default the stored one.
        version_id: This version instead of the current one.
        headers: More headers; they replace those of the object.
        background: Run when all bytes have been sent.
    """

    def __init__(
        self,
        storage: Storage,
        key: str | ObjectURI,
        *,
        filename: str | None = None,
        disposition: Literal["attachment", "inline"] | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
        version_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self._storage = storage
        self._uri = object_uri(storage, key)
        self._shown = Presentation(
            filename=filename,
            disposition=disposition,
            content_type=content_type,
            cache_control=cache_control,
            version_id=version_id,
        )
        self.status_code = 200
        self.background = background
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Send the response.
        """
        headers = _headers(Headers(scope=scope))
        sent = False

        async def respond() -> None:
            nonlocal sent
            async with answering(self._storage, self._uri, scope["method"], headers, self._shown) as answer:
                self.status_code = answer.status
                await _send_answer(answer, self.raw_headers, send)
            sent = True

        await _until_disconnected(receive, respond)
        if sent and self.background is not None:
            await self.background()


class ProgressResponse(Response):
    """
    Runs a transfer, with its progress as server-sent events, which browsers read with ``EventSource`` or ``fetch``.

    ::

        @app.post("/copies/{key:path}")
        async def copy(key: str, models: Models, archive: Archive) -> ProgressResponse:
            return ProgressResponse(copy_between, models, models.root / key, archive, archive.root / key)

    ``progress`` events have the counts of :class:`~asyncstore.ProgressEvent`; the last event is ``done`` with the
    result, or ``error`` with problem details. When the client disconnects, the transfer is cancelled, and leaves
    nothing behind.

    Args:
        operation: Is called with ``progress=``, as all transfers of a storage can be.
        args: Its other arguments.
        render: Returns what the ``done`` event says of the result; by default name, size and ETag of an object, and
            the counts of a bulk operation.
        kwargs: Its keywords.
    """

    def __init__(
        self, operation: Callable[..., Awaitable[Any]], *args: Any, render: Render | None = None, **kwargs: Any
    ) -> None:
        self._run = partial(events.send_events, operation=operation, args=args, kwargs=kwargs, render=render)
        self.status_code = 200
        self.background = None
        self.init_headers(events.HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Run the transfer and send the response.
        """

        async def send_event(event: bytes) -> None:
            await send({"type": "http.response.body", "body": event, "more_body": True})

        async def respond() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._run(send_event)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await _until_disconnected(receive, respond)


async def store_body(
    request: Request,
    storage: Storage,
    key: str | ObjectURI,
    *,
    max_size: int,
    progress: ProgressSink | None = None,
    **fields: Unpack[UploadFields],
) -> ObjectInfo:
    """
    Write the body of a request as an object, as it arrives.

    ::

        @app.put("/models/{key:path}", status_code=201)
        async def upload(key: str, request: Request, models: Models) -> dict[str, str | int | None]:
            info = await store_body(request, models, key, max_size=10 * GiB)
            return {"etag": info.etag, "size": info.size}

    Its media type and conditions are those of the request: ``If-None-Match: *`` creates only, ``If-Match`` replaces
    only that version. If the client disconnects, or the body is too large, nothing is published, and no upload is left.

    Args:
        key: As for :class:`StorageResponse`.
        max_size: Most bytes that the body may have.
        progress: As for :meth:`asyncstore.Storage.put`.
        fields: Options of the write, which replace those of the request.

    Raises:
        BodyTooLargeError: The body is larger than *max_size*.
        RequestBodyError: It cannot be stored, or the client disconnected.
        AlreadyExistsError, PreconditionFailedError: A condition did not hold.
    """
    uri, headers = object_uri(storage, key), _headers(request.headers)
    return await upload.store(storage, uri, headers, _body(request), max_size=max_size, progress=progress, **fields)


def form_parts(request: Request, *, max_size: int) -> AsyncGenerator[FormPart, None]:
    """
    Yield the fields and files of a multipart form as they arrive, without a temporary file.

    Each must be read before the next one; what is not read is skipped. Iterate within :func:`contextlib.aclosing`
    if you leave the loop early.

    Args:
        max_size: Most bytes that the body may have.

    Raises:
        RequestBodyError: The body is not a form, is malformed or too large, or the client disconnected.
    """
    return forms.form_parts(_headers(request.headers), _body(request), max_size=max_size)


async def store_form(
    request: Request,
    storage: Storage,
    target: Target,
    *,
    max_size: int,
    progress: ProgressSink | None = None,
    **fields: Unpack[UploadFields],
) -> StoredForm:
    """
    Write the files of a multipart form as objects, one after the other, as they arrive.

    ::

        form = await store_form(request, models, lambda part: f"inbox/{part.filename}", max_size=10 * GiB)

    Each appears when it is complete. If one fails, it leaves nothing; those before it stay.

    Args:
        target: Returns the key of a file, as for :class:`StorageResponse`.
        max_size: Most bytes that the body may have.
        progress: As for :meth:`asyncstore.Storage.put`; each file is a transfer of its own.
        fields: Options of the writes; the media type is that of each file, unless they have one.

    Raises:
        RequestBodyError: The body is not a form, is malformed or too large, or the client disconnected.
    """
    parts = form_parts(request, max_size=max_size)

    def uri_of(part: FormPart) -> ObjectURI:
        return object_uri(storage, target(part))

    return await forms.store_files(storage, parts, uri_of, progress=progress, **fields)


async def presigned_redirect(
    request: Request, storage: Storage, key: str | ObjectURI, *, expires: timedelta = timedelta(minutes=5)
) -> Response:
    """
    Redirect the client to the provider, with a presigned URL for the method of the request.

    The bytes do not pass through the server. The URL is a secret until it expires, so caches do not keep it.

    Args:
        key: As for :class:`StorageResponse`.

    Raises:
        NotSupportedError: The provider does not sign URLs (``storage.capabilities.sign``).
    """
    status, headers = await link(storage, object_uri(storage, key), request.method, expires)
    return Response(status_code=status, headers=headers)


async def problem_response(request: Request, error: StorageError) -> Response:
    """
    Return the problem details of a storage's error: https://www.rfc-editor.org/rfc/rfc9457

    They say what happened, without names of buckets, addresses or text of the provider. What is the server's own
    failure is logged under ``asyncstore.integrations.http_serving``.
    """
    problem = problem_of(error, _headers(request.headers))
    return Response(problem.body(), problem.status, dict(problem.headers))


#: For ``exception_handlers=`` of an application.
PROBLEMS: Final[dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]] = {
    StorageError: problem_response
}


def _headers(headers: Headers) -> dict[str, str]:
    return {name: ", ".join(headers.getlist(name)) for name in headers}


async def _body(request: Request) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                yield chunk
    except ClientDisconnect:
        raise ClientDisconnectedError from None


async def _send_answer(answer: Answer, more: list[tuple[bytes, bytes]], send: Send) -> None:
    replaced = {name for name, _ in more}
    own = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers = [item for item in own if item[0] not in replaced] + more
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    try:
        async with aclosing(answer.body) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except StorageError as exc:
        raise InterruptedResponseError(f"the response broke off: {exc}") from exc
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_disconnected(receive: Receive, respond: Callable[[], Awaitable[None]]) -> None:
    """
    Await *respond*, and cancel it when the client disconnects.
    """
    with single_error():
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await _unless_gone(respond)
            group.cancel_scope.cancel()


async def _unless_gone(respond: Callable[[], Awaitable[None]]) -> None:
    try:
        await respond()
    except OSError:
        # What send() raises when the client has gone, since version 2.4 of ASGI:
        # https://asgi.readthedocs.io/en/latest/specs/www.html#disconnected-client-send-exception
        return
