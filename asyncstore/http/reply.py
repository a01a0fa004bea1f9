"""
The reply to one request: its status and headers, and a body still to be read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from asyncstore.errors import UnavailableError
from asyncstore.http.errors import FAILURES, translated
from asyncstore.http.fast.private import body_read

_SWITCHING_PROTOCOLS: Final = 101

# Of the seconds in a Retry-After.
_MAX_DIGITS: Final = 10

# A body that is read into memory times out after so many stall timeouts, unless so many bytes arrive in a
# second: less than over a modem. Services send a byte now and then while they work.
_STALLS: Final = 10
_SLOWEST: Final = 1024

#: Bytes of an error reply's body that are read.
MAX_ERROR_BODY: Final = 64 * 1024


class Reply:
    """
    A reply whose head has arrived. The caller reads the body to the end or closes it.

    Args:
        timeout: Seconds without a byte after which the connection times out. :meth:`read` waits ten times as long
            for the whole body, and a second more for each KiB.

    Attributes:
        status: The HTTP status.
        headers: By name in any case.
        response: aiohttp's own reply.

    Raises:
        UnavailableError: The server has switched to another protocol.
    """

    __slots__ = ("_data", "_request_id_header", "_timeout", "headers", "response", "status")

    def __init__(
        self, response: aiohttp.ClientResponse, request_id_header: str = "x-request-id", timeout: float = 30.0
    ) -> None:
        self.response = response
        self._request_id_header = request_id_header
        self._timeout = timeout
        self.status = response.status
        if self.status == _SWITCHING_PROTOCOLS:
            response.close()
            raise UnavailableError("the server switched to another protocol without being asked", status=self.status)
        self.headers: Mapping[str, str] = response.headers
        self._data: bytes | None = None

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, for its support desk."""
        return self.headers.get(self._request_id_header)

    @property
    def retry_after(self) -> float | None:
        """Seconds that the provider asks to wait."""
        text = self.headers.get("Retry-After")
        return None if text is None else parse_retry_after(text)

    async def read(self, limit: int) -> bytes:
        """
        Return the body, and return the connection to the pool.

        Raises:
            UnavailableError: The connection broke, the body did not arrive in time, or it is longer than
                *limit* bytes.
        """
        data = await self.read_some(limit)
        if len(data) > limit:
            raise UnavailableError(f"the reply is longer than {limit} bytes", retryable=False)
        return data

    async def read_error(self) -> bytes:
        """
        Return the first 64 KiB of an error's body; nothing if the connection breaks.
        """
        try:
            return (await self.read_some(MAX_ERROR_BODY))[:MAX_ERROR_BODY]
        except UnavailableError:
            # The status matters more than the broken connection.
            return b""

    async def read_some(self, limit: int) -> bytes:
        """
        Return the body, or its beginning if it has more than *limit* bytes.
        """
        if self._data is None:
            try:
                # A middleware may already have read it.
                known = body_read(self.response)
                self._data = known if known is not None else await _read(self.response.content, limit, self._timeout)
            except FAILURES as exc:
                raise translated(exc) from None
            finally:
                # After the last byte the connection is already back in the pool.
                self.response.close()
        return self._data

    def close(self) -> None:
        """
        Close the reply; if its body was not read to the end, also the connection.
        """
        self.response.close()


async def _read(content: aiohttp.StreamReader, limit: int, seconds: float) -> bytes:
    chunks = []
    left = limit + 1
    # A server that sends a byte now and then would otherwise be listened to for years. What has arrived already
    # needs no timer.
    due = None if content.is_eof() else asyncio.get_running_loop().time() + seconds * _STALLS
    async with asyncio.timeout_at(due) as scope:
        while left > 0 and (chunk := await content.readany()):
            chunks.append(chunk)
            left -= len(chunk)
            if due is not None:
                due += len(chunk) / _SLOWEST
                scope.reschedule(due)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse_retry_after(text: str) -> float | None:
    """
    Return the seconds from now that a ``Retry-After`` names, as a number or a date; ``None`` if invalid.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text) if len(text) < _MAX_DIGITS else None
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
