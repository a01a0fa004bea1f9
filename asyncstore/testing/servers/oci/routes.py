"""
The routes of the API.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote

from asyncstore.testing.servers.oci import actions, buckets, copying, listing, objects, preauthenticated, uploads, work
from asyncstore.testing.servers.oci.call import Call, Reply
from asyncstore.testing.servers.oci.errors import ServiceError

Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]


async def not_implemented(_: Call) -> Reply:
    """
    Refuse an operation that the service has and the stand-in does not.
    """
    raise ServiceError(501, "NotImplemented", "The stand-in for OCI Object Storage does not implement this operation")


_MISSING: Final[Mapping[str, Handler]] = dict.fromkeys(("GET", "PUT", "POST", "DELETE"), not_implemented)

_ROUTES: Final[Mapping[str, Mapping[str, Handler]]] = {
    "/n": {"GET": buckets.get_namespace},
    "/n/{namespace}": {"GET": buckets.get_namespace_metadata, "PUT": not_implemented},
    "/n/{namespace}/b": {"GET": buckets.list_buckets, "POST": buckets.create_bucket},
    "/n/{namespace}/b/{bucket}": {
        "GET": buckets.get_bucket,
        "HEAD": buckets.head_bucket,
        "POST": buckets.update_bucket,
        "DELETE": buckets.delete_bucket,
    },
    "/n/{namespace}/b/{bucket}/o": {"GET": listing.list_objects},
    "/n/{namespace}/b/{bucket}/objectversions": {"GET": listing.list_object_versions},
    "/n/{namespace}/b/{bucket}/o/{object...}": {
        "GET": objects.get_object,
        "HEAD": objects.head_object,
        "PUT": objects.put_object,
        "DELETE": objects.delete_object,
    },
    "/n/{namespace}/b/{bucket}/u": {"GET": uploads.list_uploads, "POST": uploads.create_upload},
    "/n/{namespace}/b/{bucket}/u/{object...}": {
        "GET": uploads.list_parts,
        "PUT": uploads.upload_part,
        "POST": uploads.commit_upload,
        "DELETE": uploads.abort_upload,
    },
    "/n/{namespace}/b/{bucket}/actions/renameObject": {"POST": actions.rename_object},
    "/n/{namespace}/b/{bucket}/actions/restoreObjects": {"POST": actions.restore_objects},
    "/n/{namespace}/b/{bucket}/actions/updateObjectStorageTier": {"POST": actions.update_tier},
    "/n/{namespace}/b/{bucket}/actions/batchDeleteObjects": {"POST": actions.batch_delete},
    "/n/{namespace}/b/{bucket}/actions/copyObject": {"POST": copying.copy_object},
    "/n/{namespace}/b/{bucket}/p": {
        "GET": preauthenticated.list_requests,
        "POST": preauthenticated.create_request,
    },
    "/n/{namespace}/b/{bucket}/p/{request...}": {
        "GET": preauthenticated.get_request,
        "DELETE": preauthenticated.delete_request,
    },
    # Lifecycle policies, retention rules, replication, private endpoints and re-encryption.
    "/n/{namespace}/b/{bucket}/l": _MISSING,
    "/n/{namespace}/b/{bucket}/retentionRules{rest*}": _MISSING,
    "/n/{namespace}/b/{bucket}/replication{rest*}": _MISSING,
    "/n/{namespace}/b/{bucket}/actions/{rest*}": _MISSING,
    "/n/{namespace}/pe{rest*}": _MISSING,
    "/workRequests": {"GET": work.list_work_requests},
    "/workRequests/{work_request}": {"GET": work.get_work_request, "DELETE": work.cancel_work_request},
    "/workRequests/{work_request}/errors": {"GET": work.list_errors},
    "/workRequests/{work_request}/logs": {"GET": work.list_logs},
}


def _pattern(template: str) -> re.Pattern[str]:
    # An object name may contain literal slashes; other names must encode them.
    expression = re.sub(r"\{(\w+)\.\.\.\}", r"(?P<\1>.+)", template)
    expression = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.*)", expression)
    expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", expression)
    return re.compile(expression if template.endswith("...}") else f"{expression}/?", re.DOTALL)


_TABLE: Final = [(_pattern(template), methods) for template, methods in _ROUTES.items()]


def route(method: str, path: str) -> tuple[Handler, dict[str, str]]:
    """
    Return the handler of a request, and the variable segments of its path, decoded.

    Args:
        path: The path as received, without the query.
    """
    for pattern, methods in _TABLE:
        found = pattern.fullmatch(path)
        if found is not None:
            return _handler(methods, method), {name: decoded(text) for name, text in found.groupdict().items()}
    raise ServiceError(404, "NotFound", "There is no operation supported at the URI path and HTTP method you specified")


def _handler(methods: Mapping[str, Handler], method: str) -> Handler:
    if method not in methods:
        allowed = {"Allow": ", ".join(sorted(methods))}
        raise ServiceError(405, "MethodNotAllowed", f"The resource does not support {method}", allowed)
    return methods[method]


def decoded(text: str) -> str:
    """
    Percent-decode a segment of a path.
    """
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ServiceError(400, "MalformedURI", "The path is not valid UTF-8") from None
