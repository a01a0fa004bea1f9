"""
Multipart uploads, made of blocks.

Azure has blocks but no uploads: a writer puts blocks under ids that it chooses and
commits a list of them. Here the id of a block contains its upload, its part number and
the CRC64 that the service verified, so that another process can find the parts and tell
whether they hold its bytes.

* Initiating an upload sends nothing: the blob does not change before the commit, and
  what is stored with it is sent with the commit. Its id contains the time.
* Azure cannot drop uncommitted blocks; it drops them a week after the last one was sent,
  or when the blob is written. Aborting leaves a block of one byte that marks the upload
  as aborted, which removes it from listings.
* A commit or a put drops all other uncommitted blocks of the blob: of two uploads to one
  key, the first to complete ends the other, which raises NotFoundError.

https://learn.microsoft.com/rest/api/storageservices/put-block
https://learn.microsoft.com/rest/api/storageservices/put-block-list
https://learn.microsoft.com/rest/api/storageservices/get-block-list
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NamedTuple

from asyncstore.checksum import combine_all
from asyncstore.driver.body import Body, BytesBody
from asyncstore.driver.parts import compare_parts, in_order
from asyncstore.drivers.azure.encryption import write_headers
from asyncstore.drivers.azure.headers import NO_TAGS, checksum_header, etag_of, stored_headers, version_query
from asyncstore.drivers.azure.objects import Objects, verify, written
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.wire import Request, Wire, xml_request
from asyncstore.errors import InvalidRequestError, NotFoundError, UnavailableError
from asyncstore.http.header_values import parse_size
from asyncstore.http.object_headers import checksum_to_send, condition_headers
from asyncstore.http.origin import encode_query
from asyncstore.http.reply import Reply
from asyncstore.http.xml import expect
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo, Part, PartPage
from asyncstore.uri import ObjectURI

#: A commit of many blocks takes the service a while.
PATIENCE: Final = 4.0

#: The part number of the block that marks an upload as aborted.
ABORTED: Final = 0

_COMMITTED: Final = "blocklisttype=committed&comp=blocklist"
_UNCOMMITTED: Final = "blocklisttype=uncommitted&comp=blocklist"
_MISSING_BLOCK: Final = frozenset({"InvalidBlockList", "InvalidBlobOrBlock"})

# 8 digits of the time in seconds, 16 random ones, and 8 that tie them to the blob. Azure requires ids of one
# length within a blob, at most 64 bytes: these have 54.
_RANDOM_BYTES: Final = 8
_TIED_DIGITS: Final = 24
_UPLOAD: Final = re.compile(r"[0-9a-f]{32}")
_BLOCK: Final = re.compile(r"([0-9a-f]{32})([0-9]{6})([0-9a-f]{16}|-{16})")
_NO_CHECKSUM: Final = "-" * 16

_MAX_ABORTED: Final = 10_000


class Block(NamedTuple):
    """
    What the id of a block says.

    Attributes:
        number: The part number, from 1; or :data:`ABORTED`.
        checksum: The CRC64 of its bytes, if it was sent with them.
    """

    upload_id: str
    number: int
    checksum: Checksum | None = None

    def id(self) -> str:
        """
        Return the id in base64, as requests and block lists have it.
        """
        checksum = self.checksum
        crc64 = checksum is not None and checksum.algorithm is ChecksumAlgorithm.CRC64NVME
        digits = checksum.value.hex() if checksum is not None and crc64 else _NO_CHECKSUM
        return base64.b64encode(f"{self.upload_id}{self.number:06d}{digits}".encode("ascii")).decode("ascii")

    @classmethod
    def parse(cls, text: str) -> Block | None:
        """
        Parse an id; ``None`` if another program chose it.
        """
        try:
            match = _BLOCK.fullmatch(base64.b64decode(text, validate=True).decode("ascii"))
        except (binascii.Error, ValueError):
            return None
        if match is None:
            return None
        upload_id, number, digits = match.groups()
        checksum = None
        if digits != _NO_CHECKSUM:
            checksum = Checksum(ChecksumAlgorithm.CRC64NVME, bytes.fromhex(digits))
        return cls(upload_id, int(number), checksum)


def new_upload_id(uri: ObjectURI, now: float) -> str:
    """
    Return the id of a new upload to *uri*, initiated *now*: the service's Unix time.
    """
    return _tied(f"{int(now) & 0xFFFFFFFF:08x}{secrets.token_hex(_RANDOM_BYTES)}", uri)


def initiated(upload_id: str) -> datetime:
    """
    Return when an upload was initiated.
    """
    return datetime.fromtimestamp(int(upload_id[:8], 16), UTC)


def is_upload_id(uri: ObjectURI, upload_id: str) -> bool:
    """
    Return whether *upload_id* was made for an upload to *uri*.
    """
    return _UPLOAD.fullmatch(upload_id) is not None and _tied(upload_id[:_TIED_DIGITS], uri) == upload_id


def _tied(random: str, uri: ObjectURI) -> str:
    # Not a secret: this detects ids of another blob, not forged ones.
    return random + sha256(f"{random}\0{uri.bucket}\0{uri.key}".encode()).hexdigest()[:8]


class AbortedUploads:
    """
    The last 10,000 uploads that this process aborted, so that no late part revives one.
    """

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, upload_id: str) -> None:
        self._ids[upload_id] = None
        if len(self._ids) > _MAX_ABORTED:
            self._ids.popitem(last=False)

    def __contains__(self, upload_id: str) -> bool:
        return upload_id in self._ids


def part_query(name: str) -> str:
    """
    Return the query that names a block.
    """
    return encode_query([("comp", "block"), ("blockid", name)])


def _listed(body: bytes, kind: str) -> Iterator[tuple[str, int]]:
    """
    Yield the ids and sizes of the blocks of a list that are of this *kind*.
    """
    for item in expect(body, "BlockList").iterfind(f"{kind}/Block"):
        try:
            yield item.findtext("Name") or "", parse_size(item.findtext("Size") or "")
        except ValueError:
            raise UnavailableError("the block list has a block without a valid size") from None


def _check_parts(upload_id: str, parts: Sequence[Part]) -> None:
    if not parts:
        raise InvalidRequestError("an upload without parts cannot be completed: upload at least one")
    for part in parts:
        block = Block.parse(part.etag)
        if block is None or (block.upload_id, block.number) != (upload_id, part.number):
            raise InvalidRequestError(f"part {part.number} has an ETag of another part or upload")


class MultipartUploads(Objects):
    """
    Multipart uploads.
    """

    def __init__(self, wire: Wire, settings: AzureSettings) -> None:
        super().__init__(wire, settings)
        self._aborted = AbortedUploads()

    def _check(self, uri: ObjectURI, upload_id: str) -> None:
        """
        Check that *upload_id* can be an upload to *uri*.

        Raises:
            NotFoundError: It belongs to another blob, is invalid, or was aborted.
        """
        if not is_upload_id(uri, upload_id) or upload_id in self._aborted:
            raise NotFoundError("this multipart upload does not exist, or was aborted", provider="azure", uri=str(uri))

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        """
        Return the id of a new upload; nothing is sent.
        """
        # Invalid names and headers fail now rather than at the commit.
        self._wire.addresses.blob(uri)
        stored_headers(options, self._settings)
        return new_upload_id(uri, self._wire.clock.precise())

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        self._check(uri, upload_id)
        if not body.size:
            raise InvalidRequestError(f"part {number} is empty: a part on Azure has at least one byte")
        checksum = await checksum_to_send(body, options.checksum or self._settings.checksum)
        name = Block(upload_id, number, checksum).id()
        headers = checksum_header(checksum) | self._settings.lease_headers()
        headers |= write_headers(options.encryption or self._encryption)
        reply = await self._send_block(Request("PUT", uri, part_query(name), headers, body))
        stored = await verify(body, reply, checksum)
        return Part(number, name, body.size, checksum or stored)

    async def _send_block(self, request: Request) -> Reply:
        """
        Send a request that makes a block; explain a refusal whose own message says little.
        """
        try:
            return await self._wire.perform(request)
        except InvalidRequestError as exc:
            if exc.code == "InvalidBlobOrBlock":
                exc.message = (
                    "another program has uncommitted blocks in this blob, with ids of another length; Azure drops "
                    "them a week after the last one, or when a single request writes the blob"
                )
            raise

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        self._check(uri, upload_id)
        ordered = in_order(parts)
        _check_parts(upload_id, ordered)
        # The service verified each block on arrival; what is left is their order.
        compare_parts(ordered, checksum)
        size = sum(part.size for part in ordered)
        reply = await self._commit(uri, upload_id, [part.etag for part in ordered], options)
        return written(uri, reply, size, checksum, options.storage_class)

    async def _commit(
        self,
        uri: ObjectURI,
        upload_id: str,
        names: Sequence[str],
        options: WriteOptions,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> Reply:
        """
        Make the blob from the blocks *names* of one upload.

        Raises:
            NotFoundError: None of its blocks exist (any more).
            InvalidRequestError: Some of them are missing.
        """
        headers = stored_headers(options, self._settings, tags) | self._settings.lease_headers()
        headers |= condition_headers(options.if_match, options.if_none_match)
        headers |= write_headers(options.encryption or self._encryption)
        blocks = "".join([f"<Uncommitted>{name}</Uncommitted>" for name in names])
        request = xml_request("PUT", uri, "comp=blocklist", f"<BlockList>{blocks}</BlockList>", headers)
        create_only = options.if_none_match is not None
        try:
            return await self._wire.perform(request._replace(create_only=create_only, patience=PATIENCE))
        except InvalidRequestError as exc:
            if exc.code not in _MISSING_BLOCK or await self._parts(uri, upload_id):
                raise
            raise NotFoundError(
                "this multipart upload does not exist: it was completed, or another writer replaced the blob",
                code=exc.code,
                provider=exc.provider,
                request_id=exc.request_id,
                status=exc.status,
            ) from None

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        if not is_upload_id(uri, upload_id):
            return
        self._aborted.add(upload_id)
        query = part_query(Block(upload_id, ABORTED).id())
        await self._wire.perform(Request("PUT", uri, query, self._settings.lease_headers(), BytesBody(b"-")))

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        self._check(uri, upload_id)
        parts = await self._parts(uri, upload_id)
        sent = Counter(part.number for part in parts)
        # If a part was sent twice with different bytes, Azure does not tell which block came last.
        known = [part for part in parts if sent[part.number] == 1]
        return PartPage(in_order(known))

    async def checksum_of_parts(self, uri: ObjectURI, info: Metadata) -> Checksum | None:
        """
        Return the CRC64 of a blob from those in the ids of its blocks; ``None`` if another program chose the ids.

        The service verified each on arrival, and the ids belong to the blocks: a blob that another program
        has changed since has other ones.
        """
        query = "&".join([part for part in (_COMMITTED, version_query(info.version_id)) if part])
        reply, body = await self._wire.read(Request("GET", uri, query, self._settings.lease_headers()))
        blocks = [(Block.parse(name), size) for name, size in _listed(body, "CommittedBlocks")]
        if etag_of(reply.headers) not in (None, info.etag) or sum(size for _, size in blocks) != info.size:
            return None
        return combine_all((block and block.checksum, size) for block, size in blocks)

    async def _parts(self, uri: ObjectURI, upload_id: str) -> list[Part]:
        return (await self._uploads_of(uri)).get(upload_id, [])

    async def _uploads_of(self, uri: ObjectURI) -> dict[str, list[Part]]:
        """
        Return the unfinished uploads to one blob by their ids, each with its parts in any order.
        """
        try:
            _, body = await self._wire.read(Request("GET", uri, _UNCOMMITTED, self._settings.lease_headers()))
        except NotFoundError as exc:
            if exc.code == "ContainerNotFound":
                raise
            return {}
        found: dict[str, list[Part]] = {}
        for name, size in _listed(body, "UncommittedBlocks"):
            block = Block.parse(name)
            if block is not None and is_upload_id(uri, block.upload_id):
                found.setdefault(block.upload_id, []).append(Part(block.number, name, size, block.checksum))
        return {upload_id: parts for upload_id, parts in found.items() if all(part.number != ABORTED for part in parts)}
