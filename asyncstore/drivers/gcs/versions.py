"""
Pages of versions: the generations of objects that a bucket keeps.

https://cloud.google.com/storage/docs/object-versioning
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from asyncstore.drivers.gcs.listing import ask_page, entries_of
from asyncstore.drivers.gcs.resources import LISTED, info_of
from asyncstore.drivers.gcs.wire import Wire
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

_FIELDS: Final = f"{LISTED},timeDeleted"
_VERSIONS: Final = (("versions", "true"),)


async def list_page(wire: Wire, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
    """
    Return generations, those of one key oldest first. A deletion leaves no marker: where no
    generation of a key is current, it has been deleted.
    """
    found = await ask_page(wire, prefix, options, token, _FIELDS, _VERSIONS)
    return ListPage(entries_of(found, prefix, options, _version), found.get("nextPageToken"))


def _version(uri: ObjectURI, item: Mapping[str, Any]) -> ObjectInfo:
    return replace(info_of(uri, item), is_current="timeDeleted" not in item)
