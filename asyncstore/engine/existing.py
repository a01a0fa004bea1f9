"""
Looks whether an object exists, and confirms what a refused create-only write says about it.
"""

from __future__ import annotations

from dataclasses import dataclass

from asyncstore.encryption import Encryption, key_of
from asyncstore.engine.requests import Requests
from asyncstore.errors import AlreadyExistsError, NotFoundError, PermissionDeniedError, PreconditionFailedError
from asyncstore.options import ReadOptions
from asyncstore.uri import ObjectURI


@dataclass(slots=True)
class Look:
    """
    A look for the object before a create-only write of one of many files, small or large.

    Attributes:
        found: Whether it was found, so that a refusal needs no confirmation.
    """

    found: bool = False


class AlreadyCompleteError(AlreadyExistsError):
    """
    The target has what would be transferred; one of many items is skipped then.
    """

    default_message = "is complete already"


async def exists(requests: Requests, uri: ObjectURI, encryption: Encryption | None = None) -> bool:
    """
    Return whether there is an object.

    Args:
        encryption: That of the object, if it may have a customer's key.
    """
    try:
        await requests("stat", uri, requests.driver.stat, uri, ReadOptions(encryption=key_of(encryption)))
    except NotFoundError:
        return False
    return True


async def confirmed(
    requests: Requests, uri: ObjectURI, error: AlreadyExistsError, encryption: Encryption | None = None
) -> PreconditionFailedError:
    """
    Return *error* if there is an object at *uri*; otherwise that another condition failed.

    Not every service says which of several conditions did not hold. Where the credentials do not allow a
    look, the service is believed.
    """
    try:
        return error if await exists(requests, uri, encryption) else other_condition(error)
    except PermissionDeniedError:
        return error


def other_condition(error: AlreadyExistsError) -> PreconditionFailedError:
    """
    Return the error that *error* really is if no object exists: another condition failed.
    """
    return PreconditionFailedError(
        "a condition failed, although no object exists",
        op=error.op,
        uri=error.uri,
        provider=error.provider,
        code=error.code,
        request_id=error.request_id,
        status=error.status,
    )
