"""
What services of AWS other than S3 want to be signed.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import quote

from asyncstore.errors import NotSupportedError

if TYPE_CHECKING:
    import aiohttp


def signed_path(path: str) -> str:
    """
    Return *path* as it is signed: without empty and relative parts, and percent-encoded once more.

    >>> signed_path("/a//b/./c/../d%20e/")
    '/a/b/d%2520e/'
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    end = "/" if parts and path.endswith("/") else ""
    return quote(f"/{'/'.join(parts)}{end}", safe="/-_.~")


def payload_hash(request: aiohttp.ClientRequest) -> str:
    """
    Return the SHA-256 of the body in hexadecimal.

    Raises:
        NotSupportedError: The body is a stream, which can be read once.
    """
    body = request.body
    content = body if isinstance(body, bytes) else getattr(body, "_value", None)
    if not isinstance(content, bytes):
        raise NotSupportedError("services other than S3 sign the body: give it as bytes", provider="s3", op="sign")
    return hashlib.sha256(content).hexdigest()
