"""
The part of the blocking storage that is not a verb.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from asyncstore import storage as asynchronous
from asyncstore.sync.background import background
from asyncstore.sync.files import File, Items, Stream
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")


class StorageWrapper:
    """
    An asynchronous storage, whose verbs run in the background.

    Attributes:
        asynchronous: The storage that does the work. Its coroutines must run in the loop of :func:`run`.
    """

    def __init__(self, storage: asynchronous.Storage) -> None:
        if not isinstance(storage, asynchronous.Storage):
            raise TypeError(f"storage takes an asyncstore.Storage, not {type(storage).__name__}")
        self.asynchronous: Final = storage
        self._background: Final = background()
        self._background.open.add(storage)

    @property
    def root(self) -> ObjectURI:
        """What this storage was opened with; ``root / "any key"`` names an object."""
        return self.asynchronous.root

    def close(self) -> None:
        """
        Close the connections of the storage, its files and the storages that wrap it; may be called twice.
        """
        self._background.run(self.asynchronous.aclose)

    def __enter__(self) -> Self:
        self._background.run(self.asynchronous.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Self], tuple[asynchronous.Storage]]:
        return type(self), (self.asynchronous,)

    def __repr__(self) -> str:
        return f"<blocking storage {self.asynchronous.root}>"

    def _run(self, verb: Callable[..., Coroutine[Any, Any, _T]], /, *args: Any, **kwargs: Any) -> _T:
        return self._background.run(lambda: verb(*map(inner, args), **kwargs))

    def _items(self, verb: Callable[..., AsyncIterator[_T]], /, *args: Any, **kwargs: Any) -> Items[_T]:
        return Items(self._background, lambda: verb(*args, **kwargs))


def inner(value: Any) -> Any:
    """
    Return the asynchronous object of *value*, a blocking one, or *value* itself.
    """
    return value.asynchronous if isinstance(value, StorageWrapper | Stream | File) else value


def run(start: Callable[..., Coroutine[Any, Any, _T]], /, *args: Any, **kwargs: Any) -> _T:
    """
    Call a coroutine function in the background loop, and return its result.

    For what has no blocking form, such as a coroutine of yours that uses ``storage.asynchronous``. An exception in
    the waiting thread, such as ``KeyboardInterrupt``, cancels it and waits for its clean-up.

    Args:
        args: Its arguments; blocking storages, streams and files among them become the asynchronous ones.

    Raises:
        RuntimeError: This is called in the background loop itself.
    """
    return background().run(lambda: start(*map(inner, args), **{name: inner(value) for name, value in kwargs.items()}))


def items(start: Callable[..., AsyncIterator[_T]], /, *args: Any, **kwargs: Any) -> Items[_T]:
    """
    Return a blocking iterator over what an asynchronous generator function yields; see :func:`run`.
    """
    return Items(background(), lambda: start(*map(inner, args), **kwargs))
