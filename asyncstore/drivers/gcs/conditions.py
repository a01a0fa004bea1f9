"""
Conditions on objects, in the words of GCS.

Writes to GCS take conditions on *generations* only, and its two APIs have different
ETags for one object. So the ETag of an object here is its generation, which changes with
every write and never comes back; see docs/decisions.
https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from asyncstore.errors import NotFoundError, NotModifiedError, PreconditionFailedError
from asyncstore.options import ReadOptions
from asyncstore.types import ObjectInfo

_GENERATION: Final = re.compile(r"[1-9][0-9]{0,18}")

# The largest there can be, which no object will ever have: generations are microseconds.
_NO_GENERATION: Final = str(2**63 - 1)


def generation_of(etag: str) -> str:
    """
    Return the generation that an ETag of ours means; what is none means one that no object has.
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
        # "*" is for an object that must not be there: none that is read.
        unwanted = "0" if options.if_none_match == "*" else generation_of(options.if_none_match)
        pairs.append(("ifGenerationMatch" if unwanted == "0" else "ifGenerationNotMatch", unwanted))
    return pairs


def read_headers(options: ReadOptions) -> dict[str, str]:
    """
    Return the conditions of an XML read, other than ``if_none_match``: that API has none on generations.

    A date counts only where no ETag was given for the same purpose (RFC 9110, section 13.2.2).
    """
    headers = {}
    if options.if_match is not None:
        if options.if_match != "*":
            headers["x-goog-if-generation-match"] = generation_of(options.if_match)
    elif options.if_unmodified_since is not None:
        headers["If-Unmodified-Since"] = _http_date(options.if_unmodified_since)
    if options.if_none_match is None and options.if_modified_since is not None:
        headers["If-Modified-Since"] = _http_date(options.if_modified_since)
    return headers


def check_dates(info: ObjectInfo, options: ReadOptions) -> None:
    """
    Hold the dates of *options* against what a JSON read returned: that API takes none.

    They are compared by whole seconds, as HTTP does.

    Raises:
        PreconditionFailedError: The object was written after ``if_unmodified_since``.
        NotModifiedError: It was not written after ``if_modified_since``.
    """
    written = info.last_modified
    if written is None:
        return
    second = written.replace(microsecond=0)
    if options.if_match is None and options.if_unmodified_since is not None and second > options.if_unmodified_since:
        raise PreconditionFailedError(f"the object was written at {written}", provider="gcs")
    since = options.if_modified_since
    if options.if_none_match is None and since is not None and second <= since:
        raise NotModifiedError(f"the object was written at {written}", provider="gcs")


def without_object(error: NotFoundError, if_match: str | None) -> NotFoundError | PreconditionFailedError:
    """
    Return what a condition on an object that is not there comes to.
    """
    if if_match is None:
        return error
    return PreconditionFailedError(
        "there is no object, so it does not have the ETag asked for",
        code=error.code,
        provider=error.provider,
        request_id=error.request_id,
        status=error.status,
    )


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
