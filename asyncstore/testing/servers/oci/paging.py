"""
Lists that come in pages, each with a token for the next.

See https://docs.oracle.com/iaas/Content/API/Concepts/usingapi.htm#nine
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asyncstore.testing.servers.oci.errors import ServiceError

MAX_PAGE: Final = 1000


def page_size(query: Mapping[str, str]) -> int:
    """
    Return how many entries a page has at most.
    """
    limit = query.get("limit", str(MAX_PAGE))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= MAX_PAGE:
        raise ServiceError(400, "InvalidLimit", f"limit must be a number from 1 to {MAX_PAGE}, not '{limit}'")
    return int(limit)


def page(entries: Sequence[tuple[str, Any]], query: Mapping[str, str]) -> tuple[list[Any], dict[str, str]]:
    """
    Return the entries of the page asked for, and the header that names the next one.

    Args:
        entries: In the order of their marks, after which a next page goes on even if some have gone meanwhile.
    """
    after, limit = _mark(query.get("page")), page_size(query)
    left = [entry for entry in entries if after is None or entry[0] > after]
    chosen = left[:limit]
    headers = {"opc-next-page": _token(chosen[-1][0])} if len(left) > limit else {}
    return [value for _, value in chosen], headers


def _token(mark: str) -> str:
    return base64.urlsafe_b64encode(mark.encode()).decode()


def _mark(token: str | None) -> str | None:
    if token is None:
        return None
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        raise ServiceError(400, "InvalidPage", f"'{token}' is not a page of this list") from None
