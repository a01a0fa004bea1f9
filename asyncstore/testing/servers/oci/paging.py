"""
Pages of lists, each with a token for the next page.

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
    Return the maximum number of entries in a page.
    """
    limit = query.get("limit", str(MAX_PAGE))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= MAX_PAGE:
        raise ServiceError(400, "InvalidLimit", f"limit must be a number between 1 and {MAX_PAGE}, not '{limit}'")
    return int(limit)


def page(entries: Sequence[tuple[str, Any]], query: Mapping[str, str]) -> tuple[list[Any], dict[str, str]]:
    """
    Return the entries of the requested page, and the header with the token of the next page.

    Args:
        entries: Pairs of mark and entry, sorted by mark. The next page continues after the last mark,
            even if entries were removed meanwhile.
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
        raise ServiceError(400, "InvalidPage", f"'{token}' is not a valid page token") from None
