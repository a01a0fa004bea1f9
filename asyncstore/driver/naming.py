"""
Names the object of an error, where a request is about another one than its operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asyncstore.errors import StorageError
from asyncstore.uri import ObjectURI


@contextmanager
def naming(uri: ObjectURI) -> Iterator[None]:
    """
    Let errors that name no object yet name *uri*, such as the target of a copy; the engine names the source.
    """
    try:
        yield
    except StorageError as exc:
        exc.uri = exc.uri or str(uri)
        raise
