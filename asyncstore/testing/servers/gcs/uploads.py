"""
Uploads in one request to the JSON API: the content alone, or with metadata.

`Objects: insert <https://cloud.google.com/storage/docs/json_api/v1/objects/insert>`_
"""

from __future__ import annotations

from asyncstore.testing.servers.gcs import writing
from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply, parse_json
from asyncstore.testing.servers.gcs.errors import invalid
from asyncstore.testing.servers.gcs.related import RelatedReader, boundary_of
from asyncstore.testing.servers.gcs.resources import object_etag, object_resource
from asyncstore.testing.servers.gcs.resumable import start_resumable
from asyncstore.testing.servers.gcs.state import StoredObject
from asyncstore.testing.servers.gcs.world import World


async def insert_object(world: World, call: Call) -> Reply:
    """
    Write an object with the method in ``uploadType``.
    """
    kind = call.query.get("uploadType")
    if kind == "media":
        return await _insert_media(world, call)
    if kind == "multipart":
        return await _insert_multipart(world, call)
    if kind == "resumable":
        return await start_resumable(world, call)
    raise invalid(f"Invalid value for uploadType: '{kind}'.", "uploadType")


async def _insert_media(world: World, call: Call) -> Reply:
    content_type = call.headers.get("content-type")
    resource = {"contentType": content_type} if content_type else {}
    planned = writing.of_json(world, call, resource, call.segments[0])
    return _written(world.write(planned, await writing.receive(call.body)), call)


async def _insert_multipart(world: World, call: Call) -> Reply:
    reader = RelatedReader(call.body, boundary_of(call.headers.get("content-type", "")))
    await reader.start()
    await reader.headers()
    resource = parse_json(await reader.document())
    headers = await reader.headers()
    if "content-type" in headers:
        resource.setdefault("contentType", headers["content-type"])
    planned = writing.of_json(world, call, resource, call.segments[0])
    return _written(world.write(planned, await reader.content()), call)


def _written(stored: StoredObject, call: Call) -> Reply:
    return json_reply(object_resource(stored, call.base_url), headers={"ETag": object_etag(stored)})
