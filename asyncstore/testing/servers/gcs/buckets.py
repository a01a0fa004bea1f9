"""
Buckets, in the JSON API.
"""

from __future__ import annotations

import re
import time
from typing import Any, Final

from asyncstore.testing.servers.gcs import conditions, errors
from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply
from asyncstore.testing.servers.gcs.resources import bucket_resource
from asyncstore.testing.servers.gcs.state import Bucket
from asyncstore.testing.servers.gcs.world import World

#: https://cloud.google.com/storage/docs/buckets#naming
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PAGE: Final = 1000


async def list_buckets(world: World, call: Call) -> Reply:
    """
    `Buckets: list <https://cloud.google.com/storage/docs/json_api/v1/buckets/list>`_.
    """
    if "project" not in call.query:
        raise errors.required("Required parameter: project", "project")
    prefix, after = call.query.get("prefix", ""), call.query.get("pageToken", "")
    names = [name for name in sorted(world.buckets) if name.startswith(prefix) and name > after]
    limit = min(call.number("maxResults") or _PAGE, _PAGE)
    items = [bucket_resource(world.buckets[name], call.base_url) for name in names[:limit]]
    page: dict[str, Any] = {"kind": "storage#buckets", "items": items}
    if len(names) > limit:
        page["nextPageToken"] = names[limit - 1]
    return json_reply(page)


async def insert_bucket(world: World, call: Call) -> Reply:
    """
    `Buckets: insert <https://cloud.google.com/storage/docs/json_api/v1/buckets/insert>`_.
    """
    if "project" not in call.query:
        raise errors.required("Required parameter: project", "project")
    resource = await call.read_json()
    name = resource.get("name", "")
    check_name(name)
    return json_reply(bucket_resource(world.add_bucket(name, resource), call.base_url))


async def get_bucket(world: World, call: Call) -> Reply:
    """
    `Buckets: get <https://cloud.google.com/storage/docs/json_api/v1/buckets/get>`_.
    """
    bucket = _checked(world, call)
    return json_reply(bucket_resource(bucket, call.base_url))


async def patch_bucket(world: World, call: Call) -> Reply:
    """
    `Buckets: patch <https://cloud.google.com/storage/docs/json_api/v1/buckets/patch>`_.
    """
    patch = await call.read_json()
    bucket = _checked(world, call)
    merged = {**bucket.resource, **patch}
    return _changed(bucket, {name: value for name, value in merged.items() if value is not None}, call)


async def update_bucket(world: World, call: Call) -> Reply:
    """
    `Buckets: update <https://cloud.google.com/storage/docs/json_api/v1/buckets/update>`_.
    """
    resource = await call.read_json()
    return _changed(_checked(world, call), resource, call)


async def delete_bucket(world: World, call: Call) -> Reply:
    """
    `Buckets: delete <https://cloud.google.com/storage/docs/json_api/v1/buckets/delete>`_.
    """
    bucket = _checked(world, call)
    remove(world, bucket)
    return Reply(204)


def check_name(name: object) -> None:
    """
    Refuse an invalid bucket name.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise errors.invalid(f"Invalid bucket name: '{name}'", "name", code="InvalidBucketName")


def remove(world: World, bucket: Bucket) -> None:
    """
    Delete *bucket*, which must be empty. Its soft-deleted objects are deleted with it.
    """
    if bucket.live or any(bucket.noncurrent.values()):
        raise errors.conflict("The bucket you tried to delete is not empty.", "BucketNotEmpty")
    del world.buckets[bucket.name]


def _checked(world: World, call: Call) -> Bucket:
    bucket = world.bucket(call.segments[0])
    requested = conditions.of_query(call)
    if requested.metageneration_match not in (None, bucket.metageneration):
        raise errors.precondition_failed()
    if requested.metageneration_not_match == bucket.metageneration:
        raise errors.not_modified()
    return bucket


def _changed(bucket: Bucket, resource: dict[str, Any], call: Call) -> Reply:
    bucket.resource = {**resource, "name": bucket.name}
    bucket.metageneration += 1
    bucket.updated = time.time()
    return json_reply(bucket_resource(bucket, call.base_url))
