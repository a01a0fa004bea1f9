"""
Predefined access lists of objects.

`Predefined ACLs <https://cloud.google.com/storage/docs/access-control/lists#predefined-acl>`_
"""

from __future__ import annotations

from typing import Final

from asyncstore.testing.servers.gcs.errors import invalid

_READERS: Final[dict[str, list[str]]] = {
    "private": [],
    "publicRead": ["allUsers"],
    "authenticatedRead": ["allAuthenticatedUsers"],
    "projectPrivate": ["project-viewers-0"],
    "bucketOwnerRead": ["project-owners-0"],
    "bucketOwnerFullControl": [],
}


def entries(predefined: str) -> list[dict[str, str]]:
    """
    Return the access list that the JSON API calls *predefined*.
    """
    if predefined not in _READERS:
        raise invalid(f"Invalid value for: {predefined} is not a predefined ACL", "predefinedAcl")
    return [{"entity": entity, "role": "READER"} for entity in _READERS[predefined]]


def of_header(value: str) -> list[dict[str, str]]:
    """
    Return the access list that the XML API calls *value*.
    """
    first, *rest = value.split("-")
    return entries(first + "".join(map(str.capitalize, rest)))
