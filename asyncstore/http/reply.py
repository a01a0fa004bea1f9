"""
The reply to one request: its status and headers, and a body still to be read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from asyncstore.errors import UnavailableError
from asyncstore.http.failures import FAILURES, translated

#: Bytes of an error's body that are read; what is longer is not for us.
MAX_ERROR_BODY: Final = 64 * 1024

# Where the providers put the id of a request, for their support desks.
_REQUEST_ID_HEADERS: Final = (
    "x-amz-request-id",
    "x-ms-request-id",
    "opc-request-id",
    "x-guploader-uploadid",
    "x-github-request-id",
)


class Reply:
    """
    A reply whose head is here.

    Whoever gets one reads its body to the end or closes it.

    Attributes:
        status: The HTTP status.
        headers: By name in any case.
        response: aiohttp's own reply, for what streams it.
    """

    __slots__ = ("_data", "headers", "response", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._data: bytes | None = None

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request."""
        for name in _REQUEST_ID_HEADERS:
            if name in self.headers:
                return self.headers[name]
        return None

    @property
    def retry_after(self) -> float | None:
        """Seconds that the provider asked to wait, from a number or a date."""
        text = self.headers.get("Retry-After")
        return None if text is None else parse_retry_after(text)

    async def read(self, limit: int) -> bytes:
        """
        Return the body, and give the connection back.

        Raises:
            UnavailableError: It broke off, or is longer than *limit* bytes.
        """
        data = await self.read_some(limit)
        if len(data) > limit:
            raise UnavailableError(
                f"a reply of more than {limit} bytes where a short one was expected", retryable=False
            )
        return data

    async def read_error(self) -> bytes:
        """
        Return the first 64 KiB of an error's body, or what came of it.
        """
        try:
            return (await self.read_some(MAX_ERROR_BODY))[:MAX_ERROR_BODY]
        except UnavailableError:
            # The status is worth more than the fact that its explanation broke off.
            return b""

    async def read_some(self, limit: int) -> bytes:
        """
        Return the body if it has at most *limit* bytes, else its beginning.
        """
        if self._data is None:
            try:
                # What the auth middleware had to look at is kept by aiohttp.
                known = self.response._body
                self._data = known if known is not None else await _read(self.response.content, limit)
            except FAILURES as exc:
                raise translated(exc) from None
            finally:
                # The connection is back in the pool already if that was all.
                self.response.close()
        return self._data

    def close(self) -> None:
        """
        Let go of the reply: a body that was not read costs the connection.
        """
        self.response.close()


async def _read(content: aiohttp.StreamReader, limit: int) -> bytes:
    chunks = []
    left = limit + 1
    while left > 0 and (chunk := await content.readany()):
        chunks.append(chunk)
        left -= len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse_retry_after(text: str) -> float | None:
    """
    Read a ``Retry-After``: seconds, or a date, which becomes seconds from now.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
