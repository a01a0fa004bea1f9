"""
The records that the server keeps: buckets, and every generation of their objects.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from asyncstore.testing.servers.gcs import errors
from asyncstore.testing.servers.gcs.content import Content


@dataclass(slots=True)
class StoredObject:
    """
    One generation of an object.

    Attributes:
        fields: The metadata that a writer can set, by JSON API name.
        component_count: Number of components, if the object was composed.
        key_sha256: SHA-256 of the customer-supplied encryption key, in base64.
        created, updated: Seconds since the epoch, like all times here.
        hard_delete_time: When a soft-deleted generation is removed for good.
    """

    bucket: str
    name: str
    generation: int
    content: Content = field(repr=False)
    fields: dict[str, Any]
    created: float
    updated: float
    metageneration: int = 1
    component_count: int | None = None
    key_sha256: str | None = None
    deleted: float | None = None
    soft_deleted: float | None = None
    hard_delete_time: float | None = None

    def touch(self) -> None:
        """
        Record a metadata change.
        """
        self.metageneration += 1
        self.updated = time.time()

    def check_not_held(self) -> None:
        """
        Refuse to delete or replace an object under a hold or a retention.
        """
        if self.fields.get("temporaryHold") or self.fields.get("eventBasedHold"):
            message = (
                f"Object '{self.bucket}/{self.name}' is under active Temporary hold and cannot be deleted, "
                "overwritten or archived until hold is removed."
            )
            raise errors.forbidden(message, code="ObjectUnderActiveHold")
        retention = self.fields.get("retention")
        if retention and datetime.fromisoformat(retention["retainUntilTime"]).timestamp() > time.time():
            message = (
                f"Object '{self.bucket}/{self.name}' is subject to object retention and cannot be deleted, "
                f"overwritten or archived until {retention['retainUntilTime']}"
            )
            raise errors.ServiceError(403, "retentionPolicyNotMet", "RetentionPolicyNotMet", message)


@dataclass(slots=True)
class Bucket:
    """
    One bucket.

    Attributes:
        resource: The settings, by JSON API name.
        live: The live generation of each name.
        noncurrent, soft_deleted: Other generations, by name and generation.
        names: Every name with a generation in any state, in byte order.
    """

    name: str
    resource: dict[str, Any]
    created: float
    updated: float
    metageneration: int = 1
    live: dict[str, StoredObject] = field(default_factory=dict, repr=False)
    noncurrent: dict[str, dict[int, StoredObject]] = field(default_factory=dict, repr=False)
    soft_deleted: dict[str, dict[int, StoredObject]] = field(default_factory=dict, repr=False)
    names: list[str] = field(default_factory=list, repr=False)

    @property
    def versioning(self) -> bool:
        return bool(self.resource.get("versioning", {}).get("enabled"))

    @property
    def requester_pays(self) -> bool:
        return bool(self.resource.get("billing", {}).get("requesterPays"))

    def check_retention(self, fields: Mapping[str, Any]) -> None:
        """
        Refuse *fields* with a retention, unless the bucket was created for retentions of objects.
        """
        if fields.get("retention") and self.resource.get("objectRetention", {}).get("mode") != "Enabled":
            raise errors.invalid("The bucket must have object retention enabled to set an object's retention.")

    @property
    def soft_delete_seconds(self) -> int:
        return int(self.resource.get("softDeletePolicy", {}).get("retentionDurationSeconds", 0))

    def find(self, name: str, generation: int | None = None, *, soft_deleted: bool = False) -> StoredObject | None:
        """
        Return a generation of *name*: the live one if *generation* is ``None``.
        """
        if soft_deleted:
            self._expire(name)
            return self.soft_deleted.get(name, {}).get(generation or 0)
        live = self.live.get(name)
        if generation is None or (live is not None and live.generation == generation):
            return live
        return self.noncurrent.get(name, {}).get(generation)

    def get(self, name: str, generation: int | None = None, *, soft_deleted: bool = False) -> StoredObject:
        """
        Return a generation of *name*.

        Raises:
            ServiceError: It does not exist.
        """
        found = self.find(name, generation, soft_deleted=soft_deleted)
        if found is None:
            expected = name if generation is None else f"{name}#{generation}"
            raise errors.no_such_object(self.name, expected)
        return found

    def put(self, stored: StoredObject) -> None:
        """
        Make *stored* the live generation of its name.
        """
        self._retire(stored.name)
        self.live[stored.name] = stored
        position = bisect_left(self.names, stored.name)
        if position == len(self.names) or self.names[position] != stored.name:
            insort(self.names, stored.name)

    def delete(self, name: str, generation: int | None) -> None:
        """
        Delete the live generation, or permanently delete the one named.
        """
        if generation is None:
            self._retire(name)
            self._forget(name)
            return
        live = self.live.get(name)
        if live is not None and live.generation == generation:
            self._drop(self.live.pop(name))
        else:
            self._drop(self.noncurrent[name].pop(generation))
        self._forget(name)

    def restore(self, stored: StoredObject, generation: int) -> StoredObject:
        """
        Make a soft-deleted generation live again, as a new generation.
        """
        restored = replace(stored, generation=generation, soft_deleted=None, hard_delete_time=None, deleted=None)
        self.soft_deleted[stored.name].pop(stored.generation)
        self.put(restored)
        return restored

    def generations(self, name: str, *, versions: bool, soft_deleted: bool) -> Iterator[StoredObject]:
        """
        Yield the generations of *name* that a listing includes, oldest first.
        """
        if soft_deleted:
            self._expire(name)
            yield from self.soft_deleted.get(name, {}).values()
            return
        if versions:
            yield from self.noncurrent.get(name, {}).values()
        live = self.live.get(name)
        if live is not None:
            yield live

    def _retire(self, name: str) -> None:
        old = self.live.pop(name, None)
        if old is None:
            return
        if self.versioning:
            old.deleted = time.time()
            self.noncurrent.setdefault(name, {})[old.generation] = old
        else:
            self._drop(old)

    def _drop(self, old: StoredObject) -> None:
        if self.soft_delete_seconds:
            old.soft_deleted = time.time()
            old.hard_delete_time = old.soft_deleted + self.soft_delete_seconds
            self.soft_deleted.setdefault(old.name, {})[old.generation] = old

    def _expire(self, name: str) -> None:
        kept = self.soft_deleted.get(name, {})
        for generation, stored in list(kept.items()):
            if stored.hard_delete_time is not None and stored.hard_delete_time <= time.time():
                del kept[generation]
        self._forget(name)

    def _forget(self, name: str) -> None:
        if name in self.live or self.noncurrent.get(name) or self.soft_deleted.get(name):
            return
        self.noncurrent.pop(name, None)
        self.soft_deleted.pop(name, None)
        position = bisect_left(self.names, name)
        if position < len(self.names) and self.names[position] == name:
            del self.names[position]
