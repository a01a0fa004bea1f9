"""
What callers give is checked before anything is sent.
"""

from __future__ import annotations

from typing import Any, TypeVar

from asyncstore.driver import Driver
from asyncstore.errors import InvalidRequestError, InvalidURIError, NotSupportedError
from asyncstore.options import ReadOptions, WriteOptions
from asyncstore.uri import ObjectURI, URILike, parse_uri

_ReadT = TypeVar("_ReadT", bound=ReadOptions)


class Checks:
    """
    Holds arguments against a storage's root and its driver's capabilities.

    Attributes:
        closed: Set when the storage is closed; nothing passes from then on.
    """

    def __init__(self, driver: Driver, root: ObjectURI) -> None:
        self.closed = False
        self._driver = driver
        self._root = root

    def object(self, uri: URILike) -> ObjectURI:
        """
        Return the URI of an object of this storage.

        Raises:
            InvalidURIError: It is none, is another provider's, has no key, or a key
                longer than the provider allows.
            RuntimeError: The storage is closed.
        """
        target = self.prefix(uri)
        if not target.key:
            raise InvalidURIError(f"{uri} names no object: join a key to it")
        limit = self._driver.capabilities.max_key_bytes
        if len(target.key) > limit // 4 and (size := len(target.key.encode())) > limit:
            raise InvalidURIError(
                f"the key has {size} bytes, and {self._driver.provider} allows {limit}: {target.key[:60]}..."
            )
        return target

    def prefix(self, uri: URILike) -> ObjectURI:
        """
        Return the URI of an object, a prefix or the whole bucket.
        """
        target = self.parse(uri)
        if target.provider != self._root.provider:
            raise InvalidURIError(f"{target} is not on this storage, which is {self._root}")
        return target

    def parse(self, uri: URILike) -> ObjectURI:
        """
        Return the URI of anything, on this storage or elsewhere.
        """
        if self.closed:
            raise RuntimeError("the storage is closed")
        return uri if isinstance(uri, ObjectURI) else parse_uri(uri)

    def read(self, options: _ReadT) -> _ReadT:
        """
        Return *options* if the provider can do all that they ask.
        """
        able = self._driver.capabilities
        self.require("versions", able.versions, options.version_id)
        conditions = (options.if_match, options.if_none_match, options.if_modified_since, options.if_unmodified_since)
        self.require("conditional reads", able.conditional_read, *conditions)
        return options

    def write(self, options: WriteOptions) -> None:
        """
        Refuse *options* of a write that the provider cannot keep.
        """
        able = self._driver.capabilities
        self.require("create-only writes", able.conditional_create, options.if_none_match)
        self.require("if_match on writes", able.conditional_replace, options.if_match)
        self.require("user metadata", able.metadata, bool(options.metadata))
        self.require("content types", able.content_type, options.content_type)
        self.require("content headers", able.content_headers, *_content_headers(options))
        self.require("storage classes", able.storage_classes, options.storage_class)
        if options.checksum is not None:
            self.require(f"{options.checksum} checksums", options.checksum in able.checksums)
        size = sum(len(key.encode()) + len(value.encode()) for key, value in options.metadata.items())
        if size > able.max_metadata_bytes:
            raise InvalidRequestError(
                f"the metadata has {size} bytes, and {self._driver.provider} allows {able.max_metadata_bytes}"
            )

    def replace(self, options: WriteOptions) -> None:
        """
        Refuse what a copy is to be stored with that the provider cannot give it.
        """
        self.write(options)
        able = self._driver.capabilities.copy_replace
        self.require("copy with other content headers", able, options.content_type, *_content_headers(options))
        self.require("copy without metadata", able, not options.metadata)

    def require(self, what: str, able: bool, *asked: Any) -> None:
        """
        Refuse *what* the provider is not *able* to do, if any of *asked* is set.
        """
        if not able and (not asked or any(asked)):
            raise NotSupportedError(f"{self._driver.provider} has no {what}", provider=self._driver.provider)


def _content_headers(options: WriteOptions) -> tuple[str | None, ...]:
    return (
        options.content_encoding,
        options.content_language,
        options.content_disposition,
        options.cache_control,
    )
