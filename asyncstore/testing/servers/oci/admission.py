"""
Authorization: by a signature, or by a pre-authenticated request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from asyncstore.testing.servers.oci import listing, objects, preauthenticated, uploads
from asyncstore.testing.servers.oci.errors import ServiceError, bucket_not_found
from asyncstore.testing.servers.oci.preauthenticated import ACCESS, READ, WRITE
from asyncstore.testing.servers.oci.routes import Handler, decoded, route
from asyncstore.testing.servers.oci.signature import check_signature
from asyncstore.testing.servers.oci.state import PreauthenticatedRequest
from asyncstore.testing.servers.oci.store import Store

_READING: Final = frozenset({"GET", "HEAD"})

# Requests whose bodies are the user's bytes, which need not be signed.
_UNSIGNED_BODIES: Final = frozenset({objects.put_object, uploads.upload_part})

_BY_REQUEST: Final = re.compile(r"/p/([^/]+)(/n/.+)", re.DOTALL)
_PART: Final = re.compile(
    r"/n/(?P<namespace>[^/]+)/b/(?P<bucket>[^/]+)/u/(?P<object>.+)/id/(?P<upload_id>[^/]+)/(?P<number>\d*)", re.DOTALL
)
_NEEDS: Final[Mapping[Handler, str]] = {
    objects.get_object: READ,
    objects.head_object: READ,
    objects.put_object: WRITE,
}
_UPLOADING: Final[Mapping[str, Handler]] = {
    "PUT": uploads.upload_part,
    "POST": preauthenticated.commit_all,
    "DELETE": uploads.abort_upload,
}


@dataclass(frozen=True, slots=True)
class Admission:
    """
    An authorized request, and its handler.

    Attributes:
        names: The variable segments of the path, decoded.
        caller: OCID of the user.
        signed: Names of the signed headers.
        query: Parameters that a pre-authenticated upload has in its path.
    """

    handler: Handler
    names: Mapping[str, str]
    caller: str
    signed: frozenset[str] = frozenset()
    query: Mapping[str, str] = field(default_factory=dict)


def admit(store: Store, method: str, target: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Admission:
    """
    Authorize a request and find its handler.

    Args:
        target: Path and query, as received.

    Raises:
        ServiceError: The request is not allowed, or has no handler.
    """
    path = target.partition("?")[0]
    found = _BY_REQUEST.fullmatch(path)
    if found is not None:
        return _by_request(store, method, found[1], found[2], query, headers)
    handler, names = route(method, path)
    exempt = handler in _UNSIGNED_BODIES
    signed = check_signature(method, target, headers, store, store.now(), body_is_exempt=exempt)
    user = store.user_of(signed.key_id)
    if user.readonly and method not in _READING:
        # A caller without permission gets the same error as for a missing bucket.
        raise bucket_not_found(names.get("bucket", ""), names.get("namespace", ""))
    return Admission(handler, names, user.user, signed.headers)


def _by_request(
    store: Store, method: str, token: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> Admission:
    found = _PART.fullmatch(path)
    if found is not None and method in _UPLOADING:
        return _by_upload_token(store, method, token, {name: decoded(text) for name, text in found.groupdict().items()})
    handler, names = route(method, path)
    request = _request(store, token, names)
    if handler is listing.list_objects:
        allowed = request.may_list and query.get("prefix", "").startswith(request.object_name)
    else:
        allowed = _NEEDS.get(handler) in ACCESS[request.access_type] and request.covers(names["object"])
    if not allowed:
        raise _refused()
    if handler is objects.put_object and headers.get("opc-multipart", "").lower() == "true":
        return Admission(preauthenticated.create_upload, names, request.creator)
    return Admission(handler, names, request.creator)


def _by_upload_token(store: Store, method: str, token: str, names: Mapping[str, str]) -> Admission:
    bucket = store.buckets.get(names["bucket"])
    upload = bucket.uploads.get(names["upload_id"]) if bucket else None
    if upload is None or upload.access_token != token:
        raise _refused()
    query = {"uploadId": names["upload_id"], "uploadPartNum": names["number"]}
    return Admission(_UPLOADING[method], names, upload.creator, query=query)


def _request(store: Store, token: str, names: Mapping[str, str]) -> PreauthenticatedRequest:
    bucket = store.buckets.get(names.get("bucket", ""))
    known = bucket.requests.values() if bucket else ()
    found = next((one for one in known if one.token == token), None)
    if found is None or found.expires <= store.now():
        raise _refused()
    return found


def _refused() -> ServiceError:
    return ServiceError(404, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found.")
