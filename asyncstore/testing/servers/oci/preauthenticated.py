"""
Pre-authenticated requests: created, listed, shown and deleted, and multipart uploads that use one.

See https://docs.oracle.com/iaas/Content/Object/Tasks/usingpreauthenticatedrequests.htm and
https://docs.oracle.com/iaas/Content/Object/Tasks/usingpreauthenticatedrequests_topic-Working_with_PreAuthenticated_Requests.htm
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from asyncstore.testing.servers.oci.call import Call, Reply, required, timestamp
from asyncstore.testing.servers.oci.errors import ServiceError
from asyncstore.testing.servers.oci.naming import check_object_name, tier_or, user_headers
from asyncstore.testing.servers.oci.objects import check_write_to
from asyncstore.testing.servers.oci.paging import page
from asyncstore.testing.servers.oci.state import ANY, PreauthenticatedRequest, Upload
from asyncstore.testing.servers.oci.uploads import commit, summary, upload_of

#: The operations that each access type allows.
READ: Final = "read"
WRITE: Final = "write"
ACCESS: Final[Mapping[str, frozenset[str]]] = {
    "ObjectRead": frozenset({READ}),
    "ObjectWrite": frozenset({WRITE}),
    "ObjectReadWrite": frozenset({READ, WRITE}),
    "AnyObjectRead": frozenset({READ}),
    "AnyObjectWrite": frozenset({WRITE}),
    "AnyObjectReadWrite": frozenset({READ, WRITE}),
}

_LISTING: Final = ("Deny", "ListObjects")


async def create_request(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/CreatePreauthenticatedRequest
    """
    bucket, details = call.bucket, await call.details()
    access_type = required(details, "accessType")
    if access_type not in ACCESS:
        raise _invalid(f"'{access_type}' is not a valid access type")
    is_any, listing = access_type.startswith(ANY), details.get("bucketListingAction", _LISTING[0])
    if not is_any and not details.get("objectName"):
        raise _invalid(f"objectName is required for {access_type}")
    if listing not in _LISTING or (listing == _LISTING[1] and not (is_any and READ in ACCESS[access_type])):
        raise _invalid(f"bucketListingAction cannot be '{listing}' for {access_type}")
    created = PreauthenticatedRequest(
        name=required(details, "name"),
        creator=call.caller,
        access_type=access_type,
        object_name=str(details.get("objectName", "")),
        may_list=listing == _LISTING[1],
        created=call.now,
        expires=_expiry(required(details, "timeExpires"), call.now),
    )
    bucket.requests[created.request_id] = created
    uri = created.access_uri(call.namespace, bucket.name)
    full = f"{call.request.url.origin()}{uri}"
    return Reply(200, body={**_describe(created), "accessUri": uri, "fullPath": full})


async def list_requests(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/ListPreauthenticatedRequests
    """
    prefix = call.query.get("objectNamePrefix", "")
    entries = [
        (request_id, _describe(one))
        for request_id, one in sorted(call.bucket.requests.items())
        if one.object_name.startswith(prefix)
    ]
    chosen, headers = page(entries, call.query)
    return Reply(200, headers, chosen)


async def get_request(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/GetPreauthenticatedRequest
    """
    return Reply(200, body=_describe(_found(call)))


async def delete_request(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/DeletePreauthenticatedRequest
    """
    del call.bucket.requests[_found(call).request_id]
    return Reply(204)


async def create_upload(call: Call) -> Reply:
    """
    Start an upload, and return the path for its parts.
    """
    bucket, name = call.bucket, call.names["object"]
    check_object_name(name)
    check_write_to(bucket, name, call)
    upload = Upload(
        name=name,
        created=call.now,
        creator=call.caller,
        headers=user_headers(call.headers),
        tier=tier_or(call.headers.get("storage-tier"), bucket.tier),
        access_token=secrets.token_urlsafe(48),
    )
    bucket.uploads[upload.upload_id] = upload
    where = f"/n/{call.namespace}/b/{bucket.name}/u/{quote(name)}/id/{upload.upload_id}/"
    return Reply(200, body={**summary(call, upload), "accessUri": f"/p/{upload.access_token}{where}"})


async def commit_all(call: Call) -> Reply:
    """
    Commit the upload with all of its parts.
    """
    upload = upload_of(call)
    return commit(call, upload, [part for _, part in sorted(upload.parts.items())])


def _describe(request: PreauthenticatedRequest) -> dict[str, Any]:
    # Without the token: only the reply to the creation shows it.
    listing = {"bucketListingAction": _LISTING[request.may_list]} if request.is_for_many else {}
    return {
        "id": request.request_id,
        "name": request.name,
        "accessType": request.access_type,
        "timeCreated": timestamp(request.created),
        "timeExpires": timestamp(request.expires),
        **({"objectName": request.object_name} if request.object_name else {}),
        **listing,
    }


def _found(call: Call) -> PreauthenticatedRequest:
    found = call.bucket.requests.get(call.names["request"])
    if found is None:
        raise ServiceError(
            404,
            "PreauthenticatedRequestNotFound",
            f"The request '{call.names['request']}' does not exist",
        )
    return found


def _expiry(text: str, now: float) -> float:
    try:
        expires = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid(f"timeExpires is not an RFC 3339 time: '{text}'") from None
    if expires.tzinfo is None:
        raise _invalid(f"timeExpires has no time zone: '{text}'")
    if expires.timestamp() <= now:
        raise _invalid("timeExpires is in the past")
    return expires.timestamp()


def _invalid(message: str) -> ServiceError:
    return ServiceError(400, "InvalidParCreateRequest", message)
