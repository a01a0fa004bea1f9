"""
A cancelled request closes its connection, even with data still to be sent.
"""

from __future__ import annotations

import asyncio
import gc
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from contextlib import suppress
from typing import Any

from asyncstore import MiB, open_storage

# More than the system buffers for a connection.
SIZE = 12 * MiB


class DeafServer:
    """
    Reads the head of a request, but not its body.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        await self.left.wait()
        writer.close()


def connections_to(port: int) -> int:
    """Count the client's open connections."""
    # Plain connections only: closed TLS transports no longer return their socket.
    found = [one for one in gc.get_objects() if isinstance(one, _SelectorSocketTransport)]
    sockets = [one.get_extra_info("socket") for one in found if one.get_extra_info("peername", ("", 0))[1] == port]
    return len([one for one in sockets if one.fileno() >= 0])


async def test_cancelled_request_leaves_no_connection() -> None:
    """
    The connection is closed even if the server has stopped reading.
    """
    deaf = DeafServer()
    server = await asyncio.start_server(deaf.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    place: dict[str, Any] = {"endpoint_url": f"http://127.0.0.1:{port}", "region": "us-east-1"}
    storage = open_storage("s3://bucket", **place, access_key_id="x", secret_access_key="x")
    task = asyncio.ensure_future(storage.put(storage.root / "key", bytes(SIZE)))
    await deaf.asked.wait()
    for _ in range(300):
        if before := connections_to(port):
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)

    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await storage.aclose()
    for _ in range(300):
        # Without the abort it would stay open until the server reads.
        if not (after := connections_to(port)):
            break
        await asyncio.sleep(0.01)
    deaf.left.set()
    server.close()
    await server.wait_closed()

    assert (before, after) == (1, 0)
