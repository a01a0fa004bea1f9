"""
Pre-authenticated requests: made, listed, looked at and deleted.

See https://docs.oracle.com/iaas/Content/Object/Tasks/usingpreauthenticatedrequests.htm
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from asyncstore.testing.servers.oci.call import Call, Reply, required, timestamp
from asyncstore.testing.servers.oci.errors import ServiceError
from asyncstore.testing.servers.oci.paging import page

#: What may be done with an object by each type of access.
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

_ANY: Final = "Any"
_LISTING: Final = ("Deny", "ListObjects")


def _new_token() -> str:
    return secrets.token_urlsafe(48)


def _new_id() -> str:
    # In the alphabet of the service's, which has "+" and "/": whoever asks for it must encode it.
    return base64.b64encode(secrets.token_bytes(48)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreauthenticatedRequest:
    """
    What its creator lets everyone do who has the token.

    Attributes:
        object_name: Of the one object, or what the names of all objects begin with.
        may_list: Whether the objects may be listed.
        expires: Seconds since 1970.
    """

    name: str
    creator: str
    access_type: str
    object_name: str
    may_list: bool
    created: float
    expires: float
    token: str = field(default_factory=_new_token, repr=False)
    request_id: str = field(default_factory=_new_id)

    def covers(self, name: str) -> bool:
        """
        Whether it is for the object *name*.
        """
        if self.access_type.startswith(_ANY):
            return name.startswith(self.object_name)
        return name == self.object_name

    def access_uri(self, namespace: str, bucket: str) -> str:
        """
        Return the path to use it by. A prefix is not in it: whoever uses it adds the whole name.
        """
        name = "" if self.access_type.startswith(_ANY) else quote(self.object_name)
        return f"/p/{self.token}/n/{namespace}/b/{bucket}/o/{name}"

    def describe(self) -> dict[str, Any]:
        """
        Return it as JSON has it, without what lets in.
        """
        listing = {"bucketListingAction": _LISTING[self.may_list]} if self.access_type.startswith(_ANY) else {}
        return {
            "id": self.request_id,
            "name": self.name,
            "accessType": self.access_type,
            "timeCreated": timestamp(self.created),
            "timeExpires": timestamp(self.expires),
            **({"objectName": self.object_name} if self.object_name else {}),
            **listing,
        }


async def create_request(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/CreatePreauthenticatedRequest
    """
    bucket, details = call.bucket, await call.details()
    access_type = required(details, "accessType")
    if access_type not in ACCESS:
        raise _invalid(f"'{access_type}' is not a type of access")
    is_any, listing = access_type.startswith(_ANY), details.get("bucketListingAction", _LISTING[0])
    if not is_any and not details.get("objectName"):
        raise _invalid(f"objectName is required for {access_type}")
    if listing not in _LISTING or (listing == _LISTING[1] and not (is_any and READ in ACCESS[access_type])):
        raise _invalid(f"bucketListingAction cannot be '{listing}' for {access_type}")
    made = PreauthenticatedRequest(
        name=required(details, "name"),
        creator=call.caller,
        access_type=access_type,
        object_name=str(details.get("objectName", "")),
        may_list=listing == _LISTING[1],
        created=call.now,
        expires=_expiry(required(details, "timeExpires"), call.now),
    )
    bucket.requests[made.request_id] = made
    uri = made.access_uri(call.namespace, bucket.name)
    full = f"{call.request.url.origin()}{uri}"
    return Reply(200, body={**made.describe(), "accessUri": uri, "fullPath": full})


async def list_requests(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/ListPreauthenticatedRequests
    """
    prefix = call.query.get("objectNamePrefix", "")
    entries = [
        (request_id, one.describe())
        for request_id, one in sorted(call.bucket.requests.items())
        if one.object_name.startswith(prefix)
    ]
    chosen, headers = page(entries, call.query)
    return Reply(200, headers, chosen)


async def get_request(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/GetPreauthenticatedRequest
    """
    return Reply(200, body=_found(call).describe())


async def delete_request(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/PreauthenticatedRequest/DeletePreauthenticatedRequest
    """
    del call.bucket.requests[_found(call).request_id]
    return Reply(204)


def _found(call: Call) -> PreauthenticatedRequest:
    found = call.bucket.requests.get(call.names["request"])
    if found is None:
        raise ServiceError(
            404, "PreauthenticatedRequestNotFound", f"There is no pre-authenticated request '{call.names['request']}'"
        )
    return found


def _expiry(text: str, now: float) -> float:
    try:
        expires = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid(f"timeExpires is not a time as of RFC 3339: '{text}'") from None
    if expires.tzinfo is None:
        raise _invalid(f"timeExpires has no time zone: '{text}'")
    if expires.timestamp() <= now:
        raise _invalid("timeExpires has passed")
    return expires.timestamp()


def _invalid(message: str) -> ServiceError:
    return ServiceError(400, "InvalidParCreateRequest", message)
