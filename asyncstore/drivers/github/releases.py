"""
Finding the release of a tag, and making it.

https://docs.github.com/rest/releases/releases
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from asyncstore.drivers.github.addresses import query, repository_path
from asyncstore.drivers.github.locks import Locks
from asyncstore.drivers.github.names import LATEST
from asyncstore.drivers.github.records import Release
from asyncstore.drivers.github.settings import GitHubSettings
from asyncstore.drivers.github.wire import Wire
from asyncstore.errors import AlreadyExistsError, NotFoundError, UnavailableError
from asyncstore.uri import ObjectURI

#: Releases of one page. A release brings up to 1,000 assets along, so this is not GitHub's largest.
PAGE_SIZE: Final = 30


class Releases:
    """
    The releases of the repositories that one storage is asked for.
    """

    def __init__(self, wire: Wire, settings: GitHubSettings) -> None:
        self._wire = wire
        self._settings = settings
        self._drafts: dict[tuple[str | None, str, str], int] = {}
        self._making = Locks()

    def is_latest(self, tag: str) -> bool:
        """
        Tell whether *tag* stands for the latest release, whatever its tag.
        """
        return tag == LATEST and not self._settings.latest_is_tag

    async def find(self, uri: ObjectURI, tag: str) -> Release:
        """
        Return the release of *tag*, with its assets as they are now.

        Raises:
            NotFoundError: There is none, or no such repository, or the token may not see it.
        """
        if self.is_latest(tag):
            return await self._get(uri, "latest")
        if self._settings.draft and (draft := await self._known_draft(uri, tag)) is not None:
            return draft
        try:
            return await self._get(uri, f"tags/{quote(tag, safe='-._~')}")
        except NotFoundError:
            if not self._settings.draft:
                raise
        return await self._find_draft(uri, tag)

    async def by_id(self, uri: ObjectURI, release_id: int) -> Release:
        """
        Return a release as it is now.
        """
        return await self._get(uri, str(release_id))

    async def ensure(self, uri: ObjectURI, tag: str) -> Release:
        """
        Return the release of *tag*, made if there is none and the settings allow it.

        Raises:
            NotFoundError: There is none.
        """
        # Two that make a draft would make two drafts.
        async with self._making.of((uri.namespace, uri.bucket, tag)):
            try:
                return await self.find(uri, tag)
            except NotFoundError as exc:
                if not self._settings.create_release or self.is_latest(tag):
                    exc.add_note(f"a write makes a release for {tag!r} if create_release is set")
                    raise
            try:
                return await self._make(uri, tag)
            except AlreadyExistsError:
                # Somebody else was quicker.
                return await self.find(uri, tag)

    async def page(self, uri: ObjectURI, number: int) -> tuple[list[Release], bool]:
        """
        Return page *number* (from 1) of all releases, newest first, and whether there is another.
        """
        found, reply = await self._wire.ask(
            "GET",
            f"{repository_path(uri)}/releases",
            query=query({"per_page": str(PAGE_SIZE), "page": str(number)}),
        )
        if not isinstance(found, list):
            raise UnavailableError("a reply is not the list of releases that was expected")
        releases = [Release.read(item) for item in found]
        seen = [item for item in releases if self._settings.draft or not item.draft]
        return seen, 'rel="next"' in reply.headers.get("Link", "")

    async def _get(self, uri: ObjectURI, which: str) -> Release:
        found, _ = await self._wire.ask("GET", f"{repository_path(uri)}/releases/{which}")
        return Release.read(found)

    async def _known_draft(self, uri: ObjectURI, tag: str) -> Release | None:
        place = (uri.namespace, uri.bucket, tag)
        if (known := self._drafts.get(place)) is None:
            return None
        try:
            release = await self.by_id(uri, known)
        except NotFoundError:
            release = None
        if release is None or release.tag != tag:
            self._drafts.pop(place, None)
            return None
        return release

    async def _find_draft(self, uri: ObjectURI, tag: str) -> Release:
        drafts, number, more = [], 0, True
        while more:
            number += 1
            releases, more = await self.page(uri, number)
            drafts += [item for item in releases if item.draft and item.tag == tag]
        if not drafts:
            raise NotFoundError(f"there is no release of the tag {tag!r}", status=404)
        # There may be several. All who look take the same one.
        oldest = min(drafts, key=lambda item: item.id)
        self._drafts[uri.namespace, uri.bucket, tag] = oldest.id
        return oldest

    async def _make(self, uri: ObjectURI, tag: str) -> Release:
        settings = self._settings
        document: dict[str, Any] = {"tag_name": tag, "name": tag}
        document |= {"draft": settings.draft, "prerelease": settings.prerelease}
        if settings.target_commitish is not None:
            document["target_commitish"] = settings.target_commitish
        made, _ = await self._wire.ask("POST", f"{repository_path(uri)}/releases", document=document)
        release = Release.read(made)
        if release.draft:
            self._drafts[uri.namespace, uri.bucket, tag] = release.id
        return release
