"""
Messages between a process and its workers: pickled, each after its length.
"""

from __future__ import annotations

import pickle
from asyncio import IncompleteReadError, StreamReader
from dataclasses import dataclass
from typing import Any, Final

from asyncstore.engine.shards.shard import Shard
from asyncstore.types import BulkResult, ProgressEvent
from asyncstore.uri import ObjectURI

_LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Start:
    """
    The first message to a worker: the pickled job, and how many workers share it.
    """

    job: bytes
    workers: int
    progress: bool


@dataclass(frozen=True, slots=True)
class Throttled:
    """
    The provider has throttled a worker: from that one to the process, and from there to the others.
    """


@dataclass(frozen=True, slots=True)
class Events:
    """
    Events of the progress of a shard, with its cumulative counts.
    """

    shard: int
    events: list[ProgressEvent]


@dataclass(frozen=True, slots=True)
class Uploads:
    """
    All multipart uploads that the worker has in progress.
    """

    uploads: dict[str, ObjectURI]


@dataclass(frozen=True, slots=True)
class Done:
    """
    The result of a shard.
    """

    shard: int
    result: BulkResult


@dataclass(frozen=True, slots=True)
class Failed:
    """
    A shard, or the job itself if *shard* is ``None``, has failed as a whole.
    """

    shard: int | None
    error: Exception


Message = Start | Shard | Throttled | Events | Uploads | Done | Failed


def encoded(message: Message) -> bytes:
    """
    Return *message* as bytes.
    """
    data = pickle.dumps(message)
    return len(data).to_bytes(_LENGTH_BYTES) + data


def portable(error: Exception) -> Exception:
    """
    Return *error*, or a :class:`RuntimeError` of its text if it cannot be pickled.
    """
    try:
        # Many exceptions are pickled without complaint, and cannot be unpickled.
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - whatever its methods raise
        return RuntimeError(repr(error))
    return error


async def receive(reader: StreamReader) -> Any:
    """
    Return the next message; ``None`` at the end.
    """
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
        return pickle.loads(await reader.readexactly(length))  # noqa: S301 - from our own process, by its pipe
    except (IncompleteReadError, ConnectionResetError):
        return None
