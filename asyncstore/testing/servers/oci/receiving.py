"""
Request bodies: read once, in full, and checked against the request's headers.
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
# Bytes. Hashing fewer takes less time than a call to a thread.
_THREAD_THRESHOLD: Final = 256 * 1024


def _crc32c(data: bytearray) -> bytes:
    return compute(ChecksumAlgorithm.CRC32C, data).value


def _sha256(data: bytearray) -> bytes:
    return hashlib.sha256(data).digest()


def _sha384(data: bytearray) -> bytes:
    return hashlib.sha384(data).digest()


def _md5(data: bytearray) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


#: The additional checksums, by name in ``opc-checksum-algorithm``.
ALGORITHMS: Final[Mapping[str, Callable[[Any], bytes]]] = {"CRC32C": _crc32c, "SHA256": _sha256, "SHA384": _sha384}


@dataclass(frozen=True, slots=True)
class Body:
    """
    A body that matches its headers.

    Attributes:
        md5: MD5 of *data*.
        algorithm, checksum: The additional checksum that ``opc-checksum-algorithm`` selected, if any.
    """

    data: bytearray
    md5: bytes
    algorithm: str | None = None
    checksum: bytes | None = None


async def receive_object(request: web.BaseRequest, headers: Mapping[str, str], signed: frozenset[str]) -> Body:
    """
    Read the body of a PutObject or an UploadPart.

    Args:
        signed: Names of the signed headers. If ``x-content-sha256`` is one, it must match the body.
    """
    if "content-length" not in headers:
        # A comment in the official SDK says the service "does not currently support" Transfer-Encoding: chunked.
        raise ServiceError(411, "ContentLengthRequired", "The Content-Length header is required")
    if int(headers["content-length"]) > MAX_PUT:
        raise ServiceError(413, "RequestEntityTooLarge", f"An object or a part can have at most {MAX_PUT} bytes")
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
    Read a JSON body whose hash was signed.
    """
    data = await _read(request, headers)
    await _check_signed_hash(headers, data)
    return data


async def _check_signed_hash(headers: Mapping[str, str], data: bytearray) -> None:
    if encoded(await _digest(_sha256, data)) != headers["x-content-sha256"]:
        raise not_authenticated()


def encoded(digest: bytes) -> str:
    """
    Return a digest in base64, as in headers.
    """
    return base64.b64encode(digest).decode()


async def _read(request: web.BaseRequest, headers: Mapping[str, str]) -> bytearray:
    if headers.get("expect", "").lower() == "100-continue":
        # Only aiohttp's Application answers Expect by itself, and the server does not use one.
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
    return data


async def _digest(function: Callable[[bytearray], bytes], data: bytearray) -> bytes:
    if len(data) < _THREAD_THRESHOLD:
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


def _compare(algorithm: str, header: str, declared: str | None, actual: bytes) -> None:
    if declared is None:
        return
    try:
        valid = len(base64.b64decode(declared, validate=True)) == len(actual)
    except ValueError:
        valid = False
    if not valid:
        raise ServiceError(400, f"InvalidContent{algorithm}", f"The value of the {header} header is not valid")
    if declared != encoded(actual):
        raise ServiceError(
            400,
            f"UnmatchedContent{algorithm}",
            f"The computed {algorithm} of the request body ({encoded(actual)}) "
            f"does not match the {header} header ({declared})",
        )
