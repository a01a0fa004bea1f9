"""
The routes of the XML API.
"""

from __future__ import annotations

from asyncstore.testing.servers.gcs import resumable, xml_listing, xml_multipart, xml_objects
from asyncstore.testing.servers.gcs.access import check_billing
from asyncstore.testing.servers.gcs.calls import Call, Reply
from asyncstore.testing.servers.gcs.errors import method_not_allowed
from asyncstore.testing.servers.gcs.known import XML_BUCKET, XML_OBJECT, XML_SERVICE, check_parameters
from asyncstore.testing.servers.gcs.world import World


async def answer(world: World, call: Call) -> Reply:
    """
    Answer a request to the XML API: ``/``, ``/BUCKET`` or ``/BUCKET/OBJECT``.
    """
    bucket, name = call.segments[0], "/".join(call.segments[1:])
    if "upload_id" not in call.query:
        check_parameters(call.query, XML_OBJECT if name else XML_BUCKET if bucket else XML_SERVICE)
    if not bucket:
        return await _service(world, call)
    if not name:
        return await _bucket(world, call, bucket)
    return await _object(world, call, bucket, name)


async def _service(world: World, call: Call) -> Reply:
    if call.method != "GET":
        raise method_not_allowed()
    return await xml_listing.list_buckets(world)


async def _bucket(world: World, call: Call, bucket: str) -> Reply:
    check_billing(world, call, bucket)
    match call.method:
        case "GET" if "uploads" in call.query:
            return await xml_listing.list_uploads(world, call, bucket)
        case "GET":
            return await xml_listing.list_objects(world, call, bucket)
        case "HEAD":
            world.bucket(bucket)
            return Reply()
        case "PUT":
            return await xml_objects.create_bucket(world, call, bucket)
        case "DELETE":
            return await xml_objects.delete_bucket(world, bucket)
    raise method_not_allowed()


async def _object(world: World, call: Call, bucket: str, name: str) -> Reply:
    if "upload_id" in call.query:
        return await resumable.use_session(world, call)
    check_billing(world, call, bucket)
    if "uploadId" in call.query:
        return await _multipart(world, call, bucket, name)
    match call.method:
        case "GET" | "HEAD":
            return await xml_objects.get_object(world, call, bucket, name)
        case "PUT":
            return await xml_objects.put_object(world, call, bucket, name)
        case "DELETE":
            return await xml_objects.delete_object(world, call, bucket, name)
        case "POST" if "uploads" in call.query:
            return await xml_multipart.initiate(world, call, bucket, name)
        case "POST" if call.headers.get("x-goog-resumable") == "start":
            return await resumable.start_resumable_xml(world, call, bucket, name)
    raise method_not_allowed()


async def _multipart(world: World, call: Call, bucket: str, name: str) -> Reply:
    match call.method:
        case "PUT":
            return await xml_multipart.upload_part(world, call, bucket, name)
        case "POST":
            return await xml_multipart.complete(world, call, bucket, name)
        case "DELETE":
            return await xml_multipart.abort(world, call, bucket, name)
        case "GET":
            return await xml_listing.list_parts(world, call, bucket, name)
    raise method_not_allowed()
