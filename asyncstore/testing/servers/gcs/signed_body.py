"""
A body whose digest was signed.
"""

from __future__ import annotations

import hashlib

from asyncstore.testing.servers.gcs.calls import Body
from asyncstore.testing.servers.gcs.errors import ServiceError


class SignedBody:
    """
    Passes on another body, and refuses its end if it is not the one that was signed.
    """

    def __init__(self, body: Body, sha256: str) -> None:
        self._body = body
        self._expected = sha256
        self._digest = hashlib.sha256()

    async def readany(self) -> bytes:
        data = await self._body.readany()
        self._digest.update(data)
        if not data and self._digest.hexdigest() != self._expected:
            message = "The provided 'x-goog-content-sha256' header does not match what was computed."
            raise ServiceError(400, "invalid", "ContentSHA256Mismatch", message)
        return data
