"""
Where objects are on the server, in both of its APIs.

https://cloud.google.com/storage/docs/request-endpoints
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from asyncstore.auth.goog4 import encode_name
from asyncstore.errors import InvalidURIError
from asyncstore.uri import ObjectURI

#: Objects of our own: the parts of uploads that are composed. Listings leave them out.
HIDDEN: Final = ".asyncstore-multipart/"

_ACME: Final = ".well-known/acme-challenge/"


def bucket_path(uri: ObjectURI, root: str = "/storage/v1") -> str:
    """
    Return the path of the objects of a bucket in the JSON API.
    """
    return f"{root}/b/{_encoded_bucket(uri.bucket)}/o"


def object_path(uri: ObjectURI) -> str:
    """
    Return the path of an object in the JSON API, where a slash in its name is no separator.
    """
    return f"{bucket_path(uri)}/{quote(uri.key, safe='')}"


def xml_path(uri: ObjectURI) -> str:
    """
    Return the path of an object in the XML API; of the bucket if there is no key.
    """
    bucket = _encoded_bucket(uri.bucket)
    return f"/{bucket}/{encode_name(uri.key)}" if uri.key else f"/{bucket}"


@lru_cache(maxsize=64)
def _encoded_bucket(name: str) -> str:
    return quote(name, safe="")


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """
    Percent-encode names and values into a query string, in the order given.
    """
    # What is asked for of a reply is one of a few texts, and takes longer than all the rest.
    return "&".join([f"{name}={_fixed(value) if name == 'fields' else quote(value, safe='')}" for name, value in pairs])


@lru_cache(maxsize=16)
def _fixed(value: str) -> str:
    return quote(value, safe="")


def check_name(uri: ObjectURI) -> None:
    """
    Refuse a name that GCS gives to no object.

    https://cloud.google.com/storage/docs/objects#naming

    Raises:
        InvalidURIError: It is such a name.
    """
    key = uri.key
    if "\r" in key or "\n" in key:
        raise InvalidURIError(f"GCS has no names with a line end: {key!r}")
    if key in (".", ".."):
        raise InvalidURIError(f"GCS has no object named {key!r}")
    if key.startswith(_ACME):
        raise InvalidURIError(f"GCS has no objects under {_ACME}")
