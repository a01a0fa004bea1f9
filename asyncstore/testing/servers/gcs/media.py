"""
Replies with an object's bytes: all of them, a range, or decompressed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

from asyncstore.testing.servers.gcs.calls import Reply
from asyncstore.testing.servers.gcs.content import Content, of_bytes
from asyncstore.testing.servers.gcs.errors import not_satisfiable
from asyncstore.testing.servers.gcs.state import StoredObject

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_HEADERS: Final = {
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Encoding": "contentEncoding",
    "Content-Language": "contentLanguage",
}


def media_reply(stored: StoredObject, request: Mapping[str, str], etag: str) -> Reply:
    """
    Return a reply with the bytes that the *request* headers ask for.
    """
    headers = _headers(stored, etag)
    if _is_decompressed(stored, request):
        # Ranges are ignored: https://cloud.google.com/storage/docs/transcoding
        del headers["Content-Encoding"]
        content = of_bytes(zlib.decompress(stored.content.read(), wbits=31))
        return Reply(200, {**headers, "Warning": "214 UploadServer gunzipped"}, content=content, stop=content.size)
    content = stored.content
    span = _parse_range(request.get("range"), content)
    if span is None:
        return Reply(200, headers, content=content, stop=content.size)
    start, stop = span
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    return Reply(206, headers, content=content, start=start, stop=stop)


def _headers(stored: StoredObject, etag: str) -> dict[str, str]:
    fields = stored.fields
    content = stored.content
    hashes = [f"crc32c={content.crc32c_text}"]
    if content.md5_text is not None:
        hashes.append(f"md5={content.md5_text}")
    headers = {
        "Content-Type": fields.get("contentType", "application/octet-stream"),
        "ETag": etag,
        "Last-Modified": formatdate(stored.updated, usegmt=True),
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Hash": ",".join(hashes),
        "X-Goog-Storage-Class": fields.get("storageClass", "STANDARD"),
        "X-Goog-Stored-Content-Encoding": fields.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": str(content.size),
    }
    headers |= {header: fields[field] for header, field in _HEADERS.items() if field in fields}
    if stored.component_count is not None:
        headers["X-Goog-Component-Count"] = str(stored.component_count)
    if stored.key_sha256 is not None:
        headers["X-Goog-Encryption-Algorithm"] = "AES256"
        headers["X-Goog-Encryption-Key-Sha256"] = stored.key_sha256
    return headers


def _is_decompressed(stored: StoredObject, request: Mapping[str, str]) -> bool:
    return (
        stored.fields.get("contentEncoding") == "gzip"
        and "gzip" not in request.get("accept-encoding", "")
        and "no-transform" not in stored.fields.get("cacheControl", "")
    )


def _parse_range(requested: str | None, content: Content) -> tuple[int, int] | None:
    match = _RANGE.fullmatch(requested or "")
    # Malformed and multiple ranges are ignored (RFC 9110 §14.2).
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.group(1, 2)
    size = content.size
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return None
    if start >= size:
        raise not_satisfiable(size)
    return start, stop
