"""
Locates and signs the requests of S3, and explains its refusals.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from asyncstore.auth.aws.credentials import AWSCredentials
from asyncstore.auth.aws.sigv4 import UNSIGNED_PAYLOAD, AWSKeys, SignatureSeries, encode_key, sign_headers
from asyncstore.auth.credentials import Lease
from asyncstore.driver.body import Body, BytesBody
from asyncstore.drivers.s3.addresses import Addresses, Place
from asyncstore.drivers.s3.errors import named, whereabouts
from asyncstore.drivers.s3.features import (
    PLAIN_CHECKSUMS,
    UNSIGNED_PAYLOADS,
    WRITE_CHECKSUMS,
    blames_checksums,
    blames_payload_hash,
    checksum_feature,
    without_checksums,
)
from asyncstore.drivers.s3.sessions import Sessions
from asyncstore.errors import NotSupportedError, StorageError
from asyncstore.http.client import HTTPClient
from asyncstore.http.exchange import NO_HEADERS, AnyLease, Exchange, Omission
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import ObjectURI

#: Asks for the stored checksum along with the object.
CHECKED_READ: Final[Mapping[str, str]] = MappingProxyType({"x-amz-checksum-mode": "ENABLED"})

UNSIGNED_REFUSED: Final = "this endpoint wants the hash of the bytes before them"

_CUSTOMER_KEY: Final = "x-amz-server-side-encryption-customer-key"

EMPTY_HASH: Final = hashlib.sha256(b"").hexdigest()


class Request(NamedTuple):
    """
    One request, before it is signed.

    Attributes:
        uri: The object, or anything in the bucket if *whole_bucket*.
        query: Percent-encoded, without the ``?``.
        headers: Sent, and signed where S3 requires it.
        body: The bytes to send.
        payload_hash: Signed in place of the body.
        create_only: A failed condition means that the object exists.
        patience: Multiplies ``stall_timeout`` for the reply.
        chosen_checksum: The caller chose the checksum, so it is not omitted.
        opens_session: It creates the session of a directory bucket, and is not signed with it.
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
    accept: int = 0
    chosen_checksum: bool = False
    opens_session: bool = False


