"""
Checksums sent by a writer, compared with those of the received bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncstore.testing.servers.gcs.content import Content
from asyncstore.testing.servers.gcs.errors import bad_digest, invalid


@dataclass(frozen=True, slots=True)
class Hashes:
    """
    The checksums that a writer sent, in base64.
    """

    crc32c: str | None = None
    md5: str | None = None

    def check(self, content: Content) -> None:
        """
        Raise if they do not match *content*.
        """
        if self.crc32c is not None and self.crc32c != content.crc32c_text:
            raise bad_digest(
                f'Provided CRC32C "{self.crc32c}" doesn\'t match calculated CRC32C "{content.crc32c_text}".'
            )
        if self.md5 is not None and self.md5 != content.md5_text:
            raise bad_digest(f'Provided MD5 hash "{self.md5}" doesn\'t match calculated MD5 hash "{content.md5_text}".')

    def __or__(self, later: Hashes) -> Hashes:
        return Hashes(later.crc32c or self.crc32c, later.md5 or self.md5)


def of_resource(resource: Mapping[str, Any]) -> Hashes:
    """
    Return the checksums in the JSON *resource*.
    """
    return Hashes(resource.get("crc32c"), resource.get("md5Hash"))


def of_headers(headers: Mapping[str, str]) -> Hashes:
    """
    Return the checksums in ``X-Goog-Hash``.
    """
    found: dict[str, str] = {}
    for part in filter(None, re.split(r"[,\s]+", headers.get("x-goog-hash", ""))):
        name, equals, value = part.partition("=")
        if name not in ("crc32c", "md5") or not equals:
            raise invalid("Invalid value for x-goog-hash.", "X-Goog-Hash")
        found[name] = value
    return Hashes(found.get("crc32c"), found.get("md5"))


def of_body(headers: Mapping[str, str]) -> Hashes:
    """
    Return the checksums in ``X-Goog-Hash`` and ``Content-MD5``, for a body that is only content.
    """
    return Hashes(md5=headers.get("content-md5")) | of_headers(headers)
