"""
Releases: listed, found, created and updated.

https://docs.github.com/rest/releases/releases
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from asyncstore.testing.servers.github.limits import Caller
from asyncstore.testing.servers.github.names import conflicts, is_tag
from asyncstore.testing.servers.github.replies import (
    Addresses,
    Refused,
    as_json,
    invalid,
    not_found,
    not_implemented,
    page_of,
)
from asyncstore.testing.servers.github.store import Release, Repository, Store, now


def listed(addresses: Addresses, repository: Repository, caller: Caller, query: Mapping[str, str]) -> web.Response:
    found = repository.newest_first(drafts=caller.writes(repository))
    page, headers = page_of(found, query, addresses.releases(repository))
    return as_json([addresses.release(repository, item) for item in page], headers=headers)


def find(repository: Repository, caller: Caller, release_id: int) -> Release:
    """
    Return a release that *caller* may see.
    """
    release = repository.releases.get(release_id)
    if release is None or (release.draft and not caller.writes(repository)):
        raise not_found()
    return release


def create(store: Store, repository: Repository, caller: Caller, details: Mapping[str, Any]) -> Release:
    """
    Create a release, and its tag unless it is a draft.
    """
    tag = details.get("tag_name")
    if not isinstance(tag, str) or not tag:
        raise Refused(422, 'Invalid request.\n\n"tag_name" wasn\'t supplied.')
    _check_known(details)
    draft = bool(details.get("draft", False))
    _check_tag(repository, tag, draft=draft)
    release = Release(
        id=store.next_id(),
        tag=tag,
        name=details.get("name") or "",
        body=details.get("body") or "",
        target=details.get("target_commitish") or "main",
        author=caller.login or "",
        draft=draft,
        prerelease=bool(details.get("prerelease", False)),
        created_at=now(),
    )
    repository.releases[release.id] = release
    if not draft:
        _publish(repository, release, details)
    return release


def update(repository: Repository, release: Release, details: Mapping[str, Any]) -> None:
    """
    Apply *details* to a release. ``"draft": false`` publishes a draft.
    """
    _check_known(details)
    tag = details.get("tag_name", release.tag)
    draft = bool(details.get("draft", release.draft))
    if tag != release.tag or (release.draft and not draft):
        _check_tag(repository, tag, draft=draft)
    publishing = release.draft and not draft
    release.tag, release.draft = tag, draft
    release.name = details.get("name", release.name) or ""
    release.body = details.get("body", release.body) or ""
    release.target = details.get("target_commitish", release.target)
    release.prerelease = bool(details.get("prerelease", release.prerelease))
    if not draft and (publishing or "make_latest" in details):
        _publish(repository, release, details)


def _check_known(details: Mapping[str, Any]) -> None:
    # GitHub would write notes, or start a discussion.
    for name in ("generate_release_notes", "discussion_category_name"):
        if details.get(name):
            raise not_implemented(name)
    if str(details.get("make_latest", "true")).lower() not in ("true", "false"):
        raise not_implemented(f"make_latest={details['make_latest']!r}")


def _check_tag(repository: Repository, tag: str, *, draft: bool) -> None:
    if not is_tag(tag):
        raise invalid("Release", "tag_name", "custom", "tag_name is not well-formed")
    if draft:
        # A tag can have any number of drafts.
        return
    if repository.published(tag) is not None:
        raise invalid("Release", "tag_name", "already_exists")
    if conflicts(tag, repository.tags):
        raise invalid("Release", "tag_name", "custom", "tag_name could not be created: reference conflict")


def _publish(repository: Repository, release: Release, details: Mapping[str, Any]) -> None:
    release.published_at = release.published_at or now()
    repository.tags.add(release.tag)
    # https://docs.github.com/rest/releases/releases#create-a-release: "make_latest"
    if not release.prerelease and str(details.get("make_latest", "true")).lower() == "true":
        repository.latest = release.id
