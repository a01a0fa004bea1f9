"""
Assigns the errors in the reply to a batch deletion to its keys.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

from asyncstore.errors import StorageError
from asyncstore.uri import ObjectURI


def outcomes_by_key(
    uris: Sequence[ObjectURI], failed: Iterable[tuple[str | None, StorageError]]
) -> list[StorageError | None]:
    """
    Return an outcome for each of *uris*: its error in *failed*, or ``None`` if it was deleted.

    Servers name keys percent-encoded, without their first slash, or not at all. If an error cannot be
    assigned to one key, any key without an error of its own may be the one that still exists, so none of
    them counts as deleted.
    """
    indexes = _Keys(uris)
    outcomes: list[StorageError | None] = [None] * len(uris)
    stray: list[tuple[str | None, StorageError]] = []
    for key, error in failed:
        found = indexes.named(key)
        if not found:
            stray.append((key, error))
        for index in found:
            outcomes[index] = error
    if stray:
        key, error = stray[0]
        named = "no key" if key is None else f"the key {key!r}, which was not sent"
        error.message = f"{error.message} (the reply names {named}, so it is not known which object it means)"
        return [copy.copy(error) if outcome is None else outcome for outcome in outcomes]
    return outcomes


class _Keys:
    """
    Where each key is in a batch.
    """

    def __init__(self, uris: Sequence[ObjectURI]) -> None:
        self._exact: dict[str, list[int]] = {}
        self._loose: dict[str, list[int]] = {}
        for index, uri in enumerate(uris):
            self._exact.setdefault(_line_ends(uri.key), []).append(index)
            self._loose.setdefault(_bare(uri.key), []).append(index)
        self._only = [0] if len(uris) == 1 else []

    def named(self, key: str | None) -> Sequence[int]:
        """
        Return the places of the key that a reply calls *key*; none if that may be several.
        """
        if key is None:
            return self._only
        if found := self._exact.get(_line_ends(key)):
            return found
        candidates = {place for text in (key, unquote(key)) for place in self._loose.get(_bare(text), ())}
        return [*candidates] if len(candidates) == 1 else self._only


def _bare(key: str) -> str:
    return _line_ends(key).removeprefix("/")


def _line_ends(key: str) -> str:
    # XML parsers normalize line ends that the server did not escape.
    return key.replace("\r\n", "\n").replace("\r", "\n")
