"""
User metadata as Azure keeps it.

Names have to be identifiers of C#, so other characters are written ``_xHHHH_``, by
the number of their UTF-16 unit, as .NET does where XML has the same need
(``XmlConvert.EncodeName``): ``with-dash`` is stored as ``with_x002d_dash``. Values
are ASCII; others are sent by RFC 2047. Both are undone on reading.
https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from asyncstore.http.values import decode_value, encode_value

_PREFIX: Final = "x-ms-meta-"

# What no identifier has there, and an underscore that would be read as the start of one of ours.
_OUTSIDE: Final = re.compile(r"^[0-9]|[^A-Za-z0-9_]|_(?=x[0-9a-f]{4}_)", re.DOTALL)
_ESCAPED: Final = re.compile(r"(?:_x[0-9a-f]{4}_)+")


def metadata_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    """
    Return *metadata* as headers of a write.
    """
    return {_PREFIX + encode_name(name): encode_value(value) for name, value in metadata.items()}


def user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Return the metadata that a reply tells.
    """
    # Most blobs have none, and one look at the names tells.
    if "-meta-" not in " ".join(headers).lower():
        return {}
    return {
        decode_name(lower[len(_PREFIX) :]): decode_value(value)
        for name, value in headers.items()
        if (lower := name.lower()).startswith(_PREFIX)
    }


def encode_name(name: str) -> str:
    """
    Return a name that is an identifier, and can be told back.
    """
    return _OUTSIDE.sub(lambda match: "".join(f"_x{unit:04x}_" for unit in _units(match[0])), name)


def decode_name(name: str) -> str:
    """
    Return the name that was meant; one that is not of ours is itself.
    """
    return _ESCAPED.sub(_decoded, name) if "_x" in name else name


def _decoded(match: re.Match[str]) -> str:
    units = bytes.fromhex(match[0].replace("_x", "").replace("_", ""))
    try:
        return units.decode("utf-16-be")
    except UnicodeDecodeError:
        return match[0]


def _units(character: str) -> list[int]:
    encoded = character.encode("utf-16-be")
    return [int.from_bytes(encoded[i : i + 2], "big") for i in range(0, len(encoded), 2)]
