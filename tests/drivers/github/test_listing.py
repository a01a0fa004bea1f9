"""
Listings are in key order, whatever the order of releases, with as few requests as possible.
"""

from __future__ import annotations

import pytest

from asyncstore import Storage
from asyncstore.drivers.github.listing import _KEPT
from asyncstore.errors import NotFoundError
from asyncstore.options import ListOptions
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.github import GitHubServer
from tests.drivers.github.fixtures import REPOSITORY, asset, calls, opened, release

ALL = f"github://{REPOSITORY}"


async def keys(storage: Storage, prefix: str = "", **options: object) -> list[str]:
    listing = storage.list(storage.root / prefix, options=ListOptions(**options))  # type: ignore[arg-type]
    return [info.key async for info in listing]


async def many(server: GitHubServer, count: int) -> list[str]:
    """
    Create *count* releases with one asset each, and return the keys in listing order.
    """
    for number in range(count):
        await asset(server, await release(server, f"v{number}"), "a.bin", b"data")
    server.requests.clear()
    return sorted(f"v{number}/a.bin" for number in range(count))


async def test_many_releases(server: GitHubServer) -> None:
    """All pages of releases are fetched, one per call, and then listed in key order."""
    expected = await many(server, 65)
    async with opened(server, ALL) as storage:
        assert await keys(storage) == expected
        assert calls(server.requests) == ["GET releases"] * 3
        assert await keys(storage, "v1") == [key for key in expected if key.startswith("v1")]
        assert await keys(storage, start_after="v60") == [key for key in expected if key > "v60"]
        assert await keys(storage, page_size=7) == expected


async def test_pages_while_gathering(server: GitHubServer) -> None:
    """Pages stay empty until the last release is known, since its key may come first."""
    expected = await many(server, 65)
    async with opened(server, ALL) as storage:
        sizes, token = [], None
        while True:
            page = await storage.list_page(storage.root, token=token, options=ListOptions(page_size=40))
            sizes.append(len(page.objects))
            token = page.next_token
            if token is None:
                break

    assert sizes == [0, 0, 40, len(expected) - 40]
    assert len(server.requests) == 3


async def test_page_of_releases_that_fails(server: GitHubServer) -> None:
    """Only a page that fails is requested again."""
    expected = await many(server, 65)
    server.inject(Fault(status=502, path="page=2"))
    async with opened(server, ALL, attempts=3) as storage:
        assert await keys(storage) == expected

    assert [item.path.rpartition("page=")[2] for item in server.requests] == ["1", "2", "2", "3"]


async def test_listing_dropped_from_the_cache(server: GitHubServer) -> None:
    """A token of a listing that is no longer cached fetches it again and continues after the same key."""
    expected = await many(server, 65)
    async with opened(server, ALL) as storage:
        options = ListOptions(page_size=40)
        token = None
        for _ in range(3):
            token = (await storage.list_page(storage.root, token=token, options=options)).next_token
        for _ in range(_KEPT + 1):
            await storage.list_page(storage.root, options=options)

        rest = []
        while token is not None:
            page = await storage.list_page(storage.root, token=token, options=options)
            rest += [info.key for info in page.objects]
            token = page.next_token

    assert rest == expected[40:]


async def test_one_release_is_one_request(server: GitHubServer) -> None:
    """Listing under a release's tag takes one request for that release."""
    await many(server, 40)
    async with opened(server, ALL) as storage:
        assert await keys(storage, "v7/") == ["v7/a.bin"]
        assert await keys(storage, "v7/b") == []
        assert await keys(storage, "v7/", delimiter="/") == ["v7/a.bin"]

    assert calls(server.requests) == ["GET v7"] * 3


async def test_tags_with_slashes(server: GitHubServer) -> None:
    """Tags that contain slashes are listed like folders."""
    for tag in ("pkg/v1", "pkg/v2", "pkg-x"):
        await asset(server, await release(server, tag), "a.bin", b"data")
    async with opened(server, ALL) as storage:
        assert await keys(storage) == ["pkg-x/a.bin", "pkg/v1/a.bin", "pkg/v2/a.bin"]
        assert await keys(storage, "pkg/") == ["pkg/v1/a.bin", "pkg/v2/a.bin"]
        assert await keys(storage, "", delimiter="/") == ["pkg-x/", "pkg/"]
        assert await keys(storage, "pkg/", delimiter="/") == ["pkg/v1/", "pkg/v2/"]


@pytest.mark.parametrize("draft", [False, True])
async def test_drafts(server: GitHubServer, draft: bool) -> None:
    """Drafts are listed only if the settings ask for them."""
    await asset(server, await release(server, "v1"), "a.bin", b"data")
    await asset(server, await release(server, "v2", draft=True), "a.bin", b"data")
    async with opened(server, ALL, draft=draft) as storage:
        assert await keys(storage) == (["v1/a.bin", "v2/a.bin"] if draft else ["v1/a.bin"])
        assert await keys(storage, "v2/") == (["v2/a.bin"] if draft else [])
        assert await storage.exists(storage.root / "v2/a.bin") is draft
        assert await storage.read(storage.root / "v1/a.bin") == b"data"


async def test_draft_published_after_it_was_cached(server: GitHubServer) -> None:
    """After a cached draft is published or renamed, it is found by its tag; after deletion it is not found."""
    async with opened(server, ALL, draft=True) as storage:
        await storage.put(storage.root / "v1/a.bin", b"data")
        (made,) = server.repository(REPOSITORY).releases.values()
        made.draft = False
        assert await storage.read(storage.root / "v1/a.bin") == b"data"
        made.tag = "v2"
        assert await storage.read(storage.root / "v2/a.bin") == b"data"
        server.repository(REPOSITORY).releases.clear()
        with pytest.raises(NotFoundError):
            await storage.read(storage.root / "v1/a.bin")


async def test_many_assets(server: GitHubServer) -> None:
    """All assets of a release are listed, not only the first hundred."""
    made = await release(server, "v1")
    for number in range(130):
        await asset(server, made, f"{number:03}.bin", b"data")
    async with opened(server, ALL) as storage:
        assert await keys(storage, "v1/") == [f"v1/{number:03}.bin" for number in range(130)]


@pytest.mark.parametrize("prefix", ["", "v1/"])
async def test_missing_repository(server: GitHubServer, prefix: str) -> None:
    """Listing a missing repository raises NotFoundError."""
    async with opened(server, "github://octocat/none") as storage:
        with pytest.raises(NotFoundError):
            await keys(storage, prefix)
