"""
The pages of a listing, one after the other, until the last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

from asyncstore.driver.cycles import Cycle
from asyncstore.engine.requests import Requests
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.types import ListPage, ObjectInfo, PartPage
from asyncstore.uri import ObjectURI

#: Empty pages in turn. Azure sends one where it has read 5,000 blobs, or 5 seconds long, and none is to be shown:
#: https://learn.microsoft.com/rest/api/storageservices/list-blobs#remarks. So these are tens of millions of blobs.
MAX_EMPTY: Final = 10_000


class AnyPage(Protocol):
    """
    A page of any listing, such as :class:`~asyncstore.types.ListPage`.
    """

    @property
    def next_token(self) -> str | None: ...


_Page = TypeVar("_Page", bound=AnyPage)

#: The entries of a page of objects or versions.
OBJECTS: Final[Callable[[ListPage], Sequence[ObjectInfo]]] = attrgetter("objects")


class Pages(Generic[_Page]):
    """
    Fetches the pages of one listing.

    A server that ignores the token would send its first page for ever, and one that confuses tokens some pages in
    turn. So a token or a page that was there before is an error, and so are too many empty pages in turn.

    Args:
        fetch: Called with *args* and the token of the page.
        entries: The entries of a page.
        token: That of the first page to fetch; ``None`` for the first of the listing.
    """

    def __init__(
        self,
        requests: Requests,
        op: str,
        uri: ObjectURI,
        fetch: Callable[..., Awaitable[_Page]],
        *args: Any,
        entries: Callable[[_Page], Sequence[object]],
        token: str | None = None,
    ) -> None:
        self._requests = requests
        self._op = op
        self._uri = uri
        self._fetch = fetch
        self._args = args
        self._entries = entries
        self._token = token
        self._tokens = Cycle()
        self._firsts = Cycle()
        self._empty = 0
        self._ended = False
        self._tokens.closes(token)

    async def next(self) -> _Page | None:
        """
        Return the next page; ``None`` after the last.

        Raises:
            UnavailableError: The page has no token for the next one, or repeats an earlier page.
        """
        if self._ended:
            return None
        page = await self._requests(self._op, self._uri, self._fetch, *self._args, self._token)
        self._check(page)
        self._token = page.next_token
        self._ended = page.next_token is None
        return page

    def _check(self, page: _Page) -> None:
        following = page.next_token
        if following == "":
            raise self._error("there are more pages, and its token of the next one is empty")
        if self._tokens.closes(following):
            raise self._error("the same token of the next page came twice")
        first = getattr(page, "first_listed", None) or next(iter(self._entries(page)), None)
        # Servers that count the keys under a common prefix can return it on several pages.
        if not getattr(first, "is_prefix", False) and self._firsts.closes(first):
            raise self._error("the server ignored the token of the page and sent the same entries again")
        self._empty = self._empty + 1 if first is None else 0
        if self._empty > MAX_EMPTY:
            raise self._error(f"{self._empty} pages without an entry followed one another")

    def _error(self, reason: str) -> StorageError:
        error = UnavailableError(f"the listing has no end: {reason}", retryable=False)
        self._requests.add_context(error, self._op, self._uri)
        return error


def part_pages(requests: Requests, uri: ObjectURI, upload_id: str) -> Pages[PartPage]:
    """
    Return the pages of the parts of an unfinished upload.
    """
    return Pages(requests, "list_parts", uri, requests.driver.list_parts, uri, upload_id, entries=attrgetter("parts"))
