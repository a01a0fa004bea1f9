"""
Conditions of writes on endpoints that may ignore them: the object is looked at before.

A compatible service may not know ``If-None-Match`` on a write, and then replaces the object as if it had not been
sent. Once the endpoint has refused a write by its condition, it is trusted with that kind of condition.
"""

from __future__ import annotations

import secrets
from typing import Final, Literal

from asyncstore._support.cleanup import clean_up
from asyncstore.driver.body import BytesBody
from asyncstore.driver.conditions import check_write
from asyncstore.driver.contract import Condition
from asyncstore.encryption import Encryption, key_of
from asyncstore.engine.requests import Requests
from asyncstore.errors import (
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
)
from asyncstore.options import DeleteOptions, ReadOptions, WriteOptions
from asyncstore.uri import ObjectURI

# Writes that a service which knows the condition refuses, if the object exists and has another ETag.
_REFUSED: Final = {
    "create": WriteOptions(if_none_match="*"),
    "replace": WriteOptions(if_match="00000000000000000000000000000000"),
}


async def look_first(
    requests: Requests,
    op: str,
    uri: ObjectURI,
    condition: Condition,
    if_match: str | None,
    if_none_match: Literal["*"] | None = None,
    encryption: Encryption | None = None,
) -> None:
    """
    Check the condition of a write to *uri* against the object, if the endpoint may ignore it.

    Between this and the write another writer can come in, which only the endpoint can prevent.

    Raises:
        AlreadyExistsError, PreconditionFailedError: The condition does not hold.
    """
    if (if_match is None and if_none_match is None) or is_proven(requests, condition):
        return
    try:
        looked = ReadOptions(encryption=key_of(encryption))
        etag = (await requests(op, uri, requests.driver.stat, uri, looked)).etag
    except NotFoundError:
        etag = None
    except PermissionDeniedError:
        # The credentials may only allow writes. S3 also answers 403 for a missing object if they do not allow listing.
        return
    try:
        check_write(etag, if_match, if_none_match)
    except StorageError as exc:
        requests.add_context(exc, op, uri)
        raise


async def prove(requests: Requests, op: str, uri: ObjectURI, condition: Literal["create", "replace"]) -> None:
    """
    Make sure that the endpoint does not ignore a *condition*, by a write to an object of our own beside *uri*.

    For what would lose data on an endpoint that does: where a look first does not help, because others write all the
    time. Takes three requests, the last of which deletes that object, once for a storage; none on the provider's
    own endpoints.

    Raises:
        NotSupportedError: It ignores the condition.
    """
    if is_proven(requests, condition):
        return
    driver = requests.driver
    folder, _, _ = uri.key.rpartition("/")
    probe = uri.with_key(f"{folder}/.asyncstore-probe-{secrets.token_hex(6)}".lstrip("/"))
    body = BytesBody(b"asyncstore")

    async def delete() -> None:
        await requests(op, probe, driver.delete, probe, DeleteOptions())

    try:
        # The errors name the object of the caller.
        await requests(op, uri, driver.put, probe, body, WriteOptions())
    except NotFoundError:
        # The bucket does not exist, so there is nothing to delete.
        raise
    except BaseException as exc:
        await clean_up(delete(), exc)
        raise
    try:
        await requests(op, uri, driver.put, probe, body, _REFUSED[condition])
    except PreconditionFailedError:
        requests.proven.add(condition)
    else:
        header = "If-None-Match" if condition == "create" else "If-Match"
        raise NotSupportedError(
            f"the endpoint ignores {header} on writes, so the updates of others would be lost",
            op=op,
            uri=str(uri),
            provider=driver.provider,
        )
    finally:
        await clean_up(delete())


def is_proven(requests: Requests, condition: Condition) -> bool:
    """
    Return whether the endpoint is known to honour a *condition*, so that no look is needed before a write.
    """
    return condition in requests.proven or condition not in requests.driver.unproven
