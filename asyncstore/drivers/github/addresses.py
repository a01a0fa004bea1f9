"""
Where requests go, and which of those places may see the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from yarl import URL

from asyncstore.errors import UnavailableError
from asyncstore.http.origin import Origin
from asyncstore.uri import ObjectURI

# What may stand in a path as it is, a slash not among it.
_SAFE: Final = "-._~"


def repository_path(uri: ObjectURI) -> str:
    """
    Return the path of a repository below the API.
    """
    return f"/repos/{quote(uri.namespace or '', safe=_SAFE)}/{quote(uri.bucket, safe=_SAFE)}"


def query(pairs: Mapping[str, str]) -> str:
    """
    Return *pairs* percent-encoded: a plus is a plus, and not a space.
    """
    return "&".join([f"{name}={quote(value, safe=_SAFE)}" for name, value in pairs.items()])


def split_url(text: str) -> tuple[Origin, str, str]:
    """
    Return server, path and query of a URL that a reply named, as they are.

    Raises:
        UnavailableError: It is no http or https URL.
    """
    try:
        url = URL(text, encoded=True)
        origin = Origin.parse(str(url.origin()))
    except ValueError:
        raise UnavailableError("GitHub named an address that is none", retryable=False) from None
    return origin, url.raw_path, url.raw_query_string


def upload_place(api: Origin, template: str) -> tuple[Origin, str]:
    """
    Return server and path of an ``upload_url``.

    The token goes there, so it is GitHub's own upload host: that of github.com and
    ghe.com beside ``api.``, and the host itself of an Enterprise server.

    Raises:
        UnavailableError: It is another host, or a less protected one.
    """
    origin, path, _ = split_url(template.partition("{")[0])
    api_host, host = api.url.raw_host or "", origin.url.raw_host or ""
    same = (origin.url.scheme, origin.host) == (api.url.scheme, api.host)
    beside = origin.url.scheme == "https" and host == f"uploads.{api_host.removeprefix('api.')}"
    if not (same or beside):
        raise UnavailableError(
            f"uploads are to go to {host}, which is not {api_host}'s own upload host: not sent", retryable=False
        )
    return origin, path


def asset_place(api: Origin, location: str) -> tuple[Origin, str, str]:
    """
    Return server, path and query of where an asset's bytes are. No token goes there.

    Raises:
        UnavailableError: It is less protected than the API.
    """
    origin, path, rest = split_url(location)
    if origin.url.scheme != "https" and api.url.scheme == "https":
        raise UnavailableError("GitHub named an unprotected address for an asset: not asked", retryable=False)
    return origin, path, rest
