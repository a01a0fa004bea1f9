"""
The parameters and headers that the server knows. It refuses all others instead of ignoring them.

The service has more, which would change what a request means: a test that relies on one must not pass by accident.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from asyncstore.testing.servers.oci import buckets, listing, objects, preauthenticated, uploads, work
from asyncstore.testing.servers.oci.errors import ServiceError
from asyncstore.testing.servers.oci.routes import Handler, not_implemented

_PAGES: Final = "limit page"
_LISTING: Final = "prefix start startAfter end delimiter fields limit"
_RESPONSE: Final = " ".join(objects.OVERRIDES)

#: The parameters of each operation that has any. https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/
_PARAMETERS: Final[Mapping[Handler, frozenset[str]]] = {
    handler: frozenset(names.split())
    for handler, names in {
        # There is one tenancy, and so one namespace.
        buckets.get_namespace: "compartmentId",
        buckets.list_buckets: f"compartmentId {_PAGES}",
        buckets.get_bucket: "fields",
        listing.list_objects: _LISTING,
        listing.list_object_versions: f"{_LISTING} page",
        objects.get_object: f"versionId {_RESPONSE}",
        objects.head_object: "versionId",
        objects.delete_object: "versionId",
        uploads.list_uploads: _PAGES,
        uploads.list_parts: f"uploadId {_PAGES}",
        uploads.upload_part: "uploadId uploadPartNum",
        uploads.commit_upload: "uploadId",
        uploads.abort_upload: "uploadId",
        preauthenticated.list_requests: f"objectNamePrefix {_PAGES}",
        work.list_work_requests: f"compartmentId {_PAGES}",
        work.list_errors: _PAGES,
        work.list_logs: _PAGES,
    }.items()
}

_HEADER: Final = re.compile(
    # About the caller or the attempt.
    r"opc-(?:request-id|client-request-id|client-info|client-retries|retry-token|obo-token"
    # Checked or stored.
    r"|meta-.+|multipart|checksum-algorithm|content-(?:crc32c|sha256|sha384)|sse-kms-key-id"
    r"|(?:source-)?sse-customer-(?:algorithm|key|key-sha256))"
)


def check_known(handler: Handler, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """
    Refuse a parameter or a header of the service that the server does not know.

    Args:
        headers: With lower-case names.

    Raises:
        ServiceError: 501, naming it.
    """
    if handler is not_implemented:
        return
    known = _PARAMETERS.get(handler, frozenset())
    for name in query:
        if name not in known:
            raise _unknown(f"the parameter {name!r} in this request")
    for name in headers:
        if name.startswith("opc-") and not _HEADER.fullmatch(name):
            raise _unknown(f"the header {name!r}")


def _unknown(what: str) -> ServiceError:
    return ServiceError(501, "NotImplemented", f"The stand-in for OCI Object Storage does not support {what}")
