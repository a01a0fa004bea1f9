"""
``multipart/related``: metadata and content in one request body.
"""

from __future__ import annotations

from email.message import Message

from asyncstore.testing.servers.gcs.calls import Body
from asyncstore.testing.servers.gcs.content import Content, GrowingContent
from asyncstore.testing.servers.gcs.errors import invalid


def boundary_of(content_type: str) -> str:
    """
    Return the boundary in a ``Content-Type``.

    Raises:
        ServiceError: It has no boundary.
    """
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_maintype() != "multipart" or not boundary:
        raise invalid("Missing multipart boundary in Content-Type.", "Content-Type")
    return boundary


class RelatedReader:
    """
    Reads the parts of a multipart body in order.
    """

    def __init__(self, body: Body, boundary: str) -> None:
        self._body = body
        self._boundary = b"--" + boundary.encode()
        # Python's email package ends lines with a line feed only, and with it gsutil and others.
        self._newline = b"\r\n"
        self._buffer = bytearray()

    async def start(self) -> None:
        """
        Skip everything before the first part.
        """
        await self._read_until(self._boundary)
        while len(self._buffer) < len(self._newline):
            await self._read_more()
        if self._buffer.startswith(b"\n"):
            self._newline = b"\n"

    @property
    def _delimiter(self) -> bytes:
        return self._newline + self._boundary

    async def headers(self) -> dict[str, str]:
        """
        Return the headers of the next part, with lower-case names.
        """
        block = await self._read_until(self._newline * 2)
        lines = [line.partition(":") for line in block.decode(errors="replace").splitlines() if ":" in line]
        return {name.strip().lower(): value.strip() for name, _, value in lines}

    async def document(self) -> bytes:
        """
        Return a short part.
        """
        return await self._read_until(self._delimiter)

    async def content(self) -> Content:
        """
        Return a part that may be large.
        """
        growing = GrowingContent()
        delimiter = self._delimiter
        kept = len(delimiter) - 1
        while (end := self._buffer.find(delimiter)) < 0:
            complete = max(0, len(self._buffer) - kept)
            growing.add(self._buffer[:complete])
            del self._buffer[:complete]
            await self._read_more()
        growing.add(self._buffer[:end])
        return growing.finish()

    async def _read_until(self, marker: bytes) -> bytes:
        searched = 0
        while (end := self._buffer.find(marker, searched)) < 0:
            searched = max(0, len(self._buffer) - len(marker))
            await self._read_more()
        found = bytes(self._buffer[:end])
        del self._buffer[: end + len(marker)]
        return found

    async def _read_more(self) -> None:
        data = await self._body.readany()
        if not data:
            raise invalid("Malformed multipart body.")
        self._buffer += data
