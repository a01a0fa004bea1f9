"""
The body of a request: read once, whole, and compared with what its headers say of it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from anyio import to_thread

from asyncstore.checksum import compute
from asyncstore.testing.servers.oci.errors import ServiceError, not_authenticated
from asyncstore.types import ChecksumAlgorithm

#: https://docs.oracle.com/iaas/Content/Object/Tasks/managingobjects.htm
MAX_PUT: Final = 50 * 1024**3

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
# Hashing less takes less time than to call a thread.
_WORTH_A_THREAD: Final = 256 * 1024


def _crc32c(data: bytearray) -> bytes:
    return compute(ChecksumAlgorithm.CRC32C, data).value


def _sha256(data: bytearray) -> bytes:
    return hashlib.sha256(data).digest()


def _sha384(data: bytearray) -> bytes:
    return hashlib.sha384(data).digest()


def _md5(data: bytearray) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


#: The additional checksums, by the name that ``opc-checksum-algorithm`` has for them.
ALGORITHMS: Final[Mapping[str, Callable[[Any], bytes]]] = {"CRC32C": _crc32c, "SHA256": _sha256, "SHA384": _sha384}


@dataclass(frozen=True, slots=True)
class Body:
    """
    A body that is what its headers say.

    Attributes:
        md5: Of *data*.
        algorithm, checksum: What ``opc-checksum-algorithm`` asked for, if it did.
    """

    data: bytearray
    md5: bytes
    algorithm: str | None = None
    checksum: bytes | None = None


async def receive_object(request: web.BaseRequest, headers: Mapping[str, str], signed: frozenset[str]) -> Body:
    """
    Read the body of a PutObject or an UploadPart.

    Args:
        signed: The names of signed headers; if ``x-content-sha256`` is among them, it must be right.
    """
    if "content-length" not in headers:
        # It "does not currently support" Transfer-Encoding: chunked, says a comment in the official SDK.
        raise ServiceError(411, "ContentLengthRequired", "The Content-Length header is required")
    if int(headers["content-length"]) > MAX_PUT:
        raise ServiceError(413, "RequestEntityTooLarge", f"An object or a part has at most {MAX_PUT} bytes")
    algorithm = _algorithm(headers)
    data = await _read(request, headers)
    md5 = await _digest(_md5, data)
    _compare("MD5", "Content-MD5", headers.get("content-md5"), md5)
    checksum = None
    if algorithm is not None:
        name = f"opc-content-{algorithm.lower()}"
        checksum = await _digest(ALGORITHMS[algorithm], data)
        _compare(algorithm, name, headers.get(name), checksum)
    if "x-content-sha256" in signed:
        await _check_signed_hash(headers, data)
    return Body(data, md5, algorithm, checksum)


async def receive_details(request: web.BaseRequest, headers: Mapping[str, str]) -> bytearray:
    """
    Read a body in JSON, of which the hash has been signed.
    """
    data = await _read(request, headers)
    await _check_signed_hash(headers, data)
    return data


async def _check_signed_hash(headers: Mapping[str, str], data: bytearray) -> None:
    if encoded(await _digest(_sha256, data)) != headers["x-content-sha256"]:
        raise not_authenticated()


def encoded(digest: bytes) -> str:
    """
    Return a digest as headers have it.
    """
    return base64.b64encode(digest).decode()


async def _read(request: web.BaseRequest, headers: Mapping[str, str]) -> bytearray:
    if headers.get("expect", "").lower() == "100-continue":
        # No application of aiohttp stands in front that would.
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
    return data


async def _digest(function: Callable[[bytearray], bytes], data: bytearray) -> bytes:
    if len(data) < _WORTH_A_THREAD:
        return function(data)
    return await to_thread.run_sync(function, data)


def _algorithm(headers: Mapping[str, str]) -> str | None:
    algorithm = headers.get("opc-checksum-algorithm")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ServiceError(400, "MissingOrInvalidChecksumType", f"'{algorithm}' is not a checksum algorithm")
    for name in ALGORITHMS:
        if f"opc-content-{name.lower()}" in headers and name != algorithm:
            raise ServiceError(400, "MissingOrInvalidChecksumType", f"opc-checksum-algorithm must be {name}")
    return algorithm


def _compare(algorithm: str, header: str, given: str | None, actual: bytes) -> None:
    if given is None:
        return
    try:
        valid = len(base64.b64decode(given, validate=True)) == len(actual)
    except ValueError:
        valid = False
    if not valid:
        raise ServiceError(400, f"InvalidContent{algorithm}", f"The value of the {header} header is not valid")
    if given != encoded(actual):
        raise ServiceError(
            400,
            f"UnmatchedContent{algorithm}",
            f"The computed {algorithm} of the request body ({encoded(actual)}) "
            f"does not match the {header} header ({given})",
        )
