"""
The writing of an object: checked before its bytes come in, and again when it takes its place.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from asyncstore.testing.servers.gcs import conditions, encryption, fields, hashes
from asyncstore.testing.servers.gcs.calls import Body, Call
from asyncstore.testing.servers.gcs.conditions import Conditions
from asyncstore.testing.servers.gcs.content import Content, GrowingContent
from asyncstore.testing.servers.gcs.errors import invalid
from asyncstore.testing.servers.gcs.hashes import Hashes
from asyncstore.testing.servers.gcs.objects import check_holds
from asyncstore.testing.servers.gcs.world import StoredObject, World


@dataclass(frozen=True, slots=True)
class Writing:
    """
    An object to be.

    Attributes:
        fields: What its writer says of it.
        key_sha256: Of the customer's key it is encrypted with.
    """

    bucket: str
    name: str
    fields: dict[str, Any]
    conditions: Conditions
    hashes: Hashes
    key_sha256: str | None = field(default=None, repr=False)

    def check(self, world: World) -> None:
        """
        Refuse what could not be written now.
        """
        live = world.bucket(self.bucket).find(self.name)
        self.conditions.check(live)
        check_holds(live)

    def stating(self, more: Hashes) -> Writing:
        """
        Return the same with the checksums that a later request states.
        """
        return replace(self, hashes=self.hashes | more)

    def commit(self, world: World, content: Content, *, component_count: int | None = None) -> StoredObject:
        """
        Make *content* the live generation.

        Raises:
            ServiceError: A checksum or a condition does not hold; nothing has changed.
        """
        self.hashes.check(content)
        self.check(world)
        now = time.time()
        stored = StoredObject(
            bucket=self.bucket,
            name=self.name,
            generation=world.generation(),
            content=content,
            fields=self.fields,
            created=now,
            updated=now,
            component_count=component_count,
            key_sha256=self.key_sha256,
        )
        world.bucket(self.bucket).put(stored)
        return stored


def of_json(world: World, call: Call, resource: Mapping[str, Any], bucket: str, name: str | None = None) -> Writing:
    """
    Return what a JSON request asks to write.

    Args:
        name: Of the object, where it is not a parameter or part of the *resource*.
    """
    chosen = name or call.query.get("name") or resource.get("name") or ""
    fields.check_name(chosen)
    given = fields.of_resource(resource)
    if "contentEncoding" in call.query:
        given["contentEncoding"] = call.query["contentEncoding"]
    kms = call.query.get("kmsKeyName") or call.query.get("destinationKmsKeyName")
    return _checked(
        world,
        Writing(
            bucket=bucket,
            name=chosen,
            fields=_with_default_class(world, bucket, given | ({"kmsKeyName": kms} if kms else {})),
            conditions=conditions.of_query(call),
            hashes=hashes.of_resource(resource) | hashes.of_headers(call.headers),
            key_sha256=encryption.key_sha256(call.headers),
        ),
    )


def of_headers(world: World, call: Call, bucket: str, name: str) -> Writing:
    """
    Return what an XML request asks to write.
    """
    fields.check_name(name)
    return _checked(
        world,
        Writing(
            bucket=bucket,
            name=name,
            fields=_with_default_class(world, bucket, fields.of_headers(call.headers)),
            conditions=conditions.of_headers(call.headers),
            hashes=hashes.of_body(call.headers),
            key_sha256=encryption.key_sha256(call.headers),
        ),
    )


async def receive(body: Body) -> Content:
    """
    Return all of *body*.
    """
    growing = GrowingContent()
    while data := await body.readany():
        growing.add(data)
    return growing.finish()


def _with_default_class(world: World, bucket: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"storageClass": world.bucket(bucket).resource.get("storageClass", "STANDARD"), **given}


def _checked(world: World, writing: Writing) -> Writing:
    if writing.key_sha256 is not None and "kmsKeyName" in writing.fields:
        raise invalid("Cannot specify both a customer-supplied and a Cloud KMS encryption key.", "kmsKeyName")
    writing.check(world)
    return writing
