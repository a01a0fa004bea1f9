"""
Objects that the server makes from others, in the JSON API: copies, rewrites and compositions.

`Objects: rewrite <https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite>`_ ·
`Objects: copy <https://cloud.google.com/storage/docs/json_api/v1/objects/copy>`_ ·
`Objects: compose <https://cloud.google.com/storage/docs/json_api/v1/objects/compose>`_
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from asyncstore.testing.servers.gcs import conditions, encryption, fields, writing
from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply, whole_number
from asyncstore.testing.servers.gcs.content import joined
from asyncstore.testing.servers.gcs.errors import invalid, precondition_failed, required
from asyncstore.testing.servers.gcs.pending import PlannedObject, Rewrite
from asyncstore.testing.servers.gcs.resources import object_resource
from asyncstore.testing.servers.gcs.state import Bucket, StoredObject
from asyncstore.testing.servers.gcs.world import World

#: https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite#maxBytesRewrittenPerCall
_REWRITE_UNIT: Final = 1024 * 1024
#: https://cloud.google.com/storage/quotas#objects
_MAX_SOURCES: Final = 32


async def copy_object(world: World, call: Call) -> Reply:
    """
    ``copyTo``: copy in one call.
    """
    source, planned = await _source_and_target(world, call)
    stored = world.write(planned, source.content, component_count=source.component_count)
    return json_reply(object_resource(stored, call.base_url))


async def rewrite_object(world: World, call: Call) -> Reply:
    """
    ``rewriteTo``: copy in as many calls as it takes.
    """
    source, planned = await _source_and_target(world, call)
    rewrite = Rewrite(source, planned)
    token, rewritten = _advance(world, rewrite, call.query.get("rewriteToken"), call.number("maxBytesRewrittenPerCall"))
    reply = {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": str(rewritten),
        "objectSize": str(source.content.size),
        "done": token is None,
    }
    if token is not None:
        return json_reply({**reply, "rewriteToken": token})
    stored = world.write(planned, source.content, component_count=source.component_count)
    return json_reply({**reply, "resource": object_resource(stored, call.base_url)})


async def compose_objects(world: World, call: Call) -> Reply:
    """
    ``compose``: concatenate objects of one bucket.
    """
    requested = await call.read_json()
    bucket = world.bucket(call.segments[0])
    planned = writing.of_json(world, call, requested.get("destination") or {}, bucket.name, call.segments[1])
    components = _components(bucket, requested.get("sourceObjects"))
    for component in components:
        encryption.check_key(component, planned.key_sha256)
    count = sum(component.component_count or 1 for component in components)
    if requested.get("deleteSourceObjects"):
        for component in components:
            component.check_not_held()
    stored = world.write(planned, joined([one.content for one in components]), component_count=count)
    if requested.get("deleteSourceObjects"):
        for component in {id(one): one for one in components}.values():
            _delete(bucket, component)
    return json_reply(object_resource(stored, call.base_url))


async def _source_and_target(world: World, call: Call) -> tuple[StoredObject, PlannedObject]:
    resource = await call.read_json()
    source_bucket, source_name, bucket, target = call.segments
    source = world.bucket(source_bucket).get(source_name, call.number("sourceGeneration"))
    conditions.of_query(call, "ifSource").check(source)
    encryption.check_key(source, encryption.key_sha256(call.headers, source=True))
    if not fields.of_resource(resource):
        # Without metadata in the request, the copy keeps the source's, except for its KMS key.
        resource = {name: value for name, value in source.fields.items() if name != "kmsKeyName"}
    return source, writing.of_json(world, call, resource, bucket, target)


def _advance(world: World, started: Rewrite, token: str | None, per_call: int | None) -> tuple[str | None, int]:
    # Returns the token for the next call, or None when everything is copied, and the bytes copied so far.
    if per_call is not None and (per_call < _REWRITE_UNIT or per_call % _REWRITE_UNIT):
        raise invalid("maxBytesRewrittenPerCall must be an integral multiple of 1 MiB.", "maxBytesRewrittenPerCall")
    rewrite = _resumed(world, started, token)
    size = started.source.content.size
    rewrite.rewritten = min(size, rewrite.rewritten + _step(world, per_call))
    if token is not None:
        del world.rewrites[token]
    if rewrite.rewritten == size:
        return None, size
    new = uuid.uuid4().hex
    world.rewrites[new] = rewrite
    return new, rewrite.rewritten


def _resumed(world: World, started: Rewrite, token: str | None) -> Rewrite:
    if token is None:
        return started
    found = world.rewrites.get(token)
    if found is None or not found.is_same(started):
        raise invalid("The rewrite token does not belong to this rewrite.", "rewriteToken")
    return found


def _step(world: World, per_call: int | None) -> int:
    most = max(_REWRITE_UNIT, world.settings.rewrite_size)
    return most if per_call is None else min(per_call, most)


def _components(bucket: Bucket, requested: object) -> list[StoredObject]:
    if not isinstance(requested, list) or not requested:
        raise required("You must provide at least one source component.", "sourceObjects")
    if len(requested) > _MAX_SOURCES:
        message = f"The number of source components provided ({len(requested)}) exceeds the maximum ({_MAX_SOURCES})"
        raise invalid(message, "sourceObjects")
    return [_component(bucket, one) for one in requested]


def _component(bucket: Bucket, requested: Mapping[str, Any]) -> StoredObject:
    if not isinstance(requested, dict) or not isinstance(requested.get("name"), str):
        raise required("Required", "sourceObjects.name")
    generation = requested.get("generation")
    found = bucket.get(requested["name"], None if generation is None else whole_number(str(generation), "generation"))
    expected = (requested.get("objectPreconditions") or {}).get("ifGenerationMatch")
    if expected is not None and whole_number(str(expected), "ifGenerationMatch") != found.generation:
        raise precondition_failed()
    return found


def _delete(bucket: Bucket, component: StoredObject) -> None:
    if bucket.find(component.name) is component:
        bucket.delete(component.name, None)
