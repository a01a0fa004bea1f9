"""
Preconditions, and the errors for those that fail.

`Preconditions <https://cloud.google.com/storage/docs/request-preconditions>`_
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from asyncstore.testing.servers.gcs.calls import Call, whole_number
from asyncstore.testing.servers.gcs.errors import invalid, not_modified, precondition_failed
from asyncstore.testing.servers.gcs.state import StoredObject

_PARAMETERS: Final = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")


@dataclass(frozen=True, slots=True)
class Conditions:
    """
    The preconditions that a request sets on an object.

    Attributes:
        generation_match: 0 requires that the object has no live generation.
    """

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def __post_init__(self) -> None:
        if self.generation_match is not None and self.generation_not_match is not None:
            raise invalid("Cannot specify both ifGenerationMatch and ifGenerationNotMatch.", "ifGenerationMatch")

    def check(self, found: StoredObject | None) -> None:
        """
        Raise the service's error if a condition fails for *found*.

        A "not match" condition fails with 304, even for a write.
        """
        generation = found.generation if found else 0
        if self.generation_match not in (None, generation):
            raise precondition_failed()
        if self.metageneration_match is not None and (not found or self.metageneration_match != found.metageneration):
            raise precondition_failed()
        # Without a live object, this condition fails for every number.
        if self.generation_not_match is not None and (not found or self.generation_not_match == generation):
            raise not_modified()
        if found is not None and self.metageneration_not_match == found.metageneration:
            raise not_modified()


def of_query(call: Call, prefix: str = "if") -> Conditions:
    """
    Return the conditions in the parameters of a JSON request.

    Args:
        prefix: ``ifSource`` for conditions on the source of a copy.
    """
    return Conditions(*(call.number(f"{prefix}{name}") for name in _PARAMETERS))


def of_headers(headers: Mapping[str, str], prefix: str = "x-goog-if-") -> Conditions:
    """
    Return the conditions in the headers of an XML request.

    Args:
        prefix: ``x-goog-copy-source-if-`` for conditions on the source of a copy.
    """
    generation, metageneration = (f"{prefix}{name}" for name in ("generation-match", "metageneration-match"))
    return Conditions(
        generation_match=whole_number(headers.get(generation), generation),
        metageneration_match=whole_number(headers.get(metageneration), metageneration),
    )


def check_http(headers: Mapping[str, str], etag: str, updated: float, prefix: str = "") -> None:
    """
    Check HTTP's own conditional headers, for a read.

    Args:
        etag: The ETag as sent, including any quotes.
        prefix: ``x-goog-copy-source-`` for conditions on the source of a copy.
    """
    if_match = headers.get(f"{prefix}if-match")
    if if_match is not None and not _includes(if_match, etag):
        raise precondition_failed()
    if_none_match = headers.get(f"{prefix}if-none-match")
    if if_none_match is not None and _includes(if_none_match, etag):
        raise not_modified({"ETag": etag})
    unmodified = _seconds(headers.get(f"{prefix}if-unmodified-since"))
    if if_match is None and unmodified is not None and int(updated) > unmodified:
        raise precondition_failed("If-Unmodified-Since")
    modified = _seconds(headers.get(f"{prefix}if-modified-since"))
    if if_none_match is None and modified is not None and int(updated) <= modified:
        raise not_modified({"ETag": etag})


def _includes(condition: str, etag: str) -> bool:
    listed = [part.strip().removeprefix("W/").strip('"') for part in condition.split(",")]
    return listed == ["*"] or etag.strip('"') in listed


def _seconds(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        # A date that cannot be parsed is ignored (RFC 9110 §13.1.3).
        return None
