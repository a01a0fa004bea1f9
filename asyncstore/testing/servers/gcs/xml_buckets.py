"""
Buckets, in the XML API.
"""

from __future__ import annotations

from asyncstore.testing.servers.gcs.buckets import check_name, remove
from asyncstore.testing.servers.gcs.calls import Call, Reply
from asyncstore.testing.servers.gcs.world import World
from asyncstore.testing.servers.gcs.xml_text import parse


async def create_bucket(world: World, call: Call, bucket: str) -> Reply:
    """
    `PUT bucket <https://cloud.google.com/storage/docs/xml-api/put-bucket-create>`_.
    """
    check_name(bucket)
    body = await call.read()
    resource = {}
    if body.strip():
        asked = parse(body)
        names = {"LocationConstraint": "location", "StorageClass": "storageClass"}
        found = {field: asked.findtext(name) for name, field in names.items()}
        resource = {field: text.strip() for field, text in found.items() if text}
    world.add_bucket(bucket, resource)
    return Reply(200)


async def delete_bucket(world: World, bucket: str) -> Reply:
    """
    `DELETE bucket <https://cloud.google.com/storage/docs/xml-api/delete-bucket>`_.
    """
    remove(world, world.bucket(bucket))
    return Reply(204)
