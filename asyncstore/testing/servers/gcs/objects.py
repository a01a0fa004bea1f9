"""
Objects, in the JSON API: read, change, delete and restore.
"""

from __future__ import annotations

from typing import Any

from asyncstore.testing.servers.gcs import conditions, encryption, fields, retention
from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply
from asyncstore.testing.servers.gcs.errors import required
from asyncstore.testing.servers.gcs.media import media_reply
from asyncstore.testing.servers.gcs.resources import object_etag, object_resource
from asyncstore.testing.servers.gcs.state import StoredObject
from asyncstore.testing.servers.gcs.world import World


async def get_object(world: World, call: Call) -> Reply:
    """
    `Objects: get <https://cloud.google.com/storage/docs/json_api/v1/objects/get>`_.
    """
    stored = _found(world, call, soft_deleted=call.flag("softDeleted"))
    conditions.of_query(call).check(stored)
    etag = object_etag(stored)
    conditions.check_http(call.headers, etag, stored.updated)
    key = encryption.key_sha256(call.headers)
    if call.query.get("alt") == "media":
        encryption.check_key(stored, key)
        return media_reply(stored, call.headers, etag)
    if key is not None:
        encryption.check_key(stored, key)
    shown = stored.key_sha256 is None or key is not None
    return json_reply(object_resource(stored, call.base_url, hashes=shown), headers={"ETag": etag})


async def patch_object(world: World, call: Call) -> Reply:
    """
    `Objects: patch <https://cloud.google.com/storage/docs/json_api/v1/objects/patch>`_.
    """
    patch = await call.read_json()
    stored = _found_for_change(world, call)
    changed = fields.patched(stored.fields, patch)
    if "retention" in patch:
        world.bucket(stored.bucket).check_retention(changed)
        retention.check_change(stored.fields, changed, override=call.flag("overrideUnlockedRetention"))
    stored.fields = changed
    stored.touch()
    return json_reply(object_resource(stored, call.base_url))


async def update_object(world: World, call: Call) -> Reply:
    """
    `Objects: update <https://cloud.google.com/storage/docs/json_api/v1/objects/update>`_.
    """
    resource = await call.read_json()
    stored = _found_for_change(world, call)
    kept: dict[str, Any] = {
        name: stored.fields[name] for name in ("kmsKeyName", "storageClass") if name in stored.fields
    }
    stored.fields = {**fields.of_resource(resource), **kept}
    stored.touch()
    return json_reply(object_resource(stored, call.base_url))


async def delete_object(world: World, call: Call) -> Reply:
    """
    `Objects: delete <https://cloud.google.com/storage/docs/json_api/v1/objects/delete>`_.
    """
    stored = _found(world, call)
    conditions.of_query(call).check(stored)
    stored.check_not_held()
    world.bucket(stored.bucket).delete(stored.name, call.number("generation"))
    return Reply(204)


async def restore_object(world: World, call: Call) -> Reply:
    """
    `Objects: restore <https://cloud.google.com/storage/docs/json_api/v1/objects/restore>`_.
    """
    if "generation" not in call.query:
        raise required("Required parameter: generation", "generation")
    stored = _found(world, call, soft_deleted=True)
    bucket = world.bucket(stored.bucket)
    conditions.of_query(call).check(bucket.find(stored.name))
    return json_reply(object_resource(bucket.restore(stored, world.generation()), call.base_url))


def _found(world: World, call: Call, *, soft_deleted: bool = False) -> StoredObject:
    bucket = world.bucket(call.segments[0])
    return bucket.get(call.segments[1], call.number("generation"), soft_deleted=soft_deleted)


def _found_for_change(world: World, call: Call) -> StoredObject:
    stored = _found(world, call)
    conditions.of_query(call).check(stored)
    conditions.check_http(call.headers, object_etag(stored), stored.updated)
    return stored
