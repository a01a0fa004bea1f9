"""
Patterns of names: the parameter ``matchGlob`` of a listing.

`Filtering by a glob <https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob>`_
"""

from __future__ import annotations

import re
from typing import Final

from asyncstore.testing.servers.gcs.errors import ServiceError, invalid

_TOKEN: Final = re.compile(r"\*+|\?|\[[!^]?\]?[^\]/]*\]|[{},]|\\.|.", re.DOTALL)
_SIMPLE: Final = {"*": "[^/]*", "?": "[^/]"}


def compiled(glob: str) -> re.Pattern[str]:
    """
    Return the expression that whole names match.

    ``*`` and ``?`` do not match a slash, ``**`` does; ``[a-c]`` is one of these characters, ``{a,b}`` one of
    these texts, and a backslash takes the next character as it is.

    Raises:
        ServiceError: *glob* is not valid.
    """
    pieces, depth = [], 0
    for item in _TOKEN.findall(glob):
        if item == "{":
            depth += 1
            pieces.append("(?:")
        elif item == "}" and depth:
            depth -= 1
            pieces.append(")")
        elif item == "," and depth:
            pieces.append("|")
        else:
            pieces.append(_expression(item, glob))
    if depth:
        raise _invalid(glob)
    return re.compile("".join(pieces), re.DOTALL)


def _expression(item: str, glob: str) -> str:
    if item in _SIMPLE:
        return _SIMPLE[item]
    if item.startswith("*"):
        return ".*"
    if item.startswith("["):
        return _character_class(item, glob)
    return re.escape(item[1:] if item.startswith("\\") and len(item) == 2 else item)


def _character_class(item: str, glob: str) -> str:
    if len(item) < 3:
        raise _invalid(glob)
    inner = item[1:-1]
    negated = inner[0] in "!^"
    members = inner[negated:].replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace("^", r"\^")
    try:
        re.compile(found := f"(?!/)[{'^' if negated else ''}{members}]")
    except re.error:
        raise _invalid(glob) from None
    return found


def _invalid(glob: str) -> ServiceError:
    return invalid(f"Invalid glob pattern: '{glob}'.", "matchGlob")
