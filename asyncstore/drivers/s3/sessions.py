"""
The sessions with which requests to directory buckets are signed.

A session lasts five minutes, so it is renewed in the background before it ends.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateSession.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

from asyncstore.auth.aws.document import seconds_until
from asyncstore.auth.aws.sigv4 import SESSION_TOKEN, AWSKeys
from asyncstore.auth.tokens import Grant, Lease, TokenSource
from asyncstore.errors import UnauthenticatedError
from asyncstore.http.xml import child, expect
from asyncstore.uri import ObjectURI

#: How long a session is valid.
LIFETIME: Final = timedelta(minutes=5)


class Sessions:
    """
    One session for each directory bucket, shared by all its requests.

    Args:
        create: Sends ``CreateSession`` for the bucket of a URI and returns the reply's body.
    """

    def __init__(self, create: Callable[[ObjectURI], Awaitable[bytes]]) -> None:
        self._create = create
        self._sources: dict[str, TokenSource[AWSKeys | None]] = {}
        self._leases: dict[str, Lease[AWSKeys | None]] = {}

    def current(self, uri: ObjectURI) -> Lease[AWSKeys | None] | None:
        """
        Return the session of a bucket if it needs no renewal, else ``None``; never waits.
        """
        source = self._sources.get(uri.bucket)
        return None if source is None else source.current()

    async def open(self, uri: ObjectURI) -> Lease[AWSKeys | None]:
        """
        Return a valid session of a bucket, created if necessary.

        Raises:
            StorageError: S3 creates none.
        """
        source = self._sources.get(uri.bucket)
        if source is None:
            source = TokenSource(partial(self._fetch, uri), name=f"the session of {uri.bucket}")
            self._sources[uri.bucket] = source
        lease = self._leases[uri.bucket] = await source.get()
        return lease

    def keys(self, uri: ObjectURI) -> AWSKeys | None:
        """
        Return the keys of the session that was opened last.
        """
        lease = self.current(uri) or self._leases.get(uri.bucket)
        return None if lease is None else lease.value

    async def renew(self, uri: ObjectURI) -> None:
        """
        Replace a session that S3 has rejected; raises as :meth:`open`.
        """
        source = self._sources[uri.bucket]
        self._leases[uri.bucket] = await source.refresh(self._leases.get(uri.bucket))

    async def aclose(self) -> None:
        """
        End running renewals.
        """
        for source in self._sources.values():
            await source.aclose()

    async def _fetch(self, uri: ObjectURI) -> Grant[AWSKeys | None]:
        found = expect(await self._create(uri), "CreateSessionResult").find("Credentials")
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        key_id, secret, token, end = (child(found, name) for name in names)
        if not key_id or not secret or not token:
            raise UnauthenticatedError("CreateSession returned no AccessKeyId, SecretAccessKey and SessionToken")
        ttl = seconds_until(end or None, "CreateSession")
        return Grant(AWSKeys(key_id, secret, token, SESSION_TOKEN), ttl)
