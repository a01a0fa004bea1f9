"""
What a cache keeps: the bytes of one reply to a read, with the metadata of the object.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple

from asyncstore.driver import BytesLike, ReadBody
from asyncstore.options import ReadOptions
from asyncstore.retention import Retention
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import ObjectURI


class Request(NamedTuple):
    """
    What was asked for: an object, a version of it, or a range.

    Attributes:
        start: As in :class:`~asyncstore.ByteRange`; ``None`` for the whole object.
    """

    uri: str
    version_id: str | None = None
    start: int | None = None
    end: int | None = None

    @classmethod
    def of(cls, uri: ObjectURI, options: ReadOptions) -> Request:
        """
        Return what a read with *options* asks for.
        """
        part = options.range
        if part is None:
            return cls(str(uri), options.version_id)
        return cls(str(uri), options.version_id, part.start, part.end)

    @property
    def whole(self) -> Request:
        """The request of the whole object."""
        return self._replace(start=None, end=None)


@dataclass(frozen=True, slots=True)
class Head:
    """
    What is known of a reply before its first byte.

    Attributes:
        info: The whole object.
        start: Offset of the first byte of the reply.
        end: Offset after its last byte.
    """

    info: Metadata
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes of the reply."""
        return self.end - self.start


class Entry(ABC):
    """
    A reply in the cache, opened.

    Attributes:
        request: What it is the reply to.
        head: What the reply began with.
        checked: Unix time at which the service last said that it is current.
    """

    request: Request
    head: Head
    checked: float

    @abstractmethod
    def body(self, uri: ObjectURI, start: int, end: int) -> ReadBody:
        """
        Return the bytes from *start* to *end* of the object, which the entry has; closing it closes the entry.
        """

    @abstractmethod
    def close(self) -> None:
        """
        Release what the entry holds; may be called twice.
        """


class Recorder(ABC):
    """
    Takes the bytes of one reply, and keeps them if all have come.

    Attributes:
        wanted: Cleared when the object is written meanwhile: nothing is kept then.
    """

    wanted: bool = True

    @abstractmethod
    def write(self, data: BytesLike) -> None:
        """
        Take the next bytes, whose memory may be reused later.
        """

    @abstractmethod
    def commit(self) -> None:
        """
        Keep what was written, if it is :attr:`wanted`.
        """

    @abstractmethod
    def discard(self) -> None:
        """
        Forget what was written.
        """


class Cache(ABC):
    """
    Where entries are. Its methods may be called by several threads at once.

    Attributes:
        blocking: Whether the methods, and those of recorders, use a disk, so that they are called in threads.
    """

    blocking: ClassVar[bool] = True

    @abstractmethod
    def find(self, requests: Sequence[Request]) -> Entry | None:
        """
        Return the entry of the first of *requests* that there is, opened and marked as used now.
        """

    @abstractmethod
    def recorder(self, request: Request, head: Head) -> Recorder | None:
        """
        Return what records a reply; ``None`` if it is too large.
        """

    @abstractmethod
    def mark(self, request: Request) -> None:
        """
        Note that the service has just said that the entry is current.
        """

    @abstractmethod
    def forget(self, uris: Iterable[str]) -> None:
        """
        Remove all entries of objects.
        """

    @abstractmethod
    def __str__(self) -> str:
        """
        Say where the entries are.
        """

    @abstractmethod
    def clear(self) -> None:
        """
        Release what the cache holds in this process.
        """


_PLAIN: Final = (str, int, bool, type(None))


def encoded(info: Metadata) -> dict[str, Any]:
    """
    Return *info* without its URI, as JSON has it.
    """
    return {item.name: _encoded(getattr(info, item.name)) for item in fields(Metadata) if item.name != "uri"}


def decoded(values: dict[str, Any], uri: ObjectURI) -> Metadata:
    """
    Return the metadata in *values*.

    Raises:
        KeyError, TypeError, ValueError: They are not what :func:`encoded` returns.
    """
    known = {item.name: _decoded(values[item.name]) for item in fields(Metadata) if item.name != "uri"}
    return Metadata(uri=uri, **known)


def _encoded(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, Checksum):
        return {"algorithm": value.algorithm.value, "base64": value.base64()}
    if isinstance(value, Retention):
        return {"until": value.until.isoformat(), "mode": value.mode}
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Sequence):
        return [_encoded(item) for item in value]
    return {"text": dict(value)}


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decoded(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "time" in value:
        return datetime.fromisoformat(value["time"])
    if "until" in value:
        return Retention(datetime.fromisoformat(value["until"]), value["mode"])
    if "text" in value:
        return value["text"]
    checksum = Checksum.from_base64(ChecksumAlgorithm(value["algorithm"]), value["base64"])
    if checksum is None:
        raise ValueError(f"{value} is not a checksum")
    return checksum
