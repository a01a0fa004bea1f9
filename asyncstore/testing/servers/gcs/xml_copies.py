"""
``PUT`` of a copy: `x-goog-copy-source <https://cloud.google.com/storage/docs/xml-api/put-object-copy>`_.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from asyncstore.testing.servers.gcs import conditions, encryption, writing
from asyncstore.testing.servers.gcs.calls import Call, whole_number
from asyncstore.testing.servers.gcs.errors import invalid
from asyncstore.testing.servers.gcs.resources import xml_etag
from asyncstore.testing.servers.gcs.world import StoredObject, World

_SOURCE = "x-goog-copy-source"


def copied(world: World, call: Call, bucket: str, name: str) -> StoredObject:
    """
    Copy the object that the headers name.
    """
    source = _source(world, call)
    planned = writing.of_headers(world, call, bucket, name)
    directive = call.headers.get("x-goog-metadata-directive", "COPY").upper()
    if directive not in ("COPY", "REPLACE"):
        raise invalid("Unknown metadata directive.", "x-goog-metadata-directive")
    if directive == "COPY":
        own: dict[str, Any] = {
            key: planned.fields[key] for key in ("storageClass", "kmsKeyName") if key in planned.fields
        }
        planned = replace(planned, fields={**source.fields, **own})
    return planned.commit(world, source.content, component_count=source.component_count)


def _source(world: World, call: Call) -> StoredObject:
    path = unquote(call.headers[_SOURCE].removeprefix("/"))
    bucket, _, name = path.partition("/")
    generation = whole_number(call.headers.get(f"{_SOURCE}-generation"), f"{_SOURCE}-generation")
    source = world.bucket(bucket).get(name, generation)
    conditions.of_headers(call.headers, f"{_SOURCE}-if-").check(source)
    conditions.check_http(call.headers, xml_etag(source), source.updated, f"{_SOURCE}-")
    encryption.check_key(source, encryption.key_sha256(call.headers, source=True))
    return source
