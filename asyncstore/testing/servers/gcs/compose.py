"""
`Objects: compose <https://cloud.google.com/storage/docs/json_api/v1/objects/compose>`_.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asyncstore.testing.servers.gcs import encryption, writing
from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply, whole_number
from asyncstore.testing.servers.gcs.content import joined
from asyncstore.testing.servers.gcs.errors import invalid, precondition_failed, required
from asyncstore.testing.servers.gcs.objects import check_holds
from asyncstore.testing.servers.gcs.resources import object_resource
from asyncstore.testing.servers.gcs.world import Bucket, StoredObject, World

#: https://cloud.google.com/storage/quotas#objects
_MAX_SOURCES: Final = 32


async def compose_objects(world: World, call: Call) -> Reply:
    """
    Put objects of one bucket together.
    """
    asked = await call.read_json()
    bucket = world.bucket(call.segments[0])
    planned = writing.of_json(world, call, asked.get("destination") or {}, bucket.name, call.segments[1])
    sources = _sources(bucket, asked.get("sourceObjects"))
    for source in sources:
        encryption.check_key(source, planned.key_sha256)
    count = sum(source.component_count or 1 for source in sources)
    if asked.get("deleteSourceObjects"):
        for source in sources:
            check_holds(source)
    stored = planned.commit(world, joined([source.content for source in sources]), component_count=count)
    if asked.get("deleteSourceObjects"):
        for source in {id(source): source for source in sources}.values():
            _delete(bucket, source)
    return json_reply(object_resource(stored, call.base_url))


def _sources(bucket: Bucket, asked: object) -> list[StoredObject]:
    if not isinstance(asked, list) or not asked:
        raise required("You must provide at least one source component.", "sourceObjects")
    if len(asked) > _MAX_SOURCES:
        message = f"The number of source components provided ({len(asked)}) exceeds the maximum ({_MAX_SOURCES})"
        raise invalid(message, "sourceObjects")
    return [_source(bucket, one) for one in asked]


def _source(bucket: Bucket, asked: Mapping[str, Any]) -> StoredObject:
    if not isinstance(asked, dict) or not isinstance(asked.get("name"), str):
        raise required("Required", "sourceObjects.name")
    generation = asked.get("generation")
    found = bucket.get(asked["name"], None if generation is None else whole_number(str(generation), "generation"))
    wanted = (asked.get("objectPreconditions") or {}).get("ifGenerationMatch")
    if wanted is not None and whole_number(str(wanted), "ifGenerationMatch") != found.generation:
        raise precondition_failed()
    return found


def _delete(bucket: Bucket, source: StoredObject) -> None:
    if bucket.find(source.name) is source:
        bucket.delete(source.name, None)
