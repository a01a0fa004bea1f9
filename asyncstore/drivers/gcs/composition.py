"""
Composing: the request, and as many of them as it takes.

Up to 32 objects are composed by one request; more, by several levels of them.
https://cloud.google.com/storage/docs/json_api/v1/objects/compose
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from asyncstore.drivers.gcs import components
from asyncstore.drivers.gcs.names import encode_query, object_path
from asyncstore.drivers.gcs.resources import FIELDS
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import Request, Wire, with_json
from asyncstore.options import WriteOptions
from asyncstore.uri import ObjectURI

#: https://cloud.google.com/storage/quotas#objects
MAX_SOURCES: Final = 32

_PATIENCE: Final = 4.0


class Source(NamedTuple):
    """
    An object to be composed, of one generation.
    """

    name: str
    generation: str


async def compose(
    wire: Wire,
    settings: GCSSettings,
    target: ObjectURI,
    sources: Sequence[Source],
    described: Mapping[str, Any],
    conditions: Sequence[tuple[str, str]] = (),
    *,
    create_only: bool = False,
) -> dict[str, Any]:
    """
    Make *target* out of up to 32 *sources*, and return it as a resource.

    Args:
        described: What it is stored with.
        conditions: On the target, as parameters.
    """
    content = {
        "sourceObjects": [{"name": one.name, "generation": one.generation} for one in sources],
        "destination": described,
    }
    headers, body = with_json(content)
    query = encode_query([*conditions, *settings.write_query(), ("fields", FIELDS)])
    all_headers = {**headers, **settings.key_headers()}
    return await wire.ask(
        Request("POST", f"{object_path(target)}/compose", query, all_headers, body, create_only, _PATIENCE)
    )


async def few_enough(
    wire: Wire, settings: GCSSettings, uri: ObjectURI, upload_id: str, sources: Sequence[Source]
) -> Sequence[Source]:
    """
    Put *sources* together, level by level, until there are no more than one request composes.
    """
    level = 0
    while len(sources) > MAX_SOURCES:
        joined = []
        for start in range(0, len(sources), MAX_SOURCES):
            target = components.joined(uri, upload_id, level, start // MAX_SOURCES)
            group = sources[start : start + MAX_SOURCES]
            found = await compose(wire, settings, target, group, _class_of(upload_id))
            joined.append(Source(target.key, str(found["generation"])))
        sources, level = joined, level + 1
    return sources


def described(options: WriteOptions, upload_id: str) -> dict[str, Any]:
    """
    Return what the result of an upload is to be stored with, as a resource.
    """
    given = {
        "contentType": options.content_type,
        "contentEncoding": options.content_encoding,
        "contentLanguage": options.content_language,
        "contentDisposition": options.content_disposition,
        "cacheControl": options.cache_control,
        "metadata": dict(options.metadata) or None,
        **_class_of(upload_id),
    }
    return {name: value for name, value in given.items() if value is not None}


async def content_of(wire: Wire, settings: GCSSettings, marker: ObjectURI) -> dict[str, Any]:
    """
    Return the JSON object that a *marker* contains.
    """
    return await wire.ask(Request("GET", object_path(marker), "alt=media", settings.key_headers()))


def _class_of(upload_id: str) -> dict[str, str]:
    # What is composed has the class of its sources; it is said all the same.
    storage_class = components.storage_class_of(upload_id)
    return {} if storage_class is None else {"storageClass": storage_class}
