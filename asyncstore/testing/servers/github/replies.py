"""
Replies: JSON, errors, pages, and the URLs in them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from aiohttp import web

from asyncstore.testing.servers.github.store import Asset, Release, Repository

_DOCUMENTATION: Final = "https://docs.github.com/rest"

#: https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
DEFAULT_PAGE: Final = 30
MAX_PAGE: Final = 100


class Refused(Exception):  # noqa: N818 - a reply, not a failure of the server
    """
    An error reply.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = dict(headers or {})

    def reply(self) -> web.Response:
        """
        Return the error in GitHub's format.
        """
        body: dict[str, Any] = {"message": self.message, "documentation_url": _DOCUMENTATION}
        if self.errors:
            body["errors"] = list(self.errors)
        body["status"] = str(self.status)
        return as_json(body, self.status, self.headers)


def not_found() -> Refused:
    return Refused(404, "Not Found")


def not_implemented(what: str) -> Refused:
    """
    Return the refusal of something that GitHub has and this server has not.
    """
    return Refused(501, f"The stand-in for GitHub does not support {what}")


def invalid(resource: str, field: str, code: str, message: str | None = None) -> Refused:
    """
    Return the error for an invalid *field*.
    """
    error = {"resource": resource, "code": code, "field": field}
    return Refused(422, "Validation Failed", errors=[error | ({"message": message} if message else {})])


def as_json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
    )


def page_of(items: Sequence[Any], query: Mapping[str, str], url: str) -> tuple[Sequence[Any], dict[str, str]]:
    """
    Return the requested page, and the ``Link`` header for the other pages.
    """
    size = min(max(1, _number(query, "per_page", DEFAULT_PAGE)), MAX_PAGE)
    number = max(1, _number(query, "page", 1))
    last = max(1, math.ceil(len(items) / size))
    targets = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    if number >= last:
        targets = {name: page for name, page in targets.items() if name in ("prev", "first")}
    if number == 1:
        targets = {name: page for name, page in targets.items() if name in ("next", "last")}
    links = [
        f'<{url}?{urlencode({**query, "per_page": size, "page": page})}>; rel="{name}"'
        for name, page in targets.items()
    ]
    return items[(number - 1) * size : number * size], {"Link": ", ".join(links)} if links else {}


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() else default


def time_text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Addresses:
    """
    Builds the JSON representations, with the URLs in them.

    Args:
        api: Base URL of the API.
        uploads: Base URL for uploads of assets.
        web: Base URL of the website.
    """

    def __init__(self, api: str, uploads: str, web: str) -> None:
        self.api = api
        self.uploads = uploads
        self.web = web

    def releases(self, repository: Repository) -> str:
        return f"{self.api}/repos/{repository.full_name}/releases"

    def user(self, login: str) -> dict[str, Any]:
        """
        Return the short representation of a user.
        """
        return {"login": login, "id": 1, "type": "User", "url": f"{self.api}/users/{login}", "site_admin": False}

    def repository(self, repository: Repository) -> dict[str, Any]:
        """
        Return the short representation of a repository.
        """
        return {
            "id": repository.id,
            "name": repository.name,
            "full_name": repository.full_name,
            "private": repository.private,
            "owner": self.user(repository.owner),
            "url": f"{self.api}/repos/{repository.full_name}",
            "html_url": f"{self.web}/{repository.full_name}",
            "releases_url": f"{self.releases(repository)}{{/id}}",
            "default_branch": "main",
        }

    def release(self, repository: Repository, release: Release) -> dict[str, Any]:
        """
        Return the representation of a release, with all of its assets.
        """
        url = f"{self.releases(repository)}/{release.id}"
        page = "untagged-" + format(release.id, "020x") if release.draft else release.tag
        return {
            "url": url,
            "assets_url": f"{url}/assets",
            "upload_url": f"{self.uploads}/repos/{repository.full_name}/releases/{release.id}/assets{{?name,label}}",
            "html_url": f"{self.web}/{repository.full_name}/releases/tag/{quote(page)}",
            "id": release.id,
            "node_id": f"RE_{release.id}",
            "author": self.user(release.author),
            "tag_name": release.tag,
            "target_commitish": release.target,
            "name": release.name,
            "body": release.body,
            "draft": release.draft,
            "prerelease": release.prerelease,
            "immutable": False,
            "created_at": time_text(release.created_at),
            "published_at": time_text(release.published_at),
            "assets": [self.asset(repository, release, asset) for asset in release.assets.values()],
        }

    def asset(self, repository: Repository, release: Release, asset: Asset) -> dict[str, Any]:
        """
        Return the representation of an asset. Its size and digest are shown once the upload is complete.
        """
        whole = asset.state == "uploaded"
        return {
            "url": f"{self.releases(repository)}/assets/{asset.id}",
            "id": asset.id,
            "node_id": f"RA_{asset.id}",
            "name": asset.name,
            "label": asset.label,
            "uploader": self.user(asset.uploader),
            "content_type": asset.content_type,
            "state": asset.state,
            "size": asset.content.size if whole else 0,
            "digest": asset.content.digest() if whole else None,
            "download_count": asset.download_count,
            "created_at": time_text(asset.created_at),
            "updated_at": time_text(asset.updated_at),
            "browser_download_url": (
                f"{self.web}/{repository.full_name}/releases/download/{quote(release.tag)}/{quote(asset.name)}"
            ),
        }
