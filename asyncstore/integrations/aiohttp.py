"""
Objects in applications of ``aiohttp.web``. Forms need ``asyncstore[aiohttp]``; the rest needs nothing more.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any, Final, Literal, Unpack

import anyio
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

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
    "BodyTooLargeError",
    "FormPart",
    "InterruptedResponseError",
    "RequestBodyError",
    "StoredForm",
    "form_parts",
    "presigned_redirect",
    "problems",
    "send_object",
    "send_progress",
    "storage_context",
    "store_body",
    "store_form",
]

# Seconds between two looks at a connection whose client may have gone while the provider sends nothing: aiohttp tells
# a handler only when it writes.
_LOOK: Final = 1.0


def storage_context(
    key: web.AppKey[Storage], source: StorageSource
) -> Callable[[web.Application], AsyncIterator[None]]:
    """
    Return a cleanup context that opens a storage when the application starts, and closes it when that stops.

    ::

        MODELS = web.AppKey("MODELS", Storage)
        app = web.Application(middlewares=[problems])
        app.cleanup_ctx.append(storage_context(MODELS, "s3://models"))

    Handlers find it as ``request.app[MODELS]``, or as ``request.config_dict[MODELS]`` from a subapplication.

    Args:
        source: A URI, a :class:`~asyncstore.StorageConfig`, or a function that returns a storage or another context
            manager of one: ``lambda: open_storage("s3://models", region="eu-central-1")``.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        async with opened(source) as storage:
            app[key] = storage
            yield

    return context


async def send_object(
    request: web.Request,
    storage: Storage,
    key: str | ObjectURI,
    *,
    filename: str | None = None,
    disposition: Literal["attachment", "inline"] | None = None,
    content_type: str | None = None,
    cache_control: str | None = None,
    version_id: str | None = None,
) -> web.StreamResponse:
    """
    Respond to a GET or HEAD with an object, by RFC 9110: ranges, conditions, and headers of what is stored.

    ::

        async def download(request: web.Request) -> web.StreamResponse:
            return await send_object(request, request.app[MODELS], request.match_info["key"])

        app.router.add_get("/models/{key:.+}", download)

    The bytes are passed on as the client takes them, all of one version of the object. When the client disconnects, the
    connection to the provider is closed, within a second if the provider sends nothing. Errors before the first byte
    are raised, for :func:`problems` to handle.

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

    Raises:
        StorageError: The object cannot be read.
        InterruptedResponseError: It could not be read to its end; the connection is closed.
    """
    shown = Presentation(
        filename=filename,
        disposition=disposition,
        content_type=content_type,
        cache_control=cache_control,
        version_id=version_id,
    )
    uri, headers = object_uri(storage, key), _headers(request)

    async def respond() -> web.StreamResponse:
        async with answering(storage, uri, request.method, headers, shown) as answer:
            return await _send_answer(request, answer)

    return await _until_disconnected(request, respond)


async def send_progress(
    request: web.Request,
    operation: Callable[..., Awaitable[Any]],
    *args: Any,
    render: Render | None = None,
    **kwargs: Any,
) -> web.StreamResponse:
    """
    Run a transfer, and send its progress as server-sent events, which browsers read with ``EventSource`` or ``fetch``.

    ::

        async def copy(request: web.Request) -> web.StreamResponse:
            key, models, archive = request.match_info["key"], request.app[MODELS], request.app[ARCHIVE]
            return await send_progress(request, copy_between, models, models.root / key, archive, archive.root / key)

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

    async def respond() -> web.StreamResponse:
        response = web.StreamResponse(headers=events.HEADERS)
        await response.prepare(request)
        await events.send_events(response.write, operation, args, kwargs, render)
        await response.write_eof()
        return response

    return await _until_disconnected(request, respond)


async def store_body(
    request: web.Request,
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

        async def upload(request: web.Request) -> web.Response:
            info = await store_body(request, request.app[MODELS], request.match_info["key"], max_size=10 * GiB)
            return web.json_response({"etag": info.etag, "size": info.size}, status=201)

    Its media type and conditions are those of the request: ``If-None-Match: *`` creates only, ``If-Match`` replaces
    only that version. If the client disconnects, or the body is too large, nothing is published, and no upload is left.
    The ``client_max_size`` of the application does not apply.

    Args:
        key: As for :func:`send_object`.
        max_size: Most bytes that the body may have.
        progress: As for :meth:`asyncstore.Storage.put`.
        fields: Options of the write, which replace those of the request.

    Raises:
        BodyTooLargeError: The body is larger than *max_size*.
        RequestBodyError: It cannot be stored, or the client disconnected.
        AlreadyExistsError, PreconditionFailedError: A condition did not hold.
    """
    uri, headers = object_uri(storage, key), _headers(request)
    return await upload.store(storage, uri, headers, _body(request), max_size=max_size, progress=progress, **fields)


def form_parts(request: web.Request, *, max_size: int) -> AsyncGenerator[FormPart, None]:
    """
    Yield the fields and files of a multipart form as they arrive, without a temporary file.

    Each must be read before the next one; what is not read is skipped. Iterate within :func:`contextlib.aclosing`
    if you leave the loop early.

    Args:
        max_size: Most bytes that the body may have.

    Raises:
        RequestBodyError: The body is not a form, is malformed or too large, or the client disconnected.
    """
    return forms.form_parts(_headers(request), _body(request), max_size=max_size)


async def store_form(
    request: web.Request,
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
        target: Returns the key of a file, as for :func:`send_object`.
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
    request: web.Request, storage: Storage, key: str | ObjectURI, *, expires: timedelta = timedelta(minutes=5)
) -> web.Response:
    """
    Redirect the client to the provider, with a presigned URL for the method of the request.

    The bytes do not pass through the server. The URL is a secret until it expires, so caches do not keep it.

    Args:
        key: As for :func:`send_object`.

    Raises:
        NotSupportedError: The provider does not sign URLs (``storage.capabilities.sign``).
    """
    status, headers = await link(storage, object_uri(storage, key), request.method, expires)
    return web.Response(status=status, headers=headers)


@web.middleware
async def problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """
    Middleware that answers errors of storages with problem details: https://www.rfc-editor.org/rfc/rfc9457

    They say what happened, without names of buckets, addresses or text of the provider. What is the server's own
    failure is logged under ``asyncstore.integrations.http_serving``.
    """
    try:
        return await handler(request)
    except StorageError as exc:
        problem = problem_of(exc, _headers(request))
        return web.Response(body=problem.body(), status=problem.status, headers=problem.headers)


def _headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}


async def _body(request: web.Request) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except (ConnectionError, ClientPayloadError, web.RequestPayloadError, HttpProcessingError):
        raise ClientDisconnectedError from None


async def _send_answer(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    await response.prepare(request)
    try:
        async with aclosing(answer.body) as chunks:
            async for chunk in chunks:
                await response.write(chunk)
    except StorageError as exc:
        raise InterruptedResponseError(f"the response broke off: {exc}") from exc
    await response.write_eof()
    return response


async def _until_disconnected(
    request: web.Request, respond: Callable[[], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """
    Await *respond*, and cancel it when the client disconnects.
    """
    response: web.StreamResponse | None = None
    with single_error():
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                # aiohttp has no event for it.
                while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
                    await anyio.sleep(_LOOK)
                group.cancel_scope.cancel()

            group.start_soon(watch)
            # Of a write to a client that has gone.
            with suppress(ConnectionError):
                response = await respond()
            group.cancel_scope.cancel()
    # aiohttp tries to send it, and ends the request without an error in the log.
    return web.Response() if response is None else response
