"""
Signs and sends the requests of S3, and mends what an error says can be mended.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from asyncstore.auth.aws import AWSCredentials
from asyncstore.auth.credentials import Lease
from asyncstore.auth.sigv4 import UNSIGNED_PAYLOAD, AWSKeys, encode_key, sign_headers
from asyncstore.auth.sigv4_series import SignatureSeries
from asyncstore.body import Body, BytesBody
from asyncstore.drivers.s3.addresses import Addresses, Place
from asyncstore.drivers.s3.errors import Refusal, refusal
from asyncstore.http.client import HTTPClient
from asyncstore.http.reply import Reply
from asyncstore.uri import ObjectURI

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

#: Asks for the stored checksum along with the object.
CHECKED_READ: Final[Mapping[str, str]] = MappingProxyType({"x-amz-checksum-mode": "ENABLED"})

EMPTY_HASH: Final = hashlib.sha256(b"").hexdigest()

#: Bytes of the longest reply that is read into memory: a page of 1,000 long keys.
MAX_REPLY: Final = 16 * 1024 * 1024

# Times that one request is mended: its region, then the keys, then the clock.
_MAX_MENDS: Final = 3

# Clocks that differ by less are not what a provider complains about.
_CLOCK_TOLERANCE: Final = 60.0

_MENDABLE: Final = frozenset({301, 307, 400, 401, 403})


class Request(NamedTuple):
    """
    One request, before it is signed.

    Attributes:
        uri: The object it is about; of the bucket if *whole_bucket*.
        query: Percent-encoded, without the ``?``.
        headers: To be sent, and signed if S3 wants that.
        body: What is sent along.
        payload_hash: What is signed for the body.
        create_only: A failed precondition means that there is an object.
        patience: Times the stall timeout to wait for the reply.
    """

    method: str
    uri: ObjectURI
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: Body | None = None
    payload_hash: str = EMPTY_HASH
    whole_bucket: bool = False
    create_only: bool = False
    patience: float = 1.0


class Wire:
    """
    How one storage talks to S3.

    Args:
        common: Headers of every request.

    Attributes:
        clock_offset: Seconds by which the provider's clock is ahead of ours.
        whole_checksums: Whether an upload by parts can have the checksum of its
            bytes, and not of its parts only.
    """

    def __init__(
        self,
        http: HTTPClient,
        credentials: AWSCredentials,
        addresses: Addresses,
        common: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        self.http = http
        self.credentials = credentials
        self.addresses = addresses
        self.clock_offset = 0.0
        self.whole_checksums = True
        self._common = common
        self._series: dict[tuple[Place, bool], SignatureSeries] = {}

    async def send(self, request: Request) -> Reply:
        """
        Send a request and return the reply, which is a success.

        Where S3 names another region, has new keys coming or another clock, the
        request is signed anew and sent again, if its body can be.

        Raises:
            StorageError: What S3 answered, or that it did not.
        """
        mends = 0
        while True:
            place = self.addresses.known(request.uri) or await self.addresses.find(request.uri)
            lease = self.credentials.current() or await self.credentials.get()
            path = place.path if request.whole_bucket else f"{place.path}/{encode_key(request.uri.key)}"
            reply = await self.http.send(
                request.method,
                place.origin,
                path or "/",
                self._headers(request, place, path or "/", lease.value),
                request.body,
                query=request.query,
                patience=request.patience,
            )
            if reply.status < 300:
                return reply
            refused = await refusal(reply, create_only=request.create_only)
            if mends == _MAX_MENDS or not await self._mend(request, reply, refused, lease):
                raise refused.error
            mends += 1

    async def read(self, request: Request) -> tuple[Reply, bytes]:
        """
        Send a request and return its reply with the whole body.
        """
        reply = await self.send(request)
        return reply, await reply.read(MAX_REPLY)

    def _headers(self, request: Request, place: Place, path: str, keys: AWSKeys | None) -> Mapping[str, str]:
        headers = {**self._common, **request.headers} if self._common else request.headers
        if keys is None:
            return headers
        when = time.time() + self.clock_offset
        if (request.headers is CHECKED_READ or request.headers is NO_HEADERS) and request.payload_hash is EMPTY_HASH:
            return self._repeated(request, place, keys).sign(request.method, path, request.query, when)
        signed = sign_headers(
            request.method,
            path,
            request.query,
            [("host", place.origin.host), *[item for item in headers.items() if _is_signed(item[0])]],
            keys=keys,
            scope=place.scope,
            when=when,
            payload_hash=request.payload_hash,
        )
        return {**headers, **signed}

    def _repeated(self, request: Request, place: Place, keys: AWSKeys) -> SignatureSeries:
        checked = request.headers is CHECKED_READ
        series = self._series.get((place, checked))
        if series is None or series.keys is not keys:
            series = SignatureSeries(
                place.origin.host,
                {**self._common, **request.headers},
                keys=keys,
                scope=place.scope,
                payload_hash=EMPTY_HASH,
            )
            self._series[place, checked] = series
        return series

    async def _mend(self, request: Request, reply: Reply, refused: Refusal, lease: Lease[AWSKeys | None]) -> bool:
        if reply.status not in _MENDABLE or (request.body is not None and not request.body.replayable):
            return False
        if self.addresses.moved(request.uri, refused.region, refused.endpoint):
            return True
        code = refused.error.code
        if code in self.credentials.skew_codes:
            return self._learn_clock(reply)
        # The reply to a HEAD has no code; 400 is what S3 says there of expired keys.
        nameless = code is None and (reply.status == 401 or (reply.status == 400 and request.method == "HEAD"))
        if code in self.credentials.expired_codes or nameless:
            return await self.credentials.refresh(lease) is not lease
        return code is None and reply.status == 403 and self._learn_clock(reply)

    def _learn_clock(self, reply: Reply) -> bool:
        try:
            offset = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp() - time.time()
        except ValueError:
            return False
        if abs(offset - self.clock_offset) <= _CLOCK_TOLERANCE:
            return False
        self.clock_offset = offset
        return True


def _is_signed(name: str) -> bool:
    # The rest may be changed on the way, by a proxy that normalises it.
    return name.startswith("x-amz-") or name in ("Content-Type", "Content-MD5")


def document(
    uri: ObjectURI,
    query: str,
    content: bytes,
    headers: Mapping[str, str],
    *,
    whole_bucket: bool = False,
    create_only: bool = False,
    patience: float = 1.0,
) -> Request:
    """
    Return a POST of a small document of ours, which the signature covers.
    """
    return Request(
        "POST",
        uri,
        query,
        headers,
        BytesBody(content),
        hashlib.sha256(content).hexdigest(),
        whole_bucket,
        create_only,
        patience,
    )


def payload_hash(body: Body) -> str:
    """
    Return what is signed for an object's bytes: their checksum protects them already.
    """
    return UNSIGNED_PAYLOAD if body.size else EMPTY_HASH
