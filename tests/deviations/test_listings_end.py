"""
Listings of servers that would never end: they ignore the token of a page, repeat it, or leave it empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from itertools import count
from typing import Any, Final, cast
from urllib.parse import quote

import pytest

from asyncstore import Storage, UnavailableError, open_storage
from asyncstore.engine import pages
from tests.deviations.good_replies import Asked, Said
from tests.deviations.hostile import Sending
from tests.deviations.server import STORAGES, opened, serving

Listing = Callable[[Storage], AsyncIterator[Any]]

LISTINGS: Final[dict[str, Listing]] = {
    "list": lambda storage: storage.list(),
    "list_versions": lambda storage: storage.list_versions(),
    "list_multipart_uploads": lambda storage: storage.list_multipart_uploads(),
    "list_parts": lambda storage: storage.list_parts(storage.root / "t" / "k", "u"),
}

# GCS lists parts by their numbers only; Azure has all blocks of a blob on one page; GitHub has neither.
CASES: Final = [
    *[("s3", verb) for verb in LISTINGS],
    *[("oci", verb) for verb in LISTINGS],
    ("gcs", "list"),
    ("gcs", "list_versions"),
    ("gcs", "list_multipart_uploads"),
    ("azure", "list"),
    ("azure", "list_versions"),
    ("azure", "list_multipart_uploads"),
    ("github", "list"),
]

every_listing = pytest.mark.parametrize(("provider", "verb"), CASES)


def _with_token(said: Said, token: str) -> Said:
    """
    Change the page of any provider so that *token* names the next one.
    """
    if said.body.startswith(b"<"):
        names = ("NextContinuationToken", "NextKeyMarker", "NextUploadIdMarker", "NextPartNumberMarker")
        more = "".join([f"<{name}>{token}</{name}>" for name in names])
        said.body = said.body.replace(
            b"<IsTruncated>false</IsTruncated>", f"<IsTruncated>true</IsTruncated>{more}".encode()
        )
        said.body = said.body.replace(b"<NextMarker />", f"<NextMarker>{token}</NextMarker>".encode())
    elif isinstance(document := json.loads(said.body), dict):
        said.body = json.dumps({**document, "nextPageToken": token, "nextStartWith": token}).encode()
    said.headers["opc-next-page"] = token
    said.headers["Link"] = '<https://api.github.com/next>; rel="next"'
    return said


async def _count(items: AsyncIterator[Any]) -> int:
    number = 0
    async with aclosing(cast("Any", items)) as found:
        async for _ in found:
            number += 1
            assert number < 100, "the listing does not end"
    return number


@every_listing
async def test_token_that_repeats(provider: str, verb: str) -> None:
    """
    The same token twice ends the listing with an error.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = lambda asked: (_with_token(server.good(asked), "again"), Sending())
        with pytest.raises(UnavailableError, match="has no end"):
            await _count(LISTINGS[verb](storage))

    assert len(server.asked) <= 4


@every_listing
async def test_page_that_repeats(provider: str, verb: str) -> None:
    """
    A server that ignores tokens sends its first page again, with a new token each time: an error.
    """
    numbers = iter(range(1, 1000))

    def answer(asked: Asked) -> tuple[Said, Sending]:
        return _with_token(server.good(asked), str(next(numbers))), Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        if (provider, verb) == ("gcs", "list_multipart_uploads"):
            pytest.skip("its pages have no entries here, so none repeats")
        with pytest.raises(UnavailableError, match="has no end"):
            await _count(LISTINGS[verb](storage))


@every_listing
@pytest.mark.parametrize("period", [2, 3, 7])
async def test_tokens_in_turn(provider: str, verb: str, period: int) -> None:
    """
    Some tokens that come again in turn, each with an entry of its own, end the listing with an error.
    """
    numbers = count()

    def answer(asked: Asked) -> tuple[Said, Sending]:
        number = str(next(numbers) % period)
        said = _with_token(server.good(asked), number)
        for name, end in ((b"<Key>k", b"<"), (b"<Name>k", b"<"), (b'"name": "k', b'"'), (b'"object": "k', b'"')):
            said.body = said.body.replace(name + end, name + number.encode() + end)
        return said, Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        with pytest.raises(UnavailableError, match="has no end"):
            await _count(LISTINGS[verb](storage))


