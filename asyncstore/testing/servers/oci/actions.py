"""
Actions on stored objects: rename, restore, change of tier, and batch delete.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from asyncstore.testing.servers.oci.call import Call, Reply, records, required, timestamp
from asyncstore.testing.servers.oci.conditions import check_match, check_write
from asyncstore.testing.servers.oci.errors import ServiceError, object_not_found
from asyncstore.testing.servers.oci.naming import check_object_name, tier_or
from asyncstore.testing.servers.oci.objects import check_restored, write_reply_headers
from asyncstore.testing.servers.oci.state import ARCHIVE, Bucket, new_id

#: https://docs.oracle.com/iaas/Content/Object/Tasks/batch-delete-objects.htm
MAX_BATCH: Final = 1000

#: https://docs.oracle.com/iaas/Content/Object/Tasks/managingobjects_topic-To_restore_objects_from_Archive_Storage.htm
MAX_RESTORE_HOURS: Final = 240

_HOUR: Final = 3600.0
_DEFAULT_HOURS: Final = 24


async def rename_object(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/RenameObject
    """
    bucket, details = call.bucket, await call.details()
    old, new = required(details, "sourceName"), required(details, "newName")
    check_object_name(new)
    if old == new:
        raise ServiceError(400, "SourceNameSameAsNewName", "The new name is the same as the current name")
    source, existing = call.found(old), bucket.current(new)
    if "srcObjIfMatchETag" in details:
        check_match(source.etag, details["srcObjIfMatchETag"])
    check_write(
        existing.etag if existing else None, details.get("newObjIfMatchETag"), details.get("newObjIfNoneMatchETag")
    )
    renamed = replace(source, name=new, modified=call.now, etag=new_id(), version_id=new_id())
    bucket.delete(old, call.now)
    bucket.store(renamed)
    return Reply(200, write_reply_headers(renamed))


async def restore_objects(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/RestoreObjects
    """
    details = await call.details()
    version = call.found(required(details, "objectName"), details.get("versionId"))
    hours = details.get("hours", _DEFAULT_HOURS)
    if not isinstance(hours, int) or not 1 <= hours <= MAX_RESTORE_HOURS:
        raise ServiceError(400, "InvalidRestoreHours", f"hours must be between 1 and {MAX_RESTORE_HOURS}")
    state = version.archival_state(call.now)
    if state is None:
        raise ServiceError(400, "NotArchivedObject", f"The object '{version.name}' is not archived")
    if state == "Restoring":
        raise ServiceError(409, "RestoreInProgress", f"The object '{version.name}' is being restored")
    if state == "Restored":
        raise ServiceError(409, "AlreadyRestored", f"The object '{version.name}' is already restored")
    version.restoring_until = call.now + call.store.restore_seconds
    version.restored_until = version.restoring_until + hours * _HOUR
    return Reply(202)


async def update_tier(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/UpdateObjectStorageTier
    """
    details = await call.details()
    version = call.found(required(details, "objectName"), details.get("versionId"))
    tier = tier_or(required(details, "storageTier"), version.tier)
    if version.tier == ARCHIVE and tier == ARCHIVE:
        raise ServiceError(409, "AlreadyArchived", f"The object '{version.name}' is already archived")
    check_restored(version, call.now)
    version.tier, version.restored_until = tier, 0.0
    return Reply(200)


async def batch_delete(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/BatchDeleteObjects
    """
    bucket, details = call.bucket, await call.details()
    requested = records(details, "objects")
    if not 1 <= len(requested) <= MAX_BATCH:
        raise ServiceError(400, "InvalidParameter", f"objects must name 1 to {MAX_BATCH} objects")
    deleted: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for one in requested:
        name = required(one, "objectName")
        try:
            _delete_one(call, bucket, name, one.get("ifMatch"))
        except ServiceError as error:
            failed.append({"objectName": name, "statusCode": error.status, "errorMessage": error.message})
        else:
            deleted.append({"objectName": name, "timeLastModified": timestamp(call.now)})
    shown = [] if details.get("isSkipDeletedResult") else deleted
    return Reply(200, body={"deleted": shown, "failed": failed})


def _delete_one(call: Call, bucket: Bucket, name: str, if_match: str | None) -> None:
    version = bucket.current(name)
    if version is None:
        raise object_not_found(name, bucket.name, call.namespace)
    if if_match is not None:
        check_match(version.etag, if_match)
    bucket.delete(name, call.now)
