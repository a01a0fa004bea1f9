"""
Globs of keys: their grammar, and the listings that find what they match.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from re import Pattern
from typing import Final

from asyncstore.engine.listing import DELIMITER, Fetch, Piece, Step, first_step, in_order
from asyncstore.engine.pages import OBJECTS, Pages
from asyncstore.engine.requests import Requests
from asyncstore.errors import InvalidRequestError
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

_ANY_DEPTH: Final = "**"
# What stands for other text, or begins what does. A bracket that is not closed is an ordinary character.
_WILD: Final = re.compile(r"\*|\?|\[!?\]?[^\]]*\]")


def key_pattern(pattern: str) -> Pattern[str]:
    """
    Return the regular expression of the keys that *pattern* matches as a whole.

    Raises:
        InvalidRequestError: ``**`` is not a whole segment.
    """
    segments = pattern.split(DELIMITER)
    text = ""
    for place, segment in enumerate(segments):
        last = place == len(segments) - 1
        if segment == _ANY_DEPTH:
            # As a segment it stands for any number of them; at the end for everything below.
            text += ".*" if last else "(?:[^/]*/)*"
            continue
        if _ANY_DEPTH in segment:
            raise InvalidRequestError(f"** must stand alone between slashes, as in a/**/b, not {segment!r}")
        text += _segment(segment) + ("" if last else DELIMITER)
    return re.compile(text, re.DOTALL)


def _segment(segment: str) -> str:
    found, end = "", 0
    for match in _WILD.finditer(segment):
        found += re.escape(segment[end : match.start()]) + _wild(match.group())
        end = match.end()
    return found + re.escape(segment[end:])


def _wild(wildcard: str) -> str:
    if wildcard == "*":
        return "[^/]*"
    if wildcard == "?":
        return "[^/]"
    inverse = wildcard.startswith("[!")
    members = wildcard[2 if inverse else 1 : -1]
    for special in "\\[&~|^":
        members = members.replace(special, f"\\{special}")
    return f"(?!/)[{'^' if inverse else ''}{members}]"


def _literal(segment: str) -> str:
    """
    Return the text before the first wildcard of *segment*; all of it if it has none.
    """
    match = _WILD.search(segment)
    return segment if match is None else segment[: match.start()]


def glob_listing(
    requests: Requests, fetch: Fetch, base: ObjectURI, pattern: str, options: ListOptions
) -> AsyncGenerator[ObjectInfo, None]:
    """
    Yield the objects below *base* that *pattern* matches.

    The text before the first wildcard is the prefix of the listing. Where a segment has a wildcard, one level is
    listed, and only the common prefixes that match it; from ``**`` on all keys are.

    Raises:
        InvalidRequestError: The pattern is invalid.
    """
    if not pattern:
        raise InvalidRequestError("the pattern is empty: ** matches everything")
    whole = key_pattern(pattern)
    source = _Source(requests, fetch, base, whole, options)
    return in_order(_step(source, "", pattern.split(DELIMITER)), options.max_concurrency)


@dataclass(frozen=True, slots=True)
class _Source:
    """
    Where a glob is looked for.

    Attributes:
        base: What the pattern is relative to.
    """

    requests: Requests
    fetch: Fetch
    base: ObjectURI
    whole: Pattern[str]
    options: ListOptions

    def relative(self, info: ObjectInfo) -> str:
        return info.key[len(self.base.key) :]

    def matches(self, info: ObjectInfo) -> bool:
        return not info.is_prefix and self.whole.fullmatch(self.relative(info)) is not None


def _step(source: _Source, folder: str, segments: Sequence[str]) -> Step:
    """
    Return the first step for *segments* below *folder*, which ends in a slash or is empty.
    """
    plain = next((place for place, segment in enumerate(segments) if _literal(segment) != segment), len(segments) - 1)
    fixed, rest = segments[:plain], segments[plain:]
    folder += "".join(f"{segment}{DELIMITER}" for segment in fixed)
    prefix = source.base.with_key(f"{source.base.key}{folder}{_literal(rest[0])}")
    if rest[0] == _ANY_DEPTH:
        return _Filtered(source, first_step(source.requests, source.fetch, prefix, source.options))
    options = replace(source.options, delimiter=DELIMITER)
    pages = Pages(source.requests, "list", prefix, source.fetch, prefix, options, entries=OBJECTS)
    return _Level(source, folder, rest, None if len(rest) == 1 else key_pattern(rest[0]), pages)


@dataclass(frozen=True, slots=True)
class _Filtered:
    """
    Keeps what the pattern matches of the entries of another step.
    """

    source: _Source
    step: Step

    async def __call__(self) -> Sequence[Piece]:
        return [
            _Filtered(self.source, piece) if callable(piece) else list(filter(self.source.matches, piece))
            for piece in await self.step()
        ]


@dataclass(slots=True)
class _Level:
    """
    Lists one level: its objects that match, or what is below its common prefixes that match the next segment.

    Attributes:
        folder: The prefix of the level, relative to the base.
        segments: What is left of the pattern.
        matching: The pattern of the names of common prefixes; ``None`` if objects are looked for here.
    """

    source: _Source
    folder: str
    segments: Sequence[str]
    matching: Pattern[str] | None
    pages: Pages[ListPage]

    async def __call__(self) -> Sequence[Piece]:
        page = await self.pages.next()
        if page is None:
            return ()
        rest: tuple[Step, ...] = () if page.next_token is None else (self,)
        if self.matching is None:
            return (list(filter(self.source.matches, page.objects)), *rest)
        names = [self.source.relative(info) for info in page.objects if info.is_prefix]
        found = [name for name in names if self.matching.fullmatch(name[len(self.folder) : -1])]
        return (*(_step(self.source, name, self.segments[1:]) for name in found), *rest)
