"""
Partial replies: `fields <https://cloud.google.com/storage/docs/json_api#partial-response>`_.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from asyncstore.testing.servers.gcs.calls import Call, Reply
from asyncstore.testing.servers.gcs.errors import ServiceError, invalid

_TOKEN: Final = re.compile(r"[A-Za-z0-9_*.-]+|[(),/]")

Selection = dict[str, "Selection"]


def select_fields(call: Call, reply: Reply) -> Reply:
    """
    Remove from *reply*, which is JSON, the fields that the request did not select.
    """
    requested = call.query.get("fields")
    if not requested or reply.content is not None or not reply.body:
        return reply
    reply.body = json.dumps(_selected(json.loads(reply.body), parse(requested)), ensure_ascii=False).encode()
    return reply


def parse(text: str) -> Selection:
    """
    Parse a selection such as ``a,b/c,d(e,f)``.

    Raises:
        ServiceError: The text is not a valid selection.
    """
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text.replace(" ", ""):
        raise _invalid(text)
    selection = _list(tokens, text)
    if tokens:
        raise _invalid(text)
    return selection


def _list(tokens: list[str], text: str) -> Selection:
    selection: Selection = {}
    while True:
        _merge(selection, _path(tokens, text))
        if not tokens or tokens[0] != ",":
            return selection
        tokens.pop(0)


def _path(tokens: list[str], text: str) -> Selection:
    if not tokens or tokens[0] in "(),/":
        raise _invalid(text)
    name, inner = tokens.pop(0), Selection()
    if tokens[:1] == ["/"]:
        tokens.pop(0)
        inner = _path(tokens, text)
    elif tokens[:1] == ["("]:
        tokens.pop(0)
        inner = _list(tokens, text)
        if tokens[:1] != [")"]:
            raise _invalid(text)
        tokens.pop(0)
    return {name: inner}


def _merge(selection: Selection, more: Selection) -> None:
    for name, inner in more.items():
        _merge(selection.setdefault(name, {}), inner)


def _selected(value: Any, selection: Selection) -> Any:
    if not selection or "*" in selection:
        return value
    if isinstance(value, list):
        return [_selected(one, selection) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _selected(value[name], inner) for name, inner in selection.items() if name in value}


def _invalid(text: str) -> ServiceError:
    return invalid(f"Invalid field selection {text}", "fields")
