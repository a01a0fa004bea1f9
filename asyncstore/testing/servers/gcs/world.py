"""
Everything the server holds, and the one place where an object is written.
"""

from __future__ import annotations

import time
from typing import Any

from asyncstore.testing.servers.gcs import errors
from asyncstore.testing.servers.gcs.content import Content
from asyncstore.testing.servers.gcs.pending import MultipartUpload, PlannedObject, Rewrite, Session
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.state import Bucket, StoredObject


class World:
    """
    The buckets, the unfinished uploads and copies, and the clock that numbers generations.

    Attributes:
        sessions: Resumable uploads, by upload id.
        multipart: Multipart uploads, by upload id.
        rewrites: Unfinished copies, by rewrite token.
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
        Return a number greater than all before: microseconds since the epoch, like the service's.
        """
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return self._last

    def bucket(self, name: str) -> Bucket:
        """
        Return a bucket.

        Raises:
            ServiceError: It does not exist.
        """
        found = self.buckets.get(name)
        if found is None:
            raise errors.no_such_bucket()
        return found

    def add_bucket(self, name: str, resource: dict[str, Any] | None = None) -> Bucket:
        """
        Create a bucket.

        Raises:
            ServiceError: The name is taken.
        """
        if name in self.buckets:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise errors.conflict(message, "BucketAlreadyOwnedByYou")
        now = time.time()
        bucket = self.buckets[name] = Bucket(name, dict(resource or {}), now, now)
        return bucket

    def check_writable(self, planned: PlannedObject) -> None:
        """
        Refuse an object that could not be written now: a condition fails, or a hold forbids it.
        """
        live = self.bucket(planned.bucket).find(planned.name)
        planned.conditions.check(live)
        self.bucket(planned.bucket).check_retention(planned.fields)
        if live is not None:
            live.check_not_held()

    def write(self, planned: PlannedObject, content: Content, *, component_count: int | None = None) -> StoredObject:
        """
        Make *content* the live generation of the planned object.

        Raises:
            ServiceError: A checksum or a condition does not match; nothing has changed.
        """
        planned.hashes.check(content)
        self.check_writable(planned)
        now = time.time()
        stored = StoredObject(
            bucket=planned.bucket,
            name=planned.name,
            generation=self.generation(),
            content=content,
            fields=planned.fields,
            created=now,
            updated=now,
            component_count=component_count,
            key_sha256=planned.key_sha256,
        )
        self.bucket(planned.bucket).put(stored)
        return stored
