"""
Converts conditions to the parameters of GCS.

Conditional writes to GCS compare *generations* only, and its two APIs have different
ETags for the same object. So the ETag of an object here is its generation, which changes with
every write and never repeats; see docs/decisions.
https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import re
from typing import Final

from asyncstore.errors import NotModifiedError, PreconditionFailedError
from asyncstore.http.header_values import http_date
from asyncstore.options import ReadOptions
from asyncstore.types import ObjectInfo

_GENERATION: Final = re.compile(r"[1-9][0-9]{0,18}")

# The largest possible one, which no object will ever have: generations are microseconds.
_NO_GENERATION: Final = str(2**63 - 1)


def generation_of(etag: str) -> str:
    """
    Return the generation in an ETag; an ETag of another form becomes a generation that no object has.
    """
    text = etag.strip('"')
    return text if _GENERATION.fullmatch(text) else _NO_GENERATION


def write_conditions(if_match: str | None, if_none_match: str | None) -> list[tuple[str, str]]:
    """
    Return the parameters for the conditions of a write, copy or deletion.
    """
    if if_none_match is not None:
        return [("ifGenerationMatch", "0")]
    if if_match is None:
        return []
    if if_match == "*":
        return [("ifGenerationNotMatch", "0")]
    return [("ifGenerationMatch", generation_of(if_match))]


def stat_conditions(options: ReadOptions) -> list[tuple[str, str]]:
    """
    Return the parameters for the ETags of a JSON read; dates are for :func:`check_dates`.
    """
    pairs = []
    if options.if_match not in (None, "*"):
        pairs.append(("ifGenerationMatch", generation_of(str(options.if_match))))
    if options.if_none_match is not None:
        # "*" forbids any object, so no read can succeed.
        unwanted = "0" if options.if_none_match == "*" else generation_of(options.if_none_match)
        pairs.append(("ifGenerationMatch" if unwanted == "0" else "ifGenerationNotMatch", unwanted))
    return pairs


def read_headers(options: ReadOptions) -> dict[str, str]:
    """
    Return the conditions of an XML read, except ``if_none_match``, which that API does not have for generations.

    A date counts only without an ETag for the same purpose (RFC 9110, section 13.2.2).
    """
    headers = {}
    if options.if_match is not None:
        if options.if_match != "*":
            headers["x-goog-if-generation-match"] = generation_of(options.if_match)
    elif options.if_unmodified_since is not None:
        headers["If-Unmodified-Since"] = http_date(options.if_unmodified_since)
    if options.if_none_match is None and options.if_modified_since is not None:
        headers["If-Modified-Since"] = http_date(options.if_modified_since)
    return headers


def check_dates(info: ObjectInfo, options: ReadOptions) -> None:
    """
    Compare the dates of *options* with the reply to a JSON read, since that API has no conditions on dates.

    The comparison is by whole seconds, as in HTTP.

    Raises:
        PreconditionFailedError: The object was written after ``if_unmodified_since``.
        NotModifiedError: It was not written after ``if_modified_since``.
    """
    written = info.last_modified
    if written is None:
        return
    second = written.replace(microsecond=0)
    if options.if_match is None and options.if_unmodified_since is not None and second > options.if_unmodified_since:
        raise PreconditionFailedError(
            f"the object was modified at {written}, after {options.if_unmodified_since}", provider="gcs"
        )
    since = options.if_modified_since
    if options.if_none_match is None and since is not None and second <= since:
        raise NotModifiedError(f"the object was last modified at {written}, not after {since}", provider="gcs")
