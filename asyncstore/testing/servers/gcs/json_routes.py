"""
The routes of the JSON API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from asyncstore.testing.servers.gcs import buckets, copying, listing, objects, resumable, uploads
from asyncstore.testing.servers.gcs.access import check_billing
from asyncstore.testing.servers.gcs.calls import Call, Inflated, Reply
from asyncstore.testing.servers.gcs.errors import method_not_allowed, not_found
from asyncstore.testing.servers.gcs.known import METHODS, check_parameters, unsupported
from asyncstore.testing.servers.gcs.partial import select_fields
from asyncstore.testing.servers.gcs.world import World

Handler = Callable[[World, Call], Awaitable[Reply]]

#: Path prefixes: https://cloud.google.com/storage/docs/request-endpoints#json-api
PLAIN: Final = ["storage", "v1"]
DOWNLOAD: Final = ["download", *PLAIN]
UPLOADS: Final = (["upload", *PLAIN], ["resumable", "upload", *PLAIN])

_BUCKETS: Final[Mapping[str, Handler]] = {"GET": buckets.list_buckets, "POST": buckets.insert_bucket}
_BUCKET: Final[Mapping[str, Handler]] = {
    "GET": buckets.get_bucket,
    "PATCH": buckets.patch_bucket,
    "PUT": buckets.update_bucket,
    "DELETE": buckets.delete_bucket,
}
_OBJECTS: Final[Mapping[str, Handler]] = {"GET": listing.list_objects}
_OBJECT: Final[Mapping[str, Handler]] = {
    "GET": objects.get_object,
    "PATCH": objects.patch_object,
    "PUT": objects.update_object,
    "DELETE": objects.delete_object,
}
_VERBS: Final[Mapping[str, Handler]] = {"compose": copying.compose_objects, "restore": objects.restore_object}
_COPIES: Final[Mapping[str, Handler]] = {"copyTo": copying.copy_object, "rewriteTo": copying.rewrite_object}
_UPLOADS: Final[Mapping[str, Handler]] = {"POST": uploads.insert_object, "PUT": uploads.insert_object}
_DOWNLOAD: Final[Mapping[str, Handler]] = {"GET": objects.get_object}


async def answer(world: World, call: Call) -> Reply | None:
    """
    Answer a request to the JSON API; return ``None`` for any other request.
    """
    for prefix in (*UPLOADS, DOWNLOAD, PLAIN):
        if call.segments[: len(prefix)] == prefix:
            handler = _handler(call, prefix)
            check_parameters(call.query, METHODS[handler.__name__])
            _inflate(call, handler)
            if handler is not resumable.use_session:
                check_billing(world, call, *call.segments[::2])
            return select_fields(call, await handler(world, call))
    return None


def _inflate(call: Call, handler: Handler) -> None:
    """
    Undo the compression that a client such as ``gsutil -J`` adds for the transport of a body.
    """
    coding = call.headers.get("content-encoding", "identity").lower()
    if coding == "gzip" and handler is not resumable.use_session:
        call.body = Inflated(call.body)
    elif coding != "identity":
        raise unsupported(f"the Content-Encoding {coding!r} of this body", "Content-Encoding")


def _handler(call: Call, prefix: Sequence[str]) -> Handler:
    rest = call.segments[len(prefix) :]
    if prefix in UPLOADS and "upload_id" in call.query:
        return resumable.use_session
    match rest:
        case ["b"] if prefix == PLAIN:
            return _for_method(call, _BUCKETS, [])
        case ["b", bucket] if prefix == PLAIN:
            return _for_method(call, _BUCKET, [bucket])
        case ["b", bucket, "o"]:
            return _for_method(call, _UPLOADS if prefix in UPLOADS else _OBJECTS, [bucket])
        case ["b", bucket, "o", name] if prefix not in UPLOADS:
            return _for_method(call, _OBJECT if prefix == PLAIN else _DOWNLOAD, [bucket, name])
        case ["b", bucket, "o", name, verb] if prefix == PLAIN and verb in _VERBS:
            return _for_method(call, {"POST": _VERBS[verb]}, [bucket, name])
        case ["b", bucket, "o", name, verb, "b", to, "o", copy] if prefix == PLAIN and verb in _COPIES:
            return _for_method(call, {"POST": _COPIES[verb]}, [bucket, name, to, copy])
    raise not_found()


def _for_method(call: Call, handlers: Mapping[str, Handler], names: list[str]) -> Handler:
    handler = handlers.get(call.method)
    if handler is None:
        raise method_not_allowed()
    call.segments = names
    return handler
