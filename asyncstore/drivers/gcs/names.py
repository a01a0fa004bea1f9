"""
The paths of objects in both APIs, and the names that GCS accepts.

https://cloud.google.com/storage/docs/request-endpoints
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from asyncstore.auth.gcp.goog4 import encode_name
from asyncstore.errors import InvalidURIError
from asyncstore.uri import ObjectURI

#: The folder of our own objects, the parts of composed uploads. Listings leave it out.
HIDDEN: Final = ".asyncstore-multipart/"

_ACME: Final = ".well-known/acme-challenge/"


def bucket_path(uri: ObjectURI, root: str = "/storage/v1") -> str:
    """
    Return the path of the objects of a bucket in the JSON API.
    """
    return f"{root}/b/{_encoded_bucket(uri.bucket)}/o"


def object_path(uri: ObjectURI) -> str:
    """
    Return the path of an object in the JSON API, with the slashes of its name encoded.
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
    Return a query string of *pairs* in their order, with percent-encoded values.
    """
    # The value of "fields" is one of a few long texts, so its encoding is cached.
    return "&".join(
        [f"{name}={_encoded_fields(value) if name == 'fields' else quote(value, safe='')}" for name, value in pairs]
    )


@lru_cache(maxsize=16)
def _encoded_fields(value: str) -> str:
    return quote(value, safe="")


def is_hidden(key: str) -> bool:
    """
    Return whether *key* is that of one of our own objects.
    """
    return HIDDEN in key and (key.startswith(HIDDEN) or f"/{HIDDEN}" in key)


def check_name(uri: ObjectURI) -> None:
    """
    Refuse a key that GCS does not allow.

    https://cloud.google.com/storage/docs/objects#naming

    Raises:
        InvalidURIError: *uri* has such a key.
    """
    key = uri.key
    if "\r" in key or "\n" in key:
        raise InvalidURIError(f"GCS does not allow line breaks in object names: {key!r}")
    if key in (".", ".."):
        raise InvalidURIError(f"GCS does not allow an object named {key!r}")
    if key.startswith(_ACME):
        raise InvalidURIError(f"GCS does not allow objects under {_ACME}: {key!r}")
