"""
The names of uploads by parts and of their blocks, which Azure leaves to us.

Azure has blocks but no uploads: whoever writes puts blocks under ids of their own,
and commits a list of them. Here an id says which upload the block belongs to, which
part it is, and the CRC64 that the service has compared, so that another process can
find the parts, and tell whether they are of the bytes that it has. All ids have the
same length, as Azure wants them to have within one blob; 54 bytes are under its 64:
https://learn.microsoft.com/rest/api/storageservices/put-block
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections import OrderedDict
from hashlib import sha256
from typing import Final, NamedTuple

from asyncstore.types import Checksum, ChecksumAlgorithm
from asyncstore.uri import ObjectURI

# 24 digits at random, and 8 that tie them to the blob.
_RANDOM_BYTES: Final = 12
_UPLOAD: Final = re.compile(r"[0-9a-f]{32}")
_BLOCK: Final = re.compile(r"([0-9a-f]{32})([0-9]{6})([0-9a-f]{16}|-{16})")
_NO_CHECKSUM: Final = "-" * 16

#: The part number of the block that marks an upload as aborted.
ABORTED: Final = 0

_REMEMBERED: Final = 10_000


def new_upload_id(uri: ObjectURI) -> str:
    """
    Return the id of a new upload to *uri*.
    """
    return _tied(secrets.token_hex(_RANDOM_BYTES), uri)


def is_upload_id(uri: ObjectURI, upload_id: str) -> bool:
    """
    Tell whether *upload_id* is that of an upload to *uri*, and not made up.
    """
    return _UPLOAD.fullmatch(upload_id) is not None and _tied(upload_id[: 2 * _RANDOM_BYTES], uri) == upload_id


class Block(NamedTuple):
    """
    What the id of a block says.

    Attributes:
        number: The part, from 1; or :data:`ABORTED`.
        checksum: The CRC64 of its bytes, if it was sent along.
    """

    upload_id: str
    number: int
    checksum: Checksum | None = None

    def id(self) -> str:
        """
        Return the id in base64, as requests and lists have it.
        """
        checksum = self.checksum
        crc64 = checksum is not None and checksum.algorithm is ChecksumAlgorithm.CRC64NVME
        said = checksum.value.hex() if checksum is not None and crc64 else _NO_CHECKSUM
        return base64.b64encode(f"{self.upload_id}{self.number:06d}{said}".encode("ascii")).decode("ascii")

    @classmethod
    def parse(cls, text: str) -> Block | None:
        """
        Read an id; ``None`` if it is not one of ours.
        """
        try:
            match = _BLOCK.fullmatch(base64.b64decode(text, validate=True).decode("ascii"))
        except (binascii.Error, ValueError):
            return None
        if match is None:
            return None
        upload_id, number, said = match.groups()
        checksum = None
        if said != _NO_CHECKSUM:
            checksum = Checksum(ChecksumAlgorithm.CRC64NVME, bytes.fromhex(said))
        return cls(upload_id, int(number), checksum)


def _tied(random: str, uri: ObjectURI) -> str:
    # No secret: it tells ids that were mixed up, not ones that were forged.
    return random + sha256(f"{random}\0{uri.bucket}\0{uri.key}".encode()).hexdigest()[:8]


class AbortedUploads:
    """
    The uploads that this process has aborted lately, so that no late part revives one.
    """

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, upload_id: str) -> None:
        """
        Remember an upload; the oldest of 10,000 is forgotten.
        """
        self._ids[upload_id] = None
        if len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)

    def __contains__(self, upload_id: str) -> bool:
        return upload_id in self._ids