class Wire(Exchange["AWSKeys | None"]):
    """
    The requests of one storage on S3.

    Args:
        common: Headers of every request.
        encryption: Headers that choose how new objects are encrypted, which a session has to know.

    Attributes:
        common: Headers of every request.
    """

    credentials: AWSCredentials
    # The region, the keys, the clock, and a feature that the endpoint lacks.
    max_recoveries = 4
    recoverable = frozenset({301, 307, 400, 401, 403})

    def __init__(
        self,
        http: HTTPClient,
        credentials: AWSCredentials,
        addresses: Addresses,
        common: Mapping[str, str] = NO_HEADERS,
        encryption: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(http, credentials)
        self.addresses = addresses
        self.common = common
        self.sessions = Sessions(self._create_session)
        self._encryption = encryption
        self._series: dict[tuple[Place, bool], SignatureSeries] = {}

    def locate(self, request: Request) -> tuple[Origin, str] | None:
        place = self.addresses.known(request.uri)
        if place is None:
            return None
        if place.in_session and not request.opens_session and self.sessions.current(request.uri) is None:
            return None
        if request.whole_bucket:
            return place.origin, place.path or "/"
        return place.origin, f"{place.path}/{encode_key(request.uri.key)}"

    async def find(self, request: Request) -> tuple[Origin, str]:
        place = await self.place(request.uri)
        if place.in_session and not request.opens_session:
            # It may be due for renewal, and is valid nevertheless.
            await self.sessions.open(request.uri)
        path = place.path or "/" if request.whole_bucket else f"{place.path}/{encode_key(request.uri.key)}"
        return place.origin, path

    async def place(self, uri: ObjectURI) -> Place:
        """
        Return where the bucket of *uri* is, for which AWS's configuration is read the first time.
        """
        place = self.addresses.known(uri)
        if place is None:
            place = await self.addresses.find(uri)
            self.http.trust(await self.credentials.ca_file())
        return place

    async def keys_for(self, uri: ObjectURI) -> Lease[AWSKeys | None]:
        """
        Return the keys that sign requests to the bucket of *uri*.
        """
        if (await self.place(uri)).in_session:
            return await self.sessions.open(uri)
        lease: Lease[AWSKeys | None] = self.credentials.current() or await self.credentials.get()
        return lease

    async def aclose(self) -> None:
        try:
            await self.sessions.aclose()
        finally:
            await super().aclose()

    async def _create_session(self, uri: ObjectURI) -> bytes:
        request = Request("GET", uri, "session=", self._encryption, whole_bucket=True, opens_session=True)
        return (await self.read(request))[1]

    def sign(self, request: Request, origin: Origin, path: str, keys: AWSKeys | None) -> tuple[Mapping[str, str], str]:
        headers = {**self.common, **request.headers} if self.common else request.headers
        place = self.addresses.known(request.uri)
        if keys is None or place is None:
            if _CUSTOMER_KEY in request.headers:
                self.addresses.check_key(origin)
            return headers, request.query
        if place.in_session and not request.opens_session:
            keys = self.sessions.keys(request.uri) or keys
        when = self.clock.now()
        if (request.headers is CHECKED_READ or request.headers is NO_HEADERS) and request.payload_hash is EMPTY_HASH:
            return self._repeated(request, place, keys).sign(request.method, path, request.query, when), request.query
        signed = sign_headers(
            request.method,
            path,
            request.query,
            [("host", origin.host), *[item for item in headers.items() if _is_signed(item[0])]],
            keys=keys,
            scope=place.scope,
            when=when,
            payload_hash=request.payload_hash,
        )
        return {**headers, **signed}, request.query

    def _repeated(self, request: Request, place: Place, keys: AWSKeys) -> SignatureSeries:
        checked = request.headers is CHECKED_READ
        series = self._series.get((place, checked))
        if series is None or series.keys is not keys:
            series = SignatureSeries(
                place.origin.host,
                {**self.common, **request.headers},
                keys=keys,
                scope=place.scope,
                payload_hash=EMPTY_HASH,
            )
            self._series[place, checked] = series
        return series

    async def _recover(
        self,
        request: Any,
        reply: Reply,
        body: bytes,
        error: StorageError,
        lease: AnyLease[AWSKeys | None],
        offset: float,
    ) -> bool:
        # S3 answers HEAD without a code.
        rejected = error.code in self.credentials.expired_codes or (error.code is None and reply.status in (400, 401))
        if request.opens_session or not rejected or self.sessions.keys(request.uri) is None:
            return await super()._recover(request, reply, body, error, lease, offset)
        if request.body is not None and not request.body.replayable:
            return False
        await self.sessions.renew(request.uri)
        return True

    def explain(self, request: Request, reply: Reply, body: bytes) -> StorageError:
        return named(reply, body, create_only=request.create_only)

    async def omit(self, request: Request, reply: Reply, error: StorageError) -> Omission | None:
        if self.addresses.at_aws:
            return None
        reason = f"refused with status {error.status}: {error.message}"
        if request.body is not None and request.payload_hash is UNSIGNED_PAYLOAD and blames_payload_hash(error):
            signed = request._replace(payload_hash=await signed_hash(request.body))
            return Omission(signed, UNSIGNED_PAYLOADS, reason)
        if not blames_checksums(error):
            return None
        feature = checksum_feature(request.method, request.query, request.headers)
        if feature is None:
            return None
        if request.chosen_checksum:
            error.message += "; writes that name no checksum are sent without one where the endpoint refuses it"
            return None
        headers = without_checksums(request.headers) or NO_HEADERS
        changes = {"checksums": PLAIN_CHECKSUMS} if feature == WRITE_CHECKSUMS else {}
        return Omission(request._replace(headers=headers), feature, reason, changes)

    def relocate(self, request: Request, reply: Reply, body: bytes) -> bool:
        region, endpoint = whereabouts(reply, body)
        return self.addresses.moved(request.uri, region, endpoint)


def _is_signed(name: str) -> bool:
    # Proxies may change the rest on the way.
    return name.startswith("x-amz-") or name in ("Content-Type", "Content-MD5")


def document(
    method: str,
    uri: ObjectURI,
    query: str,
    tag: str,
    content: str,
    headers: Mapping[str, str] | None = None,
    *,
    crc: bool = False,
) -> Request:
    """
    Return a request with an XML document, which the signature covers.

    Args:
        content: The XML inside the element *tag*.
        headers: By default the checksum without which S3 refuses deletions and tags.
        crc: Whether that checksum is a CRC32, which directory buckets take, instead of an MD5.
    """
    element = f'<{tag} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{content}</{tag}>'
    data = f'<?xml version="1.0" encoding="UTF-8"?>{element}'.encode()
    if headers is None:
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        checksum = {"Content-MD5": base64.b64encode(digest).decode("ascii")}
        if crc:
            code = zlib.crc32(data).to_bytes(4, "big")
            checksum = {"x-amz-checksum-crc32": base64.b64encode(code).decode("ascii")}
        headers = {**checksum, "Content-Type": "application/xml"}
    return Request(method, uri, query, headers, BytesBody(data), hashlib.sha256(data).hexdigest())


def payload_hash(body: Body) -> str:
    """
    Return the payload hash for an object's bytes: unsigned, since their checksum protects them.
    """
    return UNSIGNED_PAYLOAD if body.size else EMPTY_HASH


async def signed_hash(body: Body) -> str:
    """
    Return the payload hash of an object's bytes for an endpoint that wants them signed; may read them once more.
    """
    await body.prepare(ChecksumAlgorithm.SHA256)
    digest = body.checksum(ChecksumAlgorithm.SHA256)
    if digest is None:
        raise NotSupportedError(f"{UNSIGNED_REFUSED}, and the bytes of a stream cannot be read twice")
    return digest.value.hex()
