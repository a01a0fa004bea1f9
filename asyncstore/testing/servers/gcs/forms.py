"""
Uploads by HTML forms, whose policy is signed.

`POST Object <https://cloud.google.com/storage/docs/xml-api/post-object-forms>`_ ·
`policy documents <https://cloud.google.com/storage/docs/authentication/signatures#policy-document>`_
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from datetime import datetime
from email.message import Message
from typing import Any, Final

from asyncstore.testing.servers.gcs import writing
from asyncstore.testing.servers.gcs.access import check_billing
from asyncstore.testing.servers.gcs.calls import Call, Reply
from asyncstore.testing.servers.gcs.content import Content
from asyncstore.testing.servers.gcs.errors import ServiceError, forbidden, invalid, method_not_allowed, unauthorized
from asyncstore.testing.servers.gcs.related import RelatedReader, boundary_of
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.signatures import check_policy
from asyncstore.testing.servers.gcs.world import World
from asyncstore.testing.servers.gcs.xml_objects import written_headers

_FILE_NAME: Final = "${filename}"
# Fields that no condition needs to name.
_FREE: Final = frozenset({"policy", "x-goog-signature", "file"})
_STORED: Final = ("content-type", "content-encoding", "content-disposition", "cache-control", "x-goog-storage-class")
_META: Final = "x-goog-meta-"
_SIZES: Final = "content-length-range"


def is_form(call: Call) -> bool:
    """
    Return whether a request is a form.
    """
    return call.method == "POST" and call.headers.get("content-type", "").startswith("multipart/form-data")


async def answer_form(settings: Settings, world: World, call: Call) -> Reply:
    """
    Store the file of a form, if its policy allows it.
    """
    bucket, *rest = call.segments
    if not bucket or any(rest):
        raise method_not_allowed()
    check_billing(world, call, bucket)
    fields, content = await _read(call)
    if "policy" in fields:
        _check(settings, {**fields, "bucket": bucket}, content.size)
    elif settings.tokens is not None:
        raise unauthorized("Anonymous caller does not have access to the resource.", "GoogleLogin")
    stored = {name: value for name, value in fields.items() if name in _STORED or name.startswith(_META)}
    planned = writing.of_headers(
        world, Call("POST", call.path, "", stored, call.body, call.base_url), bucket, fields.get("key", "")
    )
    return Reply(204, written_headers(world.write(planned, content)))


async def _read(call: Call) -> tuple[dict[str, str], Content]:
    """
    Return the fields by their names in lower case, and the file, which is the last field.
    """
    reader = RelatedReader(call.body, boundary_of(call.headers["content-type"]))
    await reader.start()
    fields: dict[str, str] = {}
    while True:
        part = Message()
        part["Content-Disposition"] = (await reader.headers()).get("content-disposition", "")
        name = str(part.get_param("name", "", header="content-disposition")).lower()
        if name == "file":
            break
        fields[name] = (await reader.document()).decode()
    if "key" in fields:
        fields["key"] = fields["key"].replace(_FILE_NAME, part.get_filename() or "")
    return fields, await reader.content()


def _check(settings: Settings, fields: Mapping[str, str], size: int) -> None:
    check_policy(settings, fields)
    try:
        policy = json.loads(base64.b64decode(fields["policy"], validate=True))
        ends = datetime.fromisoformat(policy["expiration"]).timestamp()
        conditions = policy["conditions"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise _invalid_policy("it is not JSON with an expiration and conditions") from None
    if ends <= time.time():
        raise _invalid_policy("it has expired")
    named = set(_FREE)
    for condition in conditions:
        named.add(_checked(condition, fields, size))
    if unnamed := sorted(name for name in fields if name not in named and not name.startswith("x-ignore-")):
        raise _invalid_policy(f"no condition names the fields {', '.join(unnamed)}")


def _checked(condition: Any, fields: Mapping[str, str], size: int) -> str:
    """
    Return the name of the field that *condition* is about; raise if it does not hold.
    """
    if isinstance(condition, dict) and len(condition) == 1:
        ((name, value),) = condition.items()
        kind = "eq"
    elif isinstance(condition, list) and len(condition) == 3:
        kind, name, value = condition
    else:
        raise invalid(f"A policy cannot have the condition {condition!r}.", code="InvalidPolicyDocument")
    if kind == _SIZES:
        if not name <= size <= value:
            code = "EntityTooLarge" if size > value else "EntityTooSmall"
            raise invalid(f"The file has {size} bytes, which the policy does not allow.", code=code)
        return _SIZES
    field = str(name).removeprefix("$").lower()
    given = fields.get(field, "")
    if not (given.startswith(value) if kind == "starts-with" else given == value):
        raise _invalid_policy(f"the field {field} does not meet its condition")
    return field


def _invalid_policy(reason: str) -> ServiceError:
    return forbidden(f"The policy does not allow this form: {reason}.", code="AccessDenied")
