"""
The progress of a transfer as server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio

from asyncstore.engine.progress import Transfer, track
from asyncstore.errors import StorageError
from asyncstore.integrations.http_serving.problems import problem_of
from asyncstore.types import BulkResult, ObjectInfo, ProgressEvent

#: Seconds between two events, so that a fast transfer does not send thousands of them.
INTERVAL: Final = 0.1
#: Seconds without an event after which a comment is sent: proxies close connections that are silent for long,
#: and a client that has gone is noticed.
HEARTBEAT: Final = 15.0

HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    # nginx would collect events: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
    "X-Accel-Buffering": "no",
}

#: Returns what JSON is to say about a result.
Render = Callable[[Any], Any]


async def send_events(
    send: Callable[[bytes], Awaitable[None]],
    operation: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    render: Render | None,
) -> None:
    """
    Run ``operation(*args, progress=..., **kwargs)`` and send its progress.

    ``progress`` events have the counts of :class:`~asyncstore.ProgressEvent`. The last event is ``done`` with the
    result, or ``error`` with problem details. If *send* raises, or the task is cancelled, the operation is cancelled,
    and has cleaned up when this returns.
    """
    try:
        async with track(operation, *args, **kwargs) as transfer:
            await _send_progress(send, transfer)
        result = (render or describe)(transfer.result)
    except StorageError as exc:
        await send(_event("error", problem_of(exc).document()))
    else:
        await send(_event("done", result))


async def _send_progress(send: Callable[[bytes], Awaitable[None]], transfer: Transfer[Any]) -> None:
    while True:
        event: ProgressEvent | None = None
        with anyio.move_on_after(HEARTBEAT) as waiting:
            event = await anext(transfer, None)
        if waiting.cancelled_caught:
            await send(b":\n\n")
        elif event is None:
            return
        else:
            await send(_event("progress", _counts(event)))
            if event.kind != "done":
                await anyio.sleep(INTERVAL)


def describe(result: Any) -> Any:
    """
    Return what JSON says about the result of a transfer; ``None`` if it is of a type that this does not know.
    """
    if isinstance(result, ObjectInfo):
        return {"name": result.name, "size": result.size, "etag": result.etag}
    if isinstance(result, BulkResult):
        return {
            "done": result.done,
            "skipped": result.skipped,
            "failed": result.failed,
            "total_bytes": result.total_bytes,
        }
    return None


def _counts(event: ProgressEvent) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "phase": event.phase,
        # Without the bucket.
        "name": event.uri and event.uri.name,
        "object_bytes_done": event.object_bytes_done,
        "object_bytes_total": event.object_bytes_total,
        "bytes_done": event.bytes_done,
        "bytes_total": event.bytes_total,
        "objects_done": event.objects_done,
        "objects_skipped": event.objects_skipped,
        "objects_failed": event.objects_failed,
        "objects_total": event.objects_total,
        "retries": event.retries,
        "rate": round(event.rate),
        "elapsed": round(event.elapsed, 3),
    }


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
