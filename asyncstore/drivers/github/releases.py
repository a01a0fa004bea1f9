"""
Finds and creates the release of a tag.

https://docs.github.com/rest/releases/releases
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from asyncstore.drivers.github.addresses import repository_path
from asyncstore.drivers.github.locks import Locks
from asyncstore.drivers.github.names import LATEST
from asyncstore.drivers.github.records import Release
from asyncstore.drivers.github.settings import GitHubSettings
from asyncstore.drivers.github.wire import Request, Wire, with_json
from asyncstore.errors import AlreadyExistsError, NotFoundError, UnavailableError
from asyncstore.http.driver import HTTPDriver
from asyncstore.http.origin import encode_query
from asyncstore.uri import ObjectURI

#: Releases of one page. GitHub allows 100, but a release comes with up to 1,000 assets.
PAGE_SIZE: Final = 30


class Releases(HTTPDriver):
    """
    The releases of a storage's repositories.
    """

    _wire: Wire
    _settings: GitHubSettings

    def __init__(self, wire: Wire, settings: GitHubSettings) -> None:
        super().__init__(wire, settings)
        self._drafts: dict[tuple[str | None, str, str], int] = {}
        self._creating = Locks()

    def _is_latest(self, tag: str) -> bool:
        """
        Return whether *tag* stands for the latest release.
        """
        return tag == LATEST and not self._settings.latest_is_tag

    async def _find_release(self, uri: ObjectURI, tag: str) -> Release:
        """
        Return the current release of *tag* and its assets.

        Raises:
            NotFoundError: The release or the repository does not exist, or the token has no access to it.
        """
        if self._is_latest(tag):
            return await self._get(uri, "latest")
        if self._settings.draft and (draft := await self._known_draft(uri, tag)) is not None:
            return draft
        try:
            return await self._get(uri, f"tags/{quote(tag, safe='-._~')}")
        except NotFoundError:
            if not self._settings.draft:
                raise
        return await self._find_draft(uri, tag)

    async def _release(self, uri: ObjectURI, release_id: int) -> Release:
        """
        Return the current state of a release.
        """
        return await self._get(uri, str(release_id))

    async def _ensure_release(self, uri: ObjectURI, tag: str) -> Release:
        """
        Return the release of *tag*; create it if it does not exist and the settings allow it.

        Raises:
            NotFoundError: It does not exist.
        """
        # Two concurrent writers would create two drafts.
        async with self._creating.of((uri.namespace, uri.bucket, tag)):
            try:
                return await self._find_release(uri, tag)
            except NotFoundError as exc:
                if not self._settings.create_release or self._is_latest(tag):
                    exc.add_note(f"set create_release=True to create the release {tag!r} with the first write")
                    raise
            try:
                return await self._create(uri, tag)
            except AlreadyExistsError:
                # Another writer has created it.
                return await self._find_release(uri, tag)

    async def _release_page(self, uri: ObjectURI, number: int, seen: set[int]) -> tuple[list[Release], bool]:
        """
        Return page *number* (from 1) of all releases, newest first, and whether there is another.

        Args:
            seen: The ids of the releases on the pages before, to which those of this page are added.

        Raises:
            UnavailableError: There is another page, but this one has nothing new: the list would not end.
        """
        query = encode_query([("per_page", str(PAGE_SIZE)), ("page", str(number))])
        reply, found = await self._wire.read_json(Request("GET", f"{repository_path(uri)}/releases", query))
        if not isinstance(found, list):
            raise UnavailableError("the reply is not a list of releases")
        releases = [Release.read(item) for item in found]
        more = 'rel="next"' in reply.headers.get("Link", "")
        ids = {item.id for item in releases}
        if more and ids <= seen:
            raise UnavailableError("the listing has no end: a page of releases has none that is new", retryable=False)
        seen |= ids
        visible = [item for item in releases if self._settings.draft or not item.draft]
        return visible, more

    async def _get(self, uri: ObjectURI, which: str) -> Release:
        _, found = await self._wire.read_json(Request("GET", f"{repository_path(uri)}/releases/{which}"))
        return Release.read(found)

    async def _known_draft(self, uri: ObjectURI, tag: str) -> Release | None:
        place = (uri.namespace, uri.bucket, tag)
        if (known := self._drafts.get(place)) is None:
            return None
        try:
            release = await self._release(uri, known)
        except NotFoundError:
            release = None
        if release is None or release.tag != tag:
            self._drafts.pop(place, None)
            return None
        return release

    async def _find_draft(self, uri: ObjectURI, tag: str) -> Release:
        seen: set[int] = set()
        drafts, number, more = [], 0, True
        while more:
            number += 1
            releases, more = await self._release_page(uri, number, seen)
            drafts += [item for item in releases if item.draft and item.tag == tag]
        if not drafts:
            raise NotFoundError(f"the tag {tag!r} has no release", status=404)
        # There may be several. The oldest, so that all callers use the same one.
        oldest = min(drafts, key=lambda item: item.id)
        self._drafts[uri.namespace, uri.bucket, tag] = oldest.id
        return oldest

    async def _create(self, uri: ObjectURI, tag: str) -> Release:
        settings = self._settings
        document: dict[str, Any] = {"tag_name": tag, "name": tag}
        document |= {"draft": settings.draft, "prerelease": settings.prerelease}
        if settings.target_commitish is not None:
            document["target_commitish"] = settings.target_commitish
        _, created = await self._wire.read_json(with_json("POST", f"{repository_path(uri)}/releases", document))
        release = Release.read(created)
        if release.draft:
            self._drafts[uri.namespace, uri.bucket, tag] = release.id
        return release
