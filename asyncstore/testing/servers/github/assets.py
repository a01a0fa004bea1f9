"""
Assets: uploads and updates.

https://docs.github.com/rest/releases/assets
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from asyncstore.testing.servers.github.limits import Caller
from asyncstore.testing.servers.github.names import stored_name
from asyncstore.testing.servers.github.replies import Refused, invalid
from asyncstore.testing.servers.github.store import Asset, Release, Store, now

#: https://docs.github.com/repositories/releasing-projects-on-github/about-releases#storage-and-bandwidth-quotas
MAX_ASSETS: Final = 1000
MAX_SIZE: Final = 2 * 1024**3 - 1

#: Characters of the longest name.
_MAX_NAME: Final = 255


async def receive(
    store: Store, release: Release, caller: Caller, query: Mapping[str, str], request: web.BaseRequest
) -> Asset:
    """
    Receive a new asset.

    The asset exists as a ``starter`` while its bytes are received, and stays one if the upload breaks off.
    """
    asset = _started(store, release, caller, query, request)
    wanted = _length(request)
    release.assets[asset.id] = asset
    async for chunk in request.content.iter_any():
        await asset.content.append(chunk)
    if asset.content.size != wanted:
        raise Refused(400, "Bad Content-Length: ")
    asset.state = "uploaded"
    asset.updated_at = now()
    return asset


def _started(
    store: Store, release: Release, caller: Caller, query: Mapping[str, str], request: web.BaseRequest
) -> Asset:
    if not query.get("name"):
        raise invalid("ReleaseAsset", "name", "missing_field")
    size = _length(request)
    if not 1 <= size <= MAX_SIZE:
        edge = "greater than or equal to 1" if size < 1 else f"less than or equal to {MAX_SIZE}"
        raise invalid("ReleaseAsset", "size", "custom", f"size must be {edge}")
    if len(release.assets) >= MAX_ASSETS:
        raise invalid("ReleaseAsset", "release", "custom", f"file_count limited to {MAX_ASSETS} assets per release")
    asset_id = store.next_id()
    return Asset(
        id=asset_id,
        name=_free_name(release, query["name"]),
        label=query.get("label", ""),
        content_type=request.headers.get("Content-Type", "application/octet-stream"),
        uploader=caller.login or "",
        content=store.content(asset_id),
        created_at=now(),
        updated_at=now(),
    )


def update(release: Release, asset: Asset, changes: Mapping[str, Any]) -> None:
    """
    Change the name or label of an asset.
    """
    if "name" in changes and changes["name"] != asset.name:
        asset.name = _free_name(release, str(changes["name"]))
    if "label" in changes:
        asset.label = str(changes["label"])
    asset.updated_at = now()


def _free_name(release: Release, wanted: str) -> str:
    name = stored_name(wanted)
    if len(name) > _MAX_NAME:
        raise invalid("ReleaseAsset", "name", "custom", f"name is too long (maximum is {_MAX_NAME} characters)")
    if any(asset.name == name for asset in release.assets.values()):
        raise invalid("ReleaseAsset", "name", "already_exists")
    return name


def _length(request: web.BaseRequest) -> int:
    text = request.headers.get("Content-Length", "")
    if not text.isdecimal():
        raise Refused(400, "Bad Content-Length: ")
    return int(text)
