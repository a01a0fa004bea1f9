"""
Blob index tags.

https://learn.microsoft.com/azure/storage/blobs/storage-manage-find-blobs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.wire import Request, Wire, document
from asyncstore.drivers.azure.xml import tag_set
from asyncstore.errors import InvalidRequestError
from asyncstore.http.xml import can_carry, expect
from asyncstore.uri import ObjectURI

_QUERY: Final = "comp=tags"


async def get(wire: Wire, settings: AzureSettings, uri: ObjectURI) -> dict[str, str]:
    _, body = await wire.read(Request("GET", uri, _QUERY, settings.lease_headers()))
    root = expect(body, "Tags")
    return {item.findtext("Key") or "": item.findtext("Value") or "" for item in root.iterfind("TagSet/Tag")}


async def replace(wire: Wire, settings: AzureSettings, uri: ObjectURI, tags: Mapping[str, str]) -> None:
    for text in (*tags.keys(), *tags.values()):
        if not can_carry(text):
            raise InvalidRequestError(f"Azure takes tags as XML, which cannot carry {text!r}")
    reply = await wire.send(document("PUT", uri, _QUERY, tag_set(tags), settings.lease_headers()))
    await reply.read_error()
