"""
Copies that the service works off by itself, while we ask how far they are.

https://learn.microsoft.com/rest/api/storageservices/copy-blob

The target can be seen, with its old bytes gone, before such a copy is complete. One
that is given up is aborted, and what it leaves, a blob without bytes, is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import anyio

from asyncstore.cleanup import clean_up
from asyncstore.drivers.azure.addresses import encode_query
from asyncstore.drivers.azure.headers import condition_headers, etag_in
from asyncstore.drivers.azure.objects import head
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.sources import source_headers, target_headers
from asyncstore.drivers.azure.wire import Request, Wire
from asyncstore.errors import NotFoundError, UnavailableError
from asyncstore.options import CopyOptions, ReadOptions
from asyncstore.uri import ObjectURI

# Seconds between two looks, which grow.
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 5.0

_PLAIN: Final = ReadOptions()


async def copy_asynchronously(
    wire: Wire, settings: AzureSettings, source: ObjectURI, target: ObjectURI, options: CopyOptions
) -> Mapping[str, str]:
    """
    Copy a blob of any size, and return the headers that describe the target.

    Raises:
        UnavailableError: The service gave the copy up, or somebody replaced the target.
    """
    headers = await source_headers(wire, source, options, own=True) | target_headers(settings, options)
    create_only = options.if_none_match is not None
    reply = await wire.send(Request("PUT", target, headers=headers, create_only=create_only))
    await reply.read_error()
    copy_id, status = reply.headers.get("x-ms-copy-id", ""), reply.headers.get("x-ms-copy-status")
    if status == "success":
        return reply.headers
    try:
        return await _finished(wire, target, copy_id)
    except BaseException as exc:
        await clean_up(_give_up(wire, settings, target, copy_id), exc)
        raise


async def _finished(wire: Wire, target: ObjectURI, copy_id: str) -> Mapping[str, str]:
    wait = _FIRST_WAIT
    while True:
        await anyio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)
        headers = (await head(wire, target, _PLAIN)).headers
        if headers.get("x-ms-copy-id") != copy_id:
            raise UnavailableError("the target was written by somebody else while it was being copied to")
        status = headers.get("x-ms-copy-status")
        if status == "success":
            return headers
        if status != "pending":
            why = headers.get("x-ms-copy-status-description") or "no reason given"
            raise UnavailableError(f"the copy ended as {status}: {why}", provider="azure")


async def _give_up(wire: Wire, settings: AzureSettings, target: ObjectURI, copy_id: str) -> None:
    headers = {"x-ms-copy-action": "abort", **settings.lease_headers()}
    query = encode_query([("comp", "copy"), ("copyid", copy_id)])
    # Not pending: it has ended by itself, or is not ours any more.
    with suppress(NotFoundError):
        await (await wire.send(Request("PUT", target, query, headers))).read_error()
    with suppress(NotFoundError):
        found = (await head(wire, target, _PLAIN)).headers
        if found.get("x-ms-copy-id") == copy_id and found.get("x-ms-copy-status") in ("aborted", "failed"):
            condition = condition_headers(etag_in(found), None) | settings.lease_headers()
            await (await wire.send(Request("DELETE", target, headers=condition))).read_error()
