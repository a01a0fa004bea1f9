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
    Return the boundary that a ``Content-Type`` names.

    Raises:
        ServiceError: It names none.
    """
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_maintype() != "multipart" or not boundary:
        raise invalid("Missing multipart boundary in Content-Type.", "Content-Type")
    return boundary


class RelatedReader:
    """
    Reads the parts of a body one after the other.
    """

    def __init__(self, body: Body, boundary: str) -> None:
        self._body = body
        self._delimiter = b"\r\n--" + boundary.encode()
        # The first delimiter has no line before it.
        self._buffer = bytearray(b"\r\n")

    async def start(self) -> None:
        """
        Pass over what is before the first part.
        """
        await self._read_until(self._delimiter)

    async def headers(self) -> dict[str, str]:
        """
        Return the headers of the part that begins here, with lower-case names.
        """
        block = await self._read_until(b"\r\n\r\n")
        lines = [line.partition(":") for line in block.decode(errors="replace").split("\r\n") if ":" in line]
        return {name.strip().lower(): value.strip() for name, _, value in lines}

    async def document(self) -> bytes:
        """
        Return a short part whole.
        """
        return await self._read_until(self._delimiter)

    async def content(self) -> Content:
        """
        Return a part that may be long.
        """
        growing = GrowingContent()
        kept = len(self._delimiter) - 1
        while (end := self._buffer.find(self._delimiter)) < 0:
            settled = max(0, len(self._buffer) - kept)
            growing.add(self._buffer[:settled])
            del self._buffer[:settled]
            await self._more()
        growing.add(self._buffer[:end])
        return growing.finish()

    async def _read_until(self, marker: bytes) -> bytes:
        searched = 0
        while (end := self._buffer.find(marker, searched)) < 0:
            searched = max(0, len(self._buffer) - len(marker))
            await self._more()
        found = bytes(self._buffer[:end])
        del self._buffer[: end + len(marker)]
        return found

    async def _more(self) -> None:
        data = await self._body.readany()
        if not data:
            raise invalid("Malformed multipart body.")
        self._buffer += data
