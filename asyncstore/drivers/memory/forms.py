"""
Presigned forms of memory: reads what a browser sends, and checks it against the policy.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncstore.driver.presigning import FILE_NAME

if TYPE_CHECKING:
    from aiohttp import web

# The fields that the policy does not name.
_FREE = frozenset({"policy", "signature"})


class Form(NamedTuple):
    """
    The fields of a form, of which the key names the object, and the bytes of its file.
    """

    fields: Mapping[str, str]
    data: bytes


async def read_form(request: web.BaseRequest) -> Form:
    """
    Read a form up to its file, which is the last field.

    Raises:
        ValueError: The request is not a form, or the form has no file.
    """
    from aiohttp import BodyPartReader

    if request.content_type != "multipart/form-data":
        raise ValueError(f"a form is sent as multipart/form-data, not as {request.content_type}")
    fields: dict[str, str] = {}
    reader = await request.multipart()
    while isinstance(part := await reader.next(), BodyPartReader):
        data = bytearray()
        # part.read() takes 1 MiB at most.
        while chunk := await part.read_chunk():
            data += chunk
        if part.name == "file":
            key = fields.get("key", "").replace(FILE_NAME, part.filename or "")
            return Form({**fields, "key": key}, bytes(data))
        fields[part.name or ""] = data.decode()
    raise ValueError("the form has no file")


def check_form(form: Form, bucket: str) -> str | None:
    """
    Return why the policy of *form*, whose signature is valid, does not allow it; ``None`` if it does.
    """
    document = json.loads(base64.b64decode(form.fields["policy"]))
    if datetime.fromisoformat(document["expiration"]).timestamp() <= time.time():
        return "the form has expired"
    given = {**form.fields, "bucket": bucket}
    named = set(_FREE)
    for condition in document["conditions"]:
        name, holds = _holds(condition, given, len(form.data))
        if not holds:
            return f"the policy does not allow this {name}"
        named.add(name)
    unnamed = sorted(set(given) - named)
    return f"the policy does not name the fields {', '.join(unnamed)}" if unnamed else None


def _holds(condition: Any, given: Mapping[str, str], size: int) -> tuple[str, bool]:
    if isinstance(condition, dict):
        ((name, value),) = condition.items()
        return name, given.get(name) == value
    kind, name, value = condition
    if kind == "content-length-range":
        return "size", name <= size <= value
    return name[1:], given.get(name[1:], "").startswith(value)
