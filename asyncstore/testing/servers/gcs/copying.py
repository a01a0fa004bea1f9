"""
``copyTo`` and ``rewriteTo``: copies that the service makes, in the JSON API.

`Objects: rewrite <https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite>`_ ·
`Objects: copy <https://cloud.google.com/storage/docs/json_api/v1/objects/copy>`_
"""

from __future__ import annotations

from asyncstore.testing.servers.gcs import conditions, encryption, fields, writing
from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply
from asyncstore.testing.servers.gcs.resources import object_resource
from asyncstore.testing.servers.gcs.rewriting import Rewrite, progress
from asyncstore.testing.servers.gcs.world import StoredObject, World
from asyncstore.testing.servers.gcs.writing import Writing


async def copy_object(world: World, call: Call) -> Reply:
    """
    Copy in one call.
    """
    source, planned = await _asked(world, call)
    stored = planned.commit(world, source.content, component_count=source.component_count)
    return json_reply(object_resource(stored, call.base_url))


async def rewrite_object(world: World, call: Call) -> Reply:
    """
    Copy, in as many calls as it takes.
    """
    source, planned = await _asked(world, call)
    asked = Rewrite(source, planned)
    token, rewritten = progress(world, asked, call.query.get("rewriteToken"), call.number("maxBytesRewrittenPerCall"))
    reply = {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": str(rewritten),
        "objectSize": str(source.content.size),
        "done": token is None,
    }
    if token is not None:
        return json_reply({**reply, "rewriteToken": token})
    stored = planned.commit(world, source.content, component_count=source.component_count)
    return json_reply({**reply, "resource": object_resource(stored, call.base_url)})


async def _asked(world: World, call: Call) -> tuple[StoredObject, Writing]:
    resource = await call.read_json()
    source_bucket, source_name, bucket, target = call.segments
    source = world.bucket(source_bucket).get(source_name, call.number("sourceGeneration"))
    conditions.of_query(call, "ifSource").check(source)
    encryption.check_key(source, encryption.key_sha256(call.headers, source=True))
    if not fields.of_resource(resource):
        # Where nothing is said of the copy, all that is said of the source holds but its key.
        resource = {name: value for name, value in source.fields.items() if name != "kmsKeyName"}
    return source, writing.of_json(world, call, resource, bucket, target)
