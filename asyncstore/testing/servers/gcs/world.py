"""
Buckets and the objects in them: all generations, live, noncurrent and soft-deleted.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from asyncstore.testing.servers.gcs import errors
from asyncstore.testing.servers.gcs.content import Content
from asyncstore.testing.servers.gcs.settings import Settings

if TYPE_CHECKING:
    from asyncstore.testing.servers.gcs.resumable import Session
    from asyncstore.testing.servers.gcs.rewriting import Rewrite
    from asyncstore.testing.servers.gcs.xml_multipart import MultipartUpload


@dataclass(slots=True)
class StoredObject:
    """
    One generation of an object.

    Attributes:
        fields: What the writer may set, by the names of the JSON API.
        component_count: Of an object put together from others.
        key_sha256: Of the customer's key it is encrypted with, in base64.
        created, updated: Seconds since the epoch, as all times here.
        hard_delete_time: When what was soft-deleted goes.
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
        Count a change of the metadata.
        """
        self.metageneration += 1
        self.updated = time.time()


@dataclass(slots=True)
class Bucket:
    """
    One bucket.

    Attributes:
        resource: Its settings, by the names of the JSON API.
        live: The live generation of each name.
        noncurrent, soft_deleted: By name and generation.
        names: Of all generations in any state, in byte order.
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

    @property
    def soft_delete_seconds(self) -> int:
        return int(self.resource.get("softDeletePolicy", {}).get("retentionDurationSeconds", 0))

    def find(self, name: str, generation: int | None = None, *, soft_deleted: bool = False) -> StoredObject | None:
        """
        Return a generation of *name*, the live one if none is asked for.
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
            ServiceError: There is none.
        """
        found = self.find(name, generation, soft_deleted=soft_deleted)
        if found is None:
            wanted = name if generation is None else f"{name}#{generation}"
            raise errors.no_such_object(self.name, wanted)
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
        Delete the live generation, or for good the one that is named.
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
        Yield the generations of *name* that a listing shows, oldest first.
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


class World:
    """
    All that a server holds, and the clock that numbers generations.

    Attributes:
        sessions: Resumable uploads, by their ids.
        multipart: Uploads by parts, by their ids.
        rewrites: Copies under way, by their tokens.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.buckets: dict[str, Bucket] = {}
        self.sessions: dict[str, Session] = {}
        self.multipart: dict[str, MultipartUpload] = {}
        self.rewrites: dict[str, Rewrite] = {}
        self._last = 0

    def generation(self) -> int:
        """
        Return a number greater than all before: microseconds, as the service uses.
        """
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return self._last

    def bucket(self, name: str) -> Bucket:
        """
        Return a bucket.

        Raises:
            ServiceError: There is none.
        """
        found = self.buckets.get(name)
        if found is None:
            raise errors.no_such_bucket()
        return found

    def add_bucket(self, name: str, resource: dict[str, Any] | None = None) -> Bucket:
        """
        Create a bucket.

        Raises:
            ServiceError: There is one of that name.
        """
        if name in self.buckets:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise errors.conflict(message, "BucketAlreadyOwnedByYou")
        now = time.time()
        bucket = self.buckets[name] = Bucket(name, dict(resource or {}), now, now)
        return bucket
