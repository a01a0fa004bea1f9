"""
Repositories, releases and assets, in memory or with their bytes in files.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

#: Bytes read at a time.
PIECE: Final = 256 * 1024


@dataclass(slots=True, eq=False)
class Content:
    """
    The bytes of one asset, in memory or in *file*.
    """

    file: Path | None = None
    size: int = 0
    _data: bytearray = field(default_factory=bytearray, repr=False)
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)

    async def append(self, chunk: bytes) -> None:
        """
        Append *chunk*.
        """
        self._digest.update(chunk)
        self.size += len(chunk)
        if self.file is None:
            self._data += chunk
        else:
            await asyncio.to_thread(_append, self.file, chunk)

    async def pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        """
        Yield the bytes from *start* up to *end*, in chunks.
        """
        for at in range(start, end, PIECE):
            size = min(PIECE, end - at)
            if self.file is None:
                yield bytes(self._data[at : at + size])
            else:
                yield await asyncio.to_thread(_read, self.file, at, size)

    def digest(self) -> str:
        """
        Return the SHA-256 in GitHub's format.
        """
        return f"sha256:{self._digest.hexdigest()}"

    async def drop(self) -> None:
        """
        Delete the content's file, if it has one.
        """
        if self.file is not None:
            await asyncio.to_thread(self.file.unlink, missing_ok=True)


def _append(file: Path, chunk: bytes) -> None:
    with file.open("ab") as out:
        out.write(chunk)


def _read(file: Path, at: int, size: int) -> bytes:
    with file.open("rb") as source:
        source.seek(at)
        return source.read(size)


@dataclass(slots=True, eq=False, kw_only=True)
class Asset:
    """
    One file of a release.

    Attributes:
        state: ``"starter"`` until all bytes are received, then ``"uploaded"``.
    """

    id: int
    name: str
    label: str
    content_type: str
    uploader: str
    content: Content
    created_at: datetime
    updated_at: datetime
    state: str = "starter"
    download_count: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class Release:
    """
    One release. Its tag exists once it is published.
    """

    id: int
    tag: str
    name: str
    body: str
    target: str
    author: str
    draft: bool
    prerelease: bool
    created_at: datetime
    published_at: datetime | None = None
    assets: dict[int, Asset] = field(default_factory=dict)


@dataclass(slots=True, eq=False, kw_only=True)
class Repository:
    """
    One repository.

    Attributes:
        writers: Logins that may change it and see its drafts.
        readers: Other logins that may see it if it is private.
        tags: Names of the git tags.
        latest: Id of the release that was last marked as latest.
    """

    id: int
    owner: str
    name: str
    private: bool
    writers: set[str]
    readers: set[str] = field(default_factory=set)
    releases: dict[int, Release] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    latest: int | None = None

    @property
    def full_name(self) -> str:
        """Owner and name."""
        return f"{self.owner}/{self.name}"

    def newest_first(self, *, drafts: bool) -> list[Release]:
        """
        Return the releases in the API's order.
        """
        seen = [release for release in self.releases.values() if drafts or not release.draft]
        return sorted(seen, key=lambda release: (release.created_at, release.id), reverse=True)

    def published(self, tag: str) -> Release | None:
        """
        Return the published release of *tag*.
        """
        return next((item for item in self.releases.values() if item.tag == tag and not item.draft), None)

    def latest_release(self) -> Release | None:
        """
        Return the latest release that is neither a draft nor a prerelease.
        """
        full = [item for item in self.newest_first(drafts=False) if not item.prerelease]
        chosen = [item for item in full if item.id == self.latest]
        return next(iter(chosen or full), None)

    def find_asset(self, asset_id: int) -> tuple[Release, Asset] | None:
        """
        Return an asset and the release that it belongs to.
        """
        for release in self.releases.values():
            if asset_id in release.assets:
                return release, release.assets[asset_id]
        return None


class Store:
    """
    The server's repositories, and the storage of assets.

    Args:
        folder: Where to store assets; ``None`` keeps them in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.repositories: dict[str, Repository] = {}
        # By the lower-case names that repositories had before.
        self.renamed: dict[str, Repository] = {}
        self._folder = folder
        self._ids: Iterator[int] = itertools.count(1001)

    def next_id(self) -> int:
        """
        Return an unused id.
        """
        return next(self._ids)

    def content(self, asset_id: int) -> Content:
        """
        Return empty content for an asset.
        """
        return Content(None if self._folder is None else self._folder / str(asset_id))

    def find(self, owner: str, name: str) -> Repository | None:
        """
        Return a repository; names are case-insensitive.
        """
        return self.repositories.get(f"{owner}/{name}".lower())

    def add(self, full_name: str, *, private: bool, writers: set[str]) -> Repository:
        """
        Create a repository without releases.
        """
        owner, _, name = full_name.partition("/")
        repository = Repository(id=self.next_id(), owner=owner, name=name, private=private, writers={owner, *writers})
        self.repositories[full_name.lower()] = repository
        # A new repository ends the redirects of its name.
        self.renamed.pop(full_name.lower(), None)
        return repository

    def rename(self, old: str, new: str) -> None:
        """
        Give a repository another owner and name. Its old name redirects to it.
        """
        repository = self.repositories.pop(old.lower())
        repository.owner, _, repository.name = new.partition("/")
        self.repositories[new.lower()] = repository
        self.renamed.pop(new.lower(), None)
        self.renamed[old.lower()] = repository

    def by_id(self, repository_id: int) -> Repository | None:
        """
        Return the repository with this id.
        """
        return next((found for found in self.repositories.values() if found.id == repository_id), None)


def now() -> datetime:
    """
    Return the current time.
    """
    return datetime.now(UTC)