@every_listing
async def test_empty_pages(monkeypatch: pytest.MonkeyPatch, provider: str, verb: str) -> None:
    """
    Empty pages with a new token each end the listing, too, after more of them than a service sends.
    """
    monkeypatch.setattr(pages, "MAX_EMPTY", 20)
    numbers = count(1)

    def answer(asked: Asked) -> tuple[Said, Sending]:
        said = _with_token(server.good(asked), str(next(numbers)))
        for entries in (
            rb"<(Contents|Version|Upload|Part|Blob)>.*</\1>",
            rb'(?<="items": )\[.*\]',
            rb'(?<="objects": )\[.*\]',
        ):
            said.body = re.sub(entries, b"[]" if said.body.startswith(b"{") else b"", said.body)
        if said.body.startswith(b"["):
            said.body = b"[]"
        return said, Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        if provider == "github":
            pytest.skip("an empty page of releases is the last")
        with pytest.raises(UnavailableError, match="without an entry"):
            await _count(LISTINGS[verb](storage))

    assert 21 <= len(server.asked) <= 23


@every_listing
async def test_empty_token(provider: str, verb: str) -> None:
    """
    More pages without a token ends in an error; where an empty token marks the last page, the listing ends.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = lambda asked: (_with_token(server.good(asked), ""), Sending())
        if provider == "azure":
            await _count(LISTINGS[verb](storage))
        else:
            with pytest.raises(UnavailableError, match="has no end"):
                await _count(LISTINGS[verb](storage))

    assert len(server.asked) <= 4


@pytest.mark.parametrize("encode", [True, False], ids=["encoded", "plain"])
async def test_marker_of_versions(*, encode: bool) -> None:
    """
    The marker of a page of versions can be encoded or not, as its keys are: each version is listed once.
    """
    keys = ["a", "c + d", "e%2Ff", "e%2Fg", "z"]

    def answer(asked: Asked) -> tuple[Said, Sending]:
        after = asked.query.get("key-marker", "")
        left = [key for key in keys if key > after]
        entries = "".join([f"<Version><Key>{quote(key)}</Key><VersionId>v</VersionId></Version>" for key in left[:2]])
        marker = f"<NextKeyMarker>{quote(left[1]) if encode else left[1]}</NextKeyMarker>" if len(left) > 2 else ""
        body = (
            f"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>{'true' if marker else 'false'}"
            f"</IsTruncated>{marker}{entries}</ListVersionsResult>"
        )
        return Said(200, {"Content-Type": "application/xml"}, body.encode()), Sending()

    async with serving("s3") as server, opened("s3", server.url) as storage:
        server.answer = answer
        assert keys == [info.key async for info in storage.list_versions()]


@pytest.mark.parametrize("provider", STORAGES)
async def test_root_is_no_raw_prefix(provider: str) -> None:
    """
    A storage on ``models`` lists what is under ``models/``, not ``models-old/``; an explicit prefix is a raw string.
    """
    async with serving(provider) as server:
        uri, settings = STORAGES[provider]
        root = f"{uri}@models" if provider == "github" else f"{uri}/models"
        path = "/account" if provider == "azure" else ""
        async with open_storage(root, endpoint_url=server.url + path, **settings) as storage:
            found = [info.key async for info in storage.list()]
        queries = [asked.query.get("prefix") for asked in server.asked]
    if provider == "github":
        # The release of the tag "models" alone was asked for.
        assert ["/repos/owner/repository/releases/tags/models"] == [asked.path for asked in server.asked]
        assert ["models/k"] == found
    else:
        assert ["models/"] == queries
