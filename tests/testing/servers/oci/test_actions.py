"""
Rename, restore, storage tiers and batch delete, with the official SDK.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.servers.oci.conftest import Place


def rename(old: str, new: str, **conditions: str) -> Any:
    """Return the details for RenameObject."""
    from oci.object_storage.models import RenameObjectDetails

    return RenameObjectDetails(source_name=old, new_name=new, **conditions)


def restore(name: str, hours: int | None = None) -> Any:
    """Return the details for RestoreObjects."""
    from oci.object_storage.models import RestoreObjectsDetails

    return RestoreObjectsDetails(object_name=name, hours=hours)


def test_rename(place: Place) -> None:
    """The object has the new name, and the old name is gone."""
    place.call("put_object", "a", b"1", opc_meta={"x": "1"})

    place.call("rename_object", rename("a", "b"))

    got = place.call("get_object", "b")
    assert (got.data.content, got.headers["opc-meta-x"]) == (b"1", "1")
    assert place.refused("get_object", "a") == (404, "ObjectNotFound")


def test_conditions_of_renaming(place: Place) -> None:
    """A rename can set conditions on the source and on the object at the new name."""
    first = place.call("put_object", "a", b"1").headers["etag"]
    place.call("put_object", "b", b"2")

    def refused(old: str, new: str, **conditions: str) -> tuple[int, str]:
        return place.refused("rename_object", rename(old, new, **conditions))

    assert refused("no", "b") == (404, "ObjectNotFound")
    assert refused("a", "a") == (400, "SourceNameSameAsNewName")
    assert refused("a", "b", src_obj_if_match_e_tag="no") == (412, "IfMatchFailed")
    assert refused("a", "b", new_obj_if_none_match_e_tag="*") == (412, "IfNoneMatchFailed")
    assert refused("a", "b", new_obj_if_match_e_tag=first) == (412, "IfMatchFailed")
    assert (place.read("a"), place.read("b")) == (b"1", b"2")


def test_archived_objects_are_restored_first(place: Place) -> None:
    """An archived object can be inspected, but can be read only while it is restored."""
    store = place.server.server.store
    store.restore_seconds = 3600
    place.call("put_object", "a", b"1", storage_tier="Archive")

    def state() -> str | None:
        value: str | None = place.call("head_object", "a").headers.get("archival-state")
        return value

    assert state() == "Archived"
    assert place.refused("get_object", "a") == (409, "NotRestored")
    place.call("restore_objects", restore("a", hours=10))
    assert state() == "Restoring"
    assert place.refused("get_object", "a") == (409, "NotRestored")
    assert place.refused("restore_objects", restore("a")) == (409, "RestoreInProgress")


def test_restored_for_a_time(place: Place) -> None:
    """A restored object returns to the archive after its hours."""
    place.call("put_object", "a", b"1", storage_tier="Archive")
    place.call("restore_objects", restore("a", hours=1))

    assert place.read("a") == b"1"
    assert place.call("head_object", "a").headers["time-of-archival"]
    listed = place.call("list_objects", fields="storageTier,archivalState").data.objects[0]
    assert (listed.storage_tier, listed.archival_state) == ("Archive", "Restored")
    assert place.refused("restore_objects", restore("a")) == (409, "AlreadyRestored")

    version = place.server.server.store.buckets[place.bucket].current("a")
    assert version is not None
    version.restored_until -= 3600
    assert place.refused("get_object", "a") == (409, "NotRestored")


@pytest.mark.parametrize("hours", [0, 241])
def test_hours(place: Place, hours: int) -> None:
    """An object can be restored for 1 to 240 hours."""
    place.call("put_object", "a", b"1", storage_tier="Archive")

    assert place.refused("restore_objects", restore("a", hours)) == (400, "InvalidRestoreHours")


def test_tiers(place: Place) -> None:
    """An object is in the tier that it was written to or moved to."""
    from oci.object_storage.models import UpdateObjectStorageTierDetails

    place.call("put_object", "a", b"1", storage_tier="InfrequentAccess")
    assert place.call("head_object", "a").headers["storage-tier"] == "InfrequentAccess"
    assert place.refused("restore_objects", restore("a")) == (400, "NotArchivedObject")
    assert place.refused("put_object", "b", b"1", storage_tier="Cold")[0] == 400

    place.call("update_object_storage_tier", UpdateObjectStorageTierDetails(object_name="a", storage_tier="Archive"))

    assert place.refused("get_object", "a") == (409, "NotRestored")


def test_batch(place: Place) -> None:
    """Each object of a batch is deleted, or has its own error."""
    from oci.object_storage.models import BatchDeleteObjectIdentifier, BatchDeleteObjectsDetails

    for name in ("a", "b", "c"):
        place.call("put_object", name, b"1")
    objects = [
        BatchDeleteObjectIdentifier(object_name="a"),
        BatchDeleteObjectIdentifier(object_name="b", if_match="other"),
        BatchDeleteObjectIdentifier(object_name="no"),
    ]

    result = place.call("batch_delete_objects", BatchDeleteObjectsDetails(objects=objects)).data

    assert [one.object_name for one in result.deleted] == ["a"]
    assert [(one.object_name, one.status_code) for one in result.failed] == [("b", 412), ("no", 404)]
    assert [one.name for one in place.call("list_objects").data.objects] == ["b", "c"]

    quiet = BatchDeleteObjectsDetails(objects=objects[1:2], is_skip_deleted_result=True)
    objects[1].if_match = None
    assert place.call("batch_delete_objects", quiet).data.deleted == []
    assert [one.name for one in place.call("list_objects").data.objects] == ["c"]


def test_size_of_a_batch(place: Place) -> None:
    """A batch has 1 to 1000 objects."""
    from oci.object_storage.models import BatchDeleteObjectIdentifier, BatchDeleteObjectsDetails

    for count in (0, 1001):
        objects = [BatchDeleteObjectIdentifier(object_name=str(number)) for number in range(count)]
        assert place.refused("batch_delete_objects", BatchDeleteObjectsDetails(objects=objects))[0] == 400
