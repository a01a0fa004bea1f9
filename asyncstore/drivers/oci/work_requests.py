"""
Work that goes on at OCI after the reply: waited for, and called off when nobody waits.

https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequest
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import anyio

from asyncstore.drivers.oci.addresses import encode_query, encode_segment
from asyncstore.drivers.oci.errors import make_error
from asyncstore.drivers.oci.wire import Request, Wire, read_json
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.uri import ObjectURI

_FIRST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 5.0

# Seconds that calling it off may take, with the caller waiting for its cancellation.
_CANCEL_TIMEOUT: Final = 5.0

_MAX_ERRORS: Final = 100


async def wait_for(wire: Wire, uri: ObjectURI, work_request: str, *, create_only: bool = False) -> None:
    """
    Return when the work is done. If that is given up, or fails, OCI is told to stop.

    Args:
        uri: A place in the region that does the work.

    Raises:
        StorageError: Why it was not done.
    """
    path = f"/workRequests/{encode_segment(work_request)}"
    try:
        status = await _ended(wire, uri, path)
    except BaseException:
        await _cancel(wire, uri, path)
        raise
    if status != "COMPLETED":
        raise await _failure(wire, uri, path, status, create_only=create_only)


async def _ended(wire: Wire, uri: ObjectURI, path: str) -> str:
    wait = _FIRST_WAIT
    while True:
        reply = await wire.send_beside(Request("GET", uri, path))
        found = await read_json(reply)
        status = found.get("status") if isinstance(found, dict) else None
        if not isinstance(status, str):
            raise UnavailableError("the reply is not the work request that was expected", request_id=reply.request_id)
        if status in ("COMPLETED", "FAILED", "CANCELED"):
            return status
        await anyio.sleep(reply.retry_after or wait)
        wait = min(wait * 2, _LONGEST_WAIT)


async def _cancel(wire: Wire, uri: ObjectURI, path: str) -> None:
    with anyio.move_on_after(_CANCEL_TIMEOUT, shield=True):
        try:
            reply = await wire.send_beside(Request("DELETE", uri, path))
            await reply.read_error()
        except StorageError:
            # It may be done already; the reason for giving up is what counts.
            return


async def _failure(wire: Wire, uri: ObjectURI, path: str, status: str, *, create_only: bool) -> StorageError:
    if status == "CANCELED":
        return UnavailableError("the work was cancelled by somebody else", provider="oci", retryable=False)
    query = encode_query([("limit", str(_MAX_ERRORS))])
    reply = await wire.send_beside(Request("GET", uri, f"{path}/errors", query))
    errors = await read_json(reply)
    first: Mapping[str, Any] = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return make_error(
        str(first["code"]) if first.get("code") else None,
        str(first.get("message") or "the work failed, and OCI does not say why"),
        request_id=reply.request_id,
        create_only=create_only,
    )
