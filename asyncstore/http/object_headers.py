"""
Request headers that providers have in common: ranges, conditions, and what is stored with an object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from asyncstore.driver.body import Body
from asyncstore.errors import ConfigurationError, NotFoundError, PreconditionFailedError
from asyncstore.http.header_values import http_date
from asyncstore.options import ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, is_weak

# https://www.rfc-editor.org/rfc/rfc9110#name-tokens
_TOKEN: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")


def quoted(etag: str) -> str:
    """
    Return an ETag in quotes; ``*`` and a weak one are returned unchanged.
    """
    return etag if etag == "*" or etag.startswith('"') or is_weak(etag) else f'"{etag}"'


def read_headers(options: ReadOptions, *, range_header: str = "Range") -> dict[str, str]:
    """
    Return the range and the conditions of a read.
    """
    headers = {}
    if options.range is not None:
        headers[range_header] = options.range.header()
    if options.if_match is not None:
        headers["If-Match"] = quoted(options.if_match)
    if options.if_none_match is not None:
        headers["If-None-Match"] = quoted(options.if_none_match)
    if options.if_modified_since is not None:
        headers["If-Modified-Since"] = http_date(options.if_modified_since)
    if options.if_unmodified_since is not None:
        headers["If-Unmodified-Since"] = http_date(options.if_unmodified_since)
    return headers


def condition_headers(if_match: str | None, if_none_match: str | None) -> dict[str, str]:
    """
    Return the conditions of a write.
    """
    if if_match is not None:
        return {"If-Match": quoted(if_match)}
    return {} if if_none_match is None else {"If-None-Match": if_none_match}


def stored_headers(options: WriteOptions, *, prefix: str = "", storage_class: str | None = None) -> dict[str, str]:
    """
    Return the content headers to store with an object.

    Args:
        prefix: Prepended to the name of each content header, which is then in lower case.
        storage_class: The header that sets the storage class, if the provider has one.
    """
    values = {
        "Content-Type": options.content_type,
        "Content-Encoding": options.content_encoding,
        "Content-Language": options.content_language,
        "Content-Disposition": options.content_disposition,
        "Cache-Control": options.cache_control,
    }
    headers = {prefix + name.lower() if prefix else name: value for name, value in values.items() if value is not None}
    if storage_class is not None and options.storage_class is not None:
        headers[storage_class] = options.storage_class
    return headers


def metadata_headers(
    metadata: Mapping[str, str], prefix: str, encode: Callable[[str], str], provider: str
) -> dict[str, str]:
    """
    Return user metadata as headers.

    Raises:
        ConfigurationError: A key cannot be part of a header's name.
    """
    for key in metadata:
        if not _TOKEN.fullmatch(key):
            raise ConfigurationError(
                f"{provider} keeps metadata in headers, and {key!r} cannot be part of a header's name: "
                "use letters, digits and -!#$%&'*+.^_`|~"
            )
    return {prefix + key: encode(value) for key, value in metadata.items()}


async def checksum_to_send(body: Body, algorithm: ChecksumAlgorithm | None) -> Checksum | None:
    """
    Return the checksum to send before *body*; ``None`` without *algorithm*, or if it is known only afterwards.
    """
    if algorithm is None:
        return None
    await body.prepare(algorithm)
    return body.checksum(algorithm)


def failed_match(error: NotFoundError) -> PreconditionFailedError:
    """
    Return the error of a request with ``if_match`` for an object that does not exist.
    """
    return PreconditionFailedError(
        "the object does not exist, so it does not have the requested ETag",
        code=error.code,
        provider=error.provider,
        request_id=error.request_id,
        status=error.status,
    )


def without_object(
    error: NotFoundError, if_match: str | None, code: str | None = None
) -> NotFoundError | PreconditionFailedError:
    """
    Return what a missing object means for a request with *if_match*.

    Args:
        code: That of a missing object, if the provider has another one for a missing bucket.
    """
    return error if if_match is None or code not in (None, error.code) else failed_match(error)
