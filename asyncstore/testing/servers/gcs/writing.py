"""
What a request asks to write, checked before its body is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncstore.testing.servers.gcs import access_lists, conditions, encryption, fields, hashes
from asyncstore.testing.servers.gcs.calls import Body, Call
from asyncstore.testing.servers.gcs.content import Content, GrowingContent
from asyncstore.testing.servers.gcs.errors import invalid
from asyncstore.testing.servers.gcs.pending import PlannedObject
from asyncstore.testing.servers.gcs.world import World


def of_json(
    world: World, call: Call, resource: Mapping[str, Any], bucket: str, name: str | None = None
) -> PlannedObject:
    """
    Return the object that a JSON request asks to write.

    Args:
        name: The object's name, unless a parameter or the *resource* has it.
    """
    chosen = name or call.query.get("name") or resource.get("name") or ""
    fields.check_name(chosen)
    settings = fields.of_resource(resource)
    if "contentEncoding" in call.query:
        settings["contentEncoding"] = call.query["contentEncoding"]
    predefined = call.query.get("predefinedAcl") or call.query.get("destinationPredefinedAcl")
    if predefined:
        settings["acl"] = access_lists.entries(predefined)
    kms = call.query.get("kmsKeyName") or call.query.get("destinationKmsKeyName")
    return _checked(
        world,
        PlannedObject(
            bucket=bucket,
            name=chosen,
            fields=_with_default_class(world, bucket, settings | ({"kmsKeyName": kms} if kms else {})),
            conditions=conditions.of_query(call),
            hashes=hashes.of_resource(resource) | hashes.of_headers(call.headers),
            key_sha256=encryption.key_sha256(call.headers),
        ),
    )


def of_headers(world: World, call: Call, bucket: str, name: str) -> PlannedObject:
    """
    Return the object that an XML request asks to write.
    """
    fields.check_name(name)
    return _checked(
        world,
        PlannedObject(
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
    Read all of *body*.
    """
    growing = GrowingContent()
    while data := await body.readany():
        growing.add(data)
    return growing.finish()


def _with_default_class(world: World, bucket: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"storageClass": world.bucket(bucket).resource.get("storageClass", "STANDARD"), **settings}


def _checked(world: World, planned: PlannedObject) -> PlannedObject:
    if planned.key_sha256 is not None and "kmsKeyName" in planned.fields:
        raise invalid("Cannot specify both a customer-supplied and a Cloud KMS encryption key.", "kmsKeyName")
    world.check_writable(planned)
    return planned
