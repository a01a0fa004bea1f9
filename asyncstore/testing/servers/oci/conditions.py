"""
If-Match and If-None-Match.
"""

from __future__ import annotations

from typing import Final

from asyncstore.testing.servers.oci.errors import ServiceError

_ANY: Final = "*"


def check_write(etag: str | None, if_match: str | None, if_none_match: str | None) -> None:
    """
    Check the conditions of a request that writes.

    Args:
        etag: ETag of the existing object; ``None`` if it does not exist.
    """
    if if_match is not None and if_none_match is not None:
        raise ServiceError(400, "InvalidConditionalHeaders", "If-Match and If-None-Match cannot be used together")
    if if_none_match is not None and if_none_match != _ANY:
        raise ServiceError(400, "IfNoneMatchDisallowed", "The only valid value of If-None-Match is '*'")
    if if_none_match is not None and etag is not None:
        raise _failed("IfNoneMatchFailed", "If-None-Match", if_none_match)
    if if_match is not None:
        check_match(etag, if_match)


def check_match(etag: str | None, if_match: str) -> None:
    """
    Check that the existing object has the ETag *if_match*.
    """
    if etag is None or if_match not in (etag, _ANY):
        raise _failed("IfMatchFailed", "If-Match", if_match)


def check_read(etag: str, if_match: str | None, if_none_match: str | None) -> bool:
    """
    Check the conditions of a request that reads; return whether the reply is 304.
    """
    if if_match is not None:
        check_match(etag, if_match)
    if if_none_match == _ANY:
        raise ServiceError(400, "IfNoneMatchDisallowed", "If-None-Match cannot be '*' in a request that reads")
    return if_none_match == etag


def _failed(code: str, header: str, value: str) -> ServiceError:
    return ServiceError(412, code, f"The {header} header is set to '{value}', which does not match the object")
