"""
Checks the arguments of operations before anything is sent.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from asyncstore.driver import Driver
from asyncstore.encryption import Encryption
from asyncstore.errors import ConfigurationError, InvalidRequestError, InvalidURIError, NotSupportedError
from asyncstore.options import (
    PRESIGN_FIELDS,
    CopyOptions,
    DeleteOptions,
    PostOptions,
    PresignOptions,
    ReadOptions,
    UploadOptions,
    WriteOptions,
)
from asyncstore.types import is_weak
from asyncstore.uri import ObjectURI, URILike, is_known, parse_uri

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

_ReadT = TypeVar("_ReadT", bound=ReadOptions)
_CONTENT_HEADERS: Final = (
    "content_type",
    "content_encoding",
    "content_language",
    "content_disposition",
    "cache_control",
)


class Need(NamedTuple):
    """
    The capability that an option needs, and how errors call it.
    """

    capability: str
    words: str


#: What the options of each record need; the reference has a table of them.
READ_NEEDS: Final = {
    "version_id": Need("versions", "versions"),
    "encryption": Need("encryption_kinds", "encryption"),
    **dict.fromkeys(
        ("if_match", "if_none_match", "if_modified_since", "if_unmodified_since"),
        Need("conditional_read", "conditional reads"),
    ),
}
WRITE_NEEDS: Final = {
    "if_none_match": Need("conditional_create", "create-only writes"),
    "if_match": Need("conditional_replace", "if_match on writes"),
    "metadata": Need("metadata", "user metadata"),
    **dict.fromkeys(_CONTENT_HEADERS, Need("content_headers", "content headers")),
    "content_type": Need("content_type", "content types"),
    "tags": Need("tags", "tags"),
    "storage_class": Need("storage_classes", "storage classes"),
    "encryption": Need("encryption_kinds", "encryption"),
    **dict.fromkeys(("retention", "legal_hold"), Need("object_lock", "retention and legal holds of an object")),
    "acl": Need("acls", "access lists"),
    "checksum": Need("checksums", "checksums"),
}
COPY_NEEDS: Final = {
    **dict.fromkeys(("if_match", "if_none_match"), Need("conditional_copy", "copy with conditions")),
    "source_version_id": Need("versions", "versions"),
    "storage_class": Need("storage_classes", "storage classes"),
    "tags": Need("tags", "tags"),
    "encryption": Need("encryption_kinds", "encryption"),
    "source_encryption": Need("copy_from_key", "copies from a source with a customer's key"),
    **dict.fromkeys(("retention", "legal_hold"), Need("object_lock", "retention and legal holds of an object")),
    "acl": Need("acls", "access lists"),
}
PRESIGN_NEEDS: Final = {
    "checksum": Need("checksums", "checksums"),
    "if_none_match": Need("conditional_create", "create-only writes"),
    "range": Need("ranges", "ranges"),
    "version_id": Need("versions", "versions"),
    **dict.fromkeys(("upload_id", "part_number"), Need("multipart", "multipart uploads")),
}
POST_NEEDS: Final = {item.name: Need("presign_post", "presigned forms") for item in fields(PostOptions)}
DELETE_NEEDS: Final = {
    "if_match": Need("conditional_delete", "delete with if_match"),
    "version_id": Need("versions", "versions"),
    "bypass_retention": Need("bypass_retention", "deletions that bypass a retention"),
}


class Checks:
    """
    Checks arguments against a storage's root and its driver's capabilities.

    Attributes:
        closed: Set when the storage is closed; every check then raises.

    Args:
        wrapped: The checks of the storage that is wrapped, if any: both work in one event loop.
    """

    def __init__(self, driver: Driver, root: ObjectURI, wrapped: Checks | None = None) -> None:
        self.closed = False
        self._wrapped = wrapped
        self._loop: asyncio.AbstractEventLoop | None = None
        self._driver = driver
        self._root = root

    def object(self, uri: URILike) -> ObjectURI:
        """
        Return the URI of an object of this storage; text without a scheme is a key below the root.

        Raises:
            InvalidURIError: It belongs to another provider, has no key, or
                its key is longer than the provider allows.
            RuntimeError: The storage is closed.
        """
        target = self.prefix(uri)
        if not uri:
            raise InvalidURIError("the key is empty: give the key of an object, relative to the storage's root")
        if not target.key:
            raise InvalidURIError(f"{uri} is not the URI of an object: join a key to it")
        limit = self._driver.capabilities.max_key_bytes
        if len(target.key) > limit // 4 and (size := len(target.key.encode())) > limit:
            raise InvalidURIError(
                f"the key {target.key[:60]}... has {size} bytes, and {self._driver.provider} allows {limit}"
            )
        return target

    def target(self, uri: URILike) -> ObjectURI:
        """
        Return the URI of an object that is written or deleted, as :meth:`object` does.

        Raises:
            StorageError: The driver refuses to write there.
        """
        target = self.object(uri)
        self._driver.check_target(target)
        return target

    def prefix(self, uri: URILike) -> ObjectURI:
        """
        Return the URI of an object, a prefix or the whole bucket.
        """
        target = self.parse(uri)
        if target.provider != self._root.provider:
            raise self._foreign(uri)
        return target

    def start(self, prefix: URILike | None) -> ObjectURI:
        """
        Return the prefix of a listing: *prefix* as it is, or by default all that is under the root.
        """
        if prefix is not None:
            return self.prefix(prefix)
        root = self.prefix(self._root)
        # Objects are named root / key, with a slash in between: "models-old/a" is not under "models".
        return root if not root.key or root.key.endswith("/") else root.with_key(f"{root.key}/")

    def parse(self, uri: URILike) -> ObjectURI:
        """
        Return a URI of this storage or of any known provider.

        Raises:
            InvalidURIError: *uri* is not a URI, or has an unknown scheme.
            ConfigurationError: The storage is in use in another event loop.
            RuntimeError: The storage is closed.
        """
        if self.closed:
            raise RuntimeError("the storage is closed")
        try:
            if asyncio.get_running_loop() is not self._loop:
                self.bind(asyncio.get_running_loop())
        except RuntimeError:
            # Nothing is sent yet where no loop is running.
            pass
        if isinstance(uri, ObjectURI):
            return uri if uri.base == self._root.base else uri.below(self._root)
        if not isinstance(uri, str):
            return parse_uri(uri)
        scheme, separator, _ = uri.partition("://")
        if not separator:
            return self._relative(uri)
        # Parsing an unknown scheme would read files, which blocks the event loop.
        if scheme != self._root.provider and not is_known(scheme):
            raise self._foreign(uri)
        return parse_uri(uri).below(self._root)

    def _relative(self, key: str) -> ObjectURI:
        scheme, colon, rest = key.partition(":")
        if colon and rest.startswith("/") and is_known(scheme):
            raise InvalidURIError(
                f"{key!r} is neither a URI nor a key: write {scheme}:/{rest}, or join the key: storage.root / key"
            )
        return self._root / key

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """
        Work in *loop* from now on, with the storage that is wrapped.

        Raises:
            ConfigurationError: It is in use in another event loop.
        """
        # The tasks of two loops, in two threads, would wait for each other without ever waking up.
        if self._loop not in (None, loop) and self._loop.is_running():
            raise ConfigurationError("this storage is in use in another event loop: open one storage for each loop")
        if self._wrapped is not None:
            self._wrapped.bind(loop)
        self._loop = loop

    def _foreign(self, uri: URILike) -> InvalidURIError:
        return InvalidURIError(f"{uri} is not in this storage, whose root is {self._root}")

    def read(self, options: _ReadT, kind: type[ReadOptions] = ReadOptions) -> _ReadT:
        """
        Return *options* if they are of *kind* and the provider supports all of them.
        """
        check_type(options, kind)
        self._support(options, READ_NEEDS)
        self._key(options.encryption, "a read")
        return options

    def read_without_range(self, options: ReadOptions, verb: str) -> ReadOptions:
        """
        Return *options* as :meth:`read` does; refuse a range, which means nothing to *verb*.
        """
        if self.read(options).range is not None:
            raise InvalidRequestError(f"{verb}() takes no options.range, and was given {options.range}")
        return options

    def write(self, options: WriteOptions, kind: type[WriteOptions] = UploadOptions) -> None:
        """
        Refuse *options* of a write that are not of *kind*, or that the provider does not support.
        """
        check_type(options, kind)
        self._support(options, WRITE_NEEDS)
        able = self._driver.capabilities
        if options.checksum is not None:
            self.require(f"{options.checksum} checksums", options.checksum in able.checksums)
        self.tags(options.tags)
        self._encryption(options.encryption)
        self._acl(options.acl)
        size = sum(len(key.encode()) + len(value.encode()) for key, value in options.metadata.items())
        if size > able.max_metadata_bytes:
            raise InvalidRequestError(
                f"the metadata has {size} bytes, and {self._driver.provider} allows {able.max_metadata_bytes}"
            )

    def copy(self, options: CopyOptions) -> None:
        """
        Refuse *options* of a copy that the provider does not support.
        """
        check_type(options, CopyOptions)
        self.require("copy", self._driver.capabilities.copy)
        self._support(options, COPY_NEEDS)
        self.tags(options.tags or {})
        self._encryption(options.encryption)
        self._key(options.source_encryption, "source_encryption")
        self._acl(options.acl)
        if (new := options.replace) is not None:
            self.write(new, WriteOptions)
            able = self._driver.capabilities.copy_replace
            self.require("copies with other content headers", able, *(getattr(new, name) for name in _CONTENT_HEADERS))
            self.require("copies without metadata", able, not new.metadata)

    def tags(self, tags: Mapping[str, str]) -> None:
        """
        Refuse more tags than the provider allows.
        """
        most = self._driver.capabilities.tags
        if len(tags) > most:
            raise InvalidRequestError(f"{self._driver.provider} allows {most} tags, not {len(tags)}")

    def _acl(self, acl: str | None) -> None:
        """
        Refuse an access list that the provider does not have.
        """
        if acl is not None:
            acls = self._driver.capabilities.acls
            self.require(f"the access list {acl!r}: it has {', '.join(sorted(acls))}", acl in acls)

    def _encryption(self, encryption: Encryption | None) -> None:
        """
        Refuse a kind of encryption that the provider does not have.
        """
        if encryption is not None:
            kinds = self._driver.capabilities.encryption_kinds
            words = encryption.kind.replace("_", " ")
            has = ", ".join(sorted(kind.replace("_", " ") for kind in kinds))
            self.require(f"encryption of the kind {words}: it has {has}", encryption.kind in kinds)

    def _key(self, encryption: Encryption | None, what: str) -> None:
        self._encryption(encryption)
        if encryption is not None and encryption.key is None:
            raise InvalidRequestError(
                f"{what} takes Encryption.customer_key(key) only: everything else the service decrypts by itself"
            )

    def delete(self, options: DeleteOptions) -> None:
        """
        Refuse *options* of a deletion that the provider does not support.
        """
        check_type(options, DeleteOptions)
        self._support(options, DELETE_NEEDS)

    def presign(self, method: str, options: PresignOptions) -> PresignOptions:
        """
        Return *options* if a URL for *method* has use for all of them and the provider can bind them.
        """
        check_type(options, PresignOptions)
        able = self._driver.capabilities
        # A method that is none is refused by the driver, which knows which it signs.
        known = PRESIGN_FIELDS.get(method, options.chosen)
        for name in sorted(options.chosen):
            if name not in known:
                methods = " or ".join(other for other, names in PRESIGN_FIELDS.items() if name in names)
                raise InvalidRequestError(f"{name} is for URLs to {methods}, not to {method}")
            self.require(f"presigned URLs with {name}", name in able.presign_options)
        self._support(options, PRESIGN_NEEDS)
        if options.checksum is not None:
            algorithm = options.checksum.algorithm
            self.require(f"{algorithm} checksums", algorithm in able.checksums)
        return options

    def _support(self, options: Any, needs: Mapping[str, Need]) -> None:
        able = self._driver.capabilities
        for name, need in needs.items():
            if not getattr(able, need.capability):
                self.require(need.words, False, getattr(options, name))

    def require(self, what: str, able: bool, *asked: Any) -> None:
        """
        Refuse *what* if the provider is not *able* to do it and any value in *asked* is set.
        """
        if not able and (not asked or any(asked)):
            raise NotSupportedError(f"{self._driver.provider} does not support {what}", provider=self._driver.provider)


def check_type(options: object, kind: type) -> None:
    """
    Raise a :class:`TypeError` if *options* are those of another operation.
    """
    if not isinstance(options, kind):
        raise TypeError(f"options must be {kind.__name__}, not {type(options).__name__}")
    for item in fields(kind):
        value = getattr(options, item.name)
        check_text(item.name, value)
        if item.name in ("if_match", "source_if_match"):
            check_match(item.name, value)


def check_text(name: str, value: object) -> None:
    """
    Raise an :class:`InvalidRequestError` if the argument *name*, or a text in it, cannot be encoded as UTF-8.

    Python has such text for file names that are not UTF-8: it contains lone surrogates.
    """
    if isinstance(value, str):
        if not value.isascii() and _SURROGATE.search(value):
            raise InvalidRequestError(f"{name} has a lone surrogate, which UTF-8 does not have: {value!r}")
    elif isinstance(value, Mapping):
        for key, text in value.items():
            check_text(name, key)
            check_text(name, text)
    elif isinstance(value, WriteOptions | ReadOptions):
        check_type(value, type(value))


def local_path(name: str, value: str | os.PathLike[str]) -> Path:
    """
    Return the argument *name* as a path; raise a :class:`TypeError` if it is none.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} takes a path, not {type(value).__name__}")
    return value if isinstance(value, Path) else Path(value)


def check_match(name: str, etag: str | None) -> None:
    """
    Raise an :class:`InvalidRequestError` if *etag* is weak, and so matches nothing.
    """
    if etag is not None and is_weak(etag):
        raise InvalidRequestError(
            f"{name} takes a strong ETag, and {etag} is weak: it matches no object "
            "(https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1)"
        )
