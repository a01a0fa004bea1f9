"""
Authentication and billing checks.
"""

from __future__ import annotations

from typing import Final

from asyncstore.testing.servers.gcs.calls import Call
from asyncstore.testing.servers.gcs.errors import ServiceError, unauthorized
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.signatures import check_signature, is_signed
from asyncstore.testing.servers.gcs.tokens import Issuer
from asyncstore.testing.servers.gcs.world import World

_UPLOADS: Final = ("/upload/", "/resumable/")
_JSON: Final = ("/storage/v1/", "/download/", "/batch/")
_REALM: Final = 'Bearer realm="https://accounts.google.com/"'


def check_caller(settings: Settings, issuer: Issuer, call: Call) -> None:
    """
    Refuse a request whose signature or token is invalid.
    """
    if _is_in_session(call):
        # The session's id is the credential: anyone who knows it may write.
        return
    if is_signed(call):
        check_signature(settings, call)
    elif issuer.checks:
        _check_token(issuer, call)


def check_billing(world: World, call: Call, *names: str) -> None:
    """
    Refuse a request to a requester-pays bucket that does not name the project to bill.

    `Requester pays <https://cloud.google.com/storage/docs/requester-pays>`_
    """
    named = "userProject" in call.query or "x-goog-user-project" in call.headers
    found = (world.buckets.get(name) for name in names)
    if not named and any(bucket is not None and bucket.requester_pays for bucket in found):
        message = "Bucket is a requester pays bucket but no user project provided."
        raise ServiceError(400, "required", "UserProjectMissing", message)


def _is_in_session(call: Call) -> bool:
    if "upload_id" not in call.query:
        return False
    # In the XML API, a session's URI is the object's path.
    bucket, *name = call.segments
    return call.path.startswith(_UPLOADS) or (not call.path.startswith(_JSON) and bool(bucket) and any(name))


def _check_token(issuer: Issuer, call: Call) -> None:
    kind, _, token = call.headers.get("authorization", "").partition(" ")
    if not token:
        raise unauthorized("Anonymous caller does not have access to the resource.", _REALM)
    if kind.lower() != "bearer" or not issuer.accepts(token.strip()):
        raise unauthorized("Invalid Credentials", f'{_REALM}, error="invalid_token"')
