"""
The conditions of a request: https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from asyncstore.http.header_values import parse_date
from asyncstore.types import ObjectInfo

# entity-tag: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
_ETAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')

# A date of a second that is not over says nothing about what is written in the rest of it:
# https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2
_STRONG_AFTER: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Tag:
    """
    An entity tag: its text without quotes, and whether it is weak.
    """

    opaque: str
    weak: bool

    @classmethod
    def of(cls, info: ObjectInfo) -> Tag | None:
        """
        Return the tag of an object, if it has one.
        """
        if info.etag is None:
            return None
        found = _ETAG.fullmatch(info.etag)
        return cls(info.etag, weak=False) if found is None else cls(found[2], weak=found[1] is not None)

    def __str__(self) -> str:
        return f'W/"{self.opaque}"' if self.weak else f'"{self.opaque}"'


#: What ``If-Match`` and ``If-None-Match`` take.
Tags = Literal["*"] | Sequence[Tag]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """
    The conditions in the headers of a request. Dates that cannot be parsed are ignored, as the RFC says.
    """

    if_match: Tags | None = None
    if_none_match: Tags | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None
    if_range: Tag | datetime | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Conditions:
        """
        Parse headers, whose names are in lower case.
        """
        return cls(
            if_match=_tags(headers.get("if-match")),
            if_none_match=_tags(headers.get("if-none-match")),
            if_modified_since=_date(headers.get("if-modified-since")),
            if_unmodified_since=_date(headers.get("if-unmodified-since")),
            if_range=_tag_or_date(headers.get("if-range")),
        )

    @property
    def any(self) -> bool:
        """Whether there is one that decides whether the request is carried out."""
        return any(
            condition is not None
            for condition in (self.if_match, self.if_none_match, self.if_modified_since, self.if_unmodified_since)
        )

    def refuses(self, info: ObjectInfo) -> Literal[304, 412] | None:
        """
        Return the status that answers a GET or HEAD of the object instead, or ``None``.

        In the order of https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2.
        """
        if self.excludes(info):
            return 412
        if self.if_none_match is not None:
            return 304 if _matches_weakly(self.if_none_match, info) else None
        since = self.if_modified_since
        return 304 if since is not None and _written(info) is not None and not _written_after(info, since) else None

    def excludes(self, info: ObjectInfo | None) -> bool:
        """
        Return whether ``If-Match``, or ``If-Unmodified-Since`` without it, does not hold.

        Args:
            info: The object; ``None`` if there is none.
        """
        if self.if_match is not None:
            return info is None or not _matches_strongly(self.if_match, info)
        return (
            info is not None and self.if_unmodified_since is not None and _written_after(info, self.if_unmodified_since)
        )

    def excludes_write(self, info: ObjectInfo | None) -> bool:
        """
        Return whether a PUT must not be carried out; *info* is ``None`` for no object.
        """
        if self.excludes(info):
            return True
        return info is not None and self.if_none_match is not None and _matches_weakly(self.if_none_match, info)

    def keeps_range(self, info: ObjectInfo) -> bool:
        """
        Return whether a range is still one of the version that the client has a part of.
        """
        if self.if_range is None:
            return True
        if isinstance(self.if_range, Tag):
            return _matches_strongly([self.if_range], info)
        written = _written(info)
        return written == self.if_range and datetime.now(UTC) - self.if_range >= _STRONG_AFTER


def _tags(header: str | None) -> Tags | None:
    if header is None:
        return None
    if header.strip() == "*":
        return "*"
    return [Tag(opaque, weak=bool(weak)) for weak, opaque in _ETAG.findall(header)]


def _date(header: str | None) -> datetime | None:
    return None if header is None else parse_date(header.strip())


def _tag_or_date(header: str | None) -> Tag | datetime | None:
    if header is None:
        return None
    text = header.strip()
    if found := _ETAG.fullmatch(text):
        return Tag(found[2], weak=found[1] is not None)
    # What is neither a tag nor a date matches nothing.
    return _date(text) or Tag(text, weak=True)


def _matches_strongly(tags: Tags, info: ObjectInfo) -> bool:
    if isinstance(tags, str):
        return True
    own = Tag.of(info)
    return own is not None and not own.weak and own in tags


def _matches_weakly(tags: Tags, info: ObjectInfo) -> bool:
    if isinstance(tags, str):
        return True
    own = Tag.of(info)
    return own is not None and own.opaque in [tag.opaque for tag in tags]


def _written(info: ObjectInfo) -> datetime | None:
    # As it is in Last-Modified, in whole seconds.
    return None if info.last_modified is None else info.last_modified.astimezone(UTC).replace(microsecond=0)


def _written_after(info: ObjectInfo, moment: datetime) -> bool:
    written = _written(info)
    return written is not None and written > moment
