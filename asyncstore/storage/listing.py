"""
Listings: page by page, in parallel, and by globs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final, Unpack

from asyncstore._support.argument_types import check_argument
from asyncstore.driver import Driver
from asyncstore.engine.listing import can_split, first_step, in_order
from asyncstore.engine.pages import OBJECTS, Pages
from asyncstore.engine.requests import Requests
from asyncstore.errors import InvalidRequestError
from asyncstore.keywords import ListFields, merged
from asyncstore.options import ListOptions
from asyncstore.storage.arguments import Checks, check_type
from asyncstore.storage.globs import glob_listing
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import URILike

_LIST: Final = ListOptions()


class ListVerbs:
    """
    The verbs that list objects.
    """

    _driver: Driver
    _requests: Requests
    _checks: Checks

    async def list_page(
        self, prefix: URILike, *, token: str | None = None, options: ListOptions = _LIST, **fields: Unpack[ListFields]
    ) -> ListPage:
        """
        Return one page of a listing, and the token of the next.

        For services that pass pages on; :meth:`list` does the paging itself. A token can be stored: it continues the
        listing in any process, with the same prefix and options.

        Raises:
            InvalidRequestError: ``options.max_concurrency`` is more than 1: a page is one request.
        """
        options = merged(options, ListOptions, fields)
        check_type(options, ListOptions)
        check_one_by_one(options, "list_page")
        check_argument("token", token, str | None)
        start = self._checks.prefix(prefix)
        fetch = self._driver.list_page
        pages = Pages(self._requests, "list", start, fetch, start, options, entries=OBJECTS, token=token)
        page = await pages.next()
        assert page is not None
        return page

    async def list(
        self, prefix: URILike | None = None, *, options: ListOptions = _LIST, **fields: Unpack[ListFields]
    ) -> AsyncIterator[ObjectInfo]:
        """
        Yield the objects whose keys start with that of *prefix*, in byte order of keys.

        The prefix is a raw string: ``logs/2026`` also matches ``logs/2026-old``. Without
        one, what is under the storage's root is listed: for ``s3://bucket/logs`` the keys that start
        with ``logs/``. With ``options.delimiter``, keys that contain it after the prefix are
        rolled up into one entry with ``is_prefix``. Pages are fetched on demand, and nothing is
        held between them.

        ``max_concurrency=16`` lists a large prefix with 16 requests at a time, if its keys have levels between
        slashes. The order is the same, and a few pages are fetched ahead. It takes a few more requests. Close the
        iterator (:func:`contextlib.aclosing`) if you leave it early: that cancels the requests in flight.

        Raises:
            UnavailableError: The server repeats a page or its token, so that the listing would not end.
        """
        options = merged(options, ListOptions, fields)
        check_type(options, ListOptions)
        start = self._checks.start(prefix)
        fetch = self._driver.list_page
        if can_split(self._driver, options):
            first = first_step(self._requests, fetch, start, options)
            async with aclosing(in_order(first, options.max_concurrency)) as entries:
                async for info in entries:
                    yield info
            return
        pages = Pages(self._requests, "list", start, fetch, start, options, entries=OBJECTS)
        while (page := await pages.next()) is not None:
            for info in page.objects:
                yield info

    async def glob(self, pattern: str, *, max_concurrency: int = 1) -> AsyncIterator[ObjectInfo]:
        """
        Yield the objects whose keys match *pattern*, in byte order of keys.

        ::

            async for info in storage.glob("models/**/*.safetensors"):
                print(info.name, info.size)

        Only keys under the text before the first wildcard are listed. Up to ``**``, levels are: of
        ``logs/2026-*/error.txt`` the level below ``logs/``, and the matching prefixes; from ``**`` on, all keys are.
        Close the iterator (:func:`contextlib.aclosing`) if you leave it early.

        Args:
            pattern: Of a whole key relative to the storage's root. ``*`` stands for any text without a slash, ``?``
                for one character that is not a slash, ``[abc]`` and ``[a-z]`` for one of them, ``[!abc]`` for any
                other; ``**`` between slashes for any number of levels, none included, and at the end for everything
                below. Names that start with a dot are like any other. Letters match in their case.
                :func:`glob.escape` escapes a name.
            max_concurrency: Most requests in flight. Large prefixes are listed in parallel, as by :meth:`list`.

        Raises:
            InvalidRequestError: The pattern is empty, has ``**`` within a segment, or is a URI.
        """
        check_argument("pattern", pattern, str)
        check_argument("max_concurrency", max_concurrency, int)
        if "://" in pattern:
            raise InvalidRequestError(f"the pattern is relative to the root of the storage, and not a URI: {pattern!r}")
        options = ListOptions(max_concurrency=max_concurrency)
        base = self._checks.start(None)
        found = glob_listing(self._requests, self._driver.list_page, base, pattern, options)
        async with aclosing(found) as entries:
            async for info in entries:
                yield info


def check_one_by_one(options: ListOptions, verb: str) -> None:
    """
    Refuse a parallel listing by a *verb* that has none.

    Raises:
        InvalidRequestError: ``options.max_concurrency`` is more than 1.
    """
    if options.max_concurrency > 1:
        raise InvalidRequestError(f"{verb}() lists page by page: leave out max_concurrency={options.max_concurrency}")
