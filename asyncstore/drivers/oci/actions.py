"""
What OCI can do with an object that the portable verbs do not have.
"""

from __future__ import annotations

from asyncstore.drivers.oci.headers import condition_headers
from asyncstore.drivers.oci.objects import check_name
from asyncstore.drivers.oci.wire import Request, Wire, document
from asyncstore.errors import ConfigurationError
from asyncstore.uri import ObjectURI


async def rename(wire: Wire, source: ObjectURI, key: str, *, if_none_match: str | None = None) -> None:
    """
    Give an object another key in its bucket, at once and without moving its bytes.

    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/RenameObject
    """
    check_name(source.with_key(key))
    details = {"sourceName": source.key, "newName": key}
    if if_none_match is not None:
        details["newObjIfNoneMatchETag"] = condition_headers(None, if_none_match)["If-None-Match"]
    request = Request(
        "POST",
        source,
        "/actions/renameObject",
        document=document(details),
        create_only=if_none_match is not None,
    )
    reply = await wire.send(request)
    await reply.read_error()


async def restore(wire: Wire, uri: ObjectURI, *, hours: int = 24, version_id: str | None = None) -> None:
    """
    Ask for an archived object to be readable for some time; it takes about an hour.

    https://docs.oracle.com/iaas/Content/Object/Tasks/restoringarchivedobjects.htm
    """
    if not 1 <= hours <= 240:
        raise ConfigurationError(f"an object is restored for 1 to 240 hours, not {hours}")
    details = {"objectName": uri.key, "hours": hours}
    if version_id is not None:
        details |= {"versionId": version_id}
    reply = await wire.send(Request("POST", uri, "/actions/restoreObjects", document=document(details)))
    await reply.read_error()
