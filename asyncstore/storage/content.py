"""
Whether two files or objects have the same content, by checksums.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.checksum import Hasher
from asyncstore.engine.download.verify import parts_checksum
from asyncstore.errors import IntegrityError, UnavailableError
from asyncstore.options import MiB
from asyncstore.storage.storage import Storage
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

#: An object with its storage, or a local file.
Content = Path | tuple[Storage, ObjectURI]

_READ: Final = 1 * MiB
_MD5: Final = re.compile(r"[0-9a-f]{32}")
# Computed where no object has a stored one: the fastest.
_DEFAULT: Final = ChecksumAlgorithm.CRC32C


async def check_same(one: Content, other: Content) -> None:
    """
    Compare two files or objects; those without a stored checksum of all their bytes are read.

    Raises:
        IntegrityError: They differ.
        NotFoundError: One does not exist.
    """
    known = [await _stored(one), await _stored(other)]
    algorithm = next((name for name in known[0] if name in known[1]), next(iter({**known[0], **known[1]}), _DEFAULT))
    first, second = [
        sums.get(algorithm) or await _computed(item, algorithm) for item, sums in zip((one, other), known, strict=True)
    ]
    if first != second and any(algorithm in sums for sums in known):
        # The ETag of an encrypted object looks like an MD5 and is none: only the bytes show that they differ.
        first, second = await _computed(one, algorithm), await _computed(other, algorithm)
    if first != second:
        raise IntegrityError("the copy differs from its source", expected=str(first), actual=str(second))


async def _stored(item: Content) -> dict[ChecksumAlgorithm, Checksum]:
    if isinstance(item, Path):
        return {}
    storage, uri = item
    return {found.algorithm: found for found in await stored_checksums(storage, await storage.stat(uri))}


async def _computed(item: Content, algorithm: ChecksumAlgorithm) -> Checksum:
    if isinstance(item, Path):
        return await file_checksum(item, algorithm)
    storage, uri = item
    hasher = Hasher(algorithm)
    async with storage.get(uri) as stream:
        async for chunk in stream:
            hasher.update(chunk)
    return hasher.checksum()


async def stored_checksums(storage: Storage, info: Metadata) -> list[Checksum]:
    """
    Return the checksums of a whole object; if the provider has none, combine those of its parts.
    """
    if (known := whole_checksums(storage, info)) or storage.capabilities.part_checksums is None:
        return known
    try:
        whole = await parts_checksum(storage._requests, info)  # noqa: SLF001
    except UnavailableError:
        # Only this request fails, or those for the bytes will fail, too, and say it.
        return []
    return [] if whole is None else [whole]


def whole_checksums(storage: Storage, info: ObjectInfo) -> list[Checksum]:
    """
    Return the checksums of all bytes of an object that *info* has.
    """
    found = [*getattr(info, "checksums", ()), *([info.checksum] if info.checksum else ())]
    if storage.capabilities.etag_is_md5 and info.etag is not None and _MD5.fullmatch(info.etag):
        found.append(Checksum(ChecksumAlgorithm.MD5, bytes.fromhex(info.etag)))
    return [item for item in found if item.parts is None]


async def file_checksum(path: Path, algorithm: ChecksumAlgorithm) -> Checksum:
    """
    Return the checksum of a local file, read in a thread.

    Raises:
        StorageError: The file cannot be read.
    """
    with local_errors(path):
        return await in_thread(hash_file, path, algorithm)


def hash_file(path: Path, algorithm: ChecksumAlgorithm) -> Checksum:
    """
    Return the checksum of a local file; it takes time, so call it in a thread.

    Raises:
        OSError: The file cannot be read.
    """
    hasher = Hasher(algorithm)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_READ):
            hasher.update(chunk)
    return hasher.checksum()
