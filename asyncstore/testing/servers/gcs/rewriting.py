"""
How far a rewrite has come.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from asyncstore.testing.servers.gcs.errors import invalid
from asyncstore.testing.servers.gcs.world import StoredObject, World
from asyncstore.testing.servers.gcs.writing import Writing

#: https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite#maxBytesRewrittenPerCall
_UNIT: Final = 1024 * 1024


@dataclass(slots=True)
class Rewrite:
    """
    A copy that takes several calls.
    """

    source: StoredObject
    writing: Writing
    rewritten: int = 0

    def same(self, other: Rewrite) -> bool:
        """
        Return whether *other* asks for the same copy.
        """
        return self.source is other.source and self.writing == other.writing


def progress(world: World, asked: Rewrite, token: str | None, per_call: int | None) -> tuple[str | None, int]:
    """
    Go on with a rewrite, or begin one.

    Returns:
        The token to go on with, or ``None`` when all is copied; and the bytes copied so far.
    """
    if per_call is not None and (per_call < _UNIT or per_call % _UNIT):
        raise invalid("maxBytesRewrittenPerCall must be an integral multiple of 1 MiB.", "maxBytesRewrittenPerCall")
    under_way = _under_way(world, asked, token)
    size = asked.source.content.size
    under_way.rewritten = min(size, under_way.rewritten + _step(world, per_call))
    if token is not None:
        del world.rewrites[token]
    if under_way.rewritten == size:
        return None, size
    new = uuid.uuid4().hex
    world.rewrites[new] = under_way
    return new, under_way.rewritten


def _under_way(world: World, asked: Rewrite, token: str | None) -> Rewrite:
    if token is None:
        return asked
    found = world.rewrites.get(token)
    if found is None or not found.same(asked):
        raise invalid("The rewrite token is not one of this rewrite.", "rewriteToken")
    return found


def _step(world: World, per_call: int | None) -> int:
    most = max(_UNIT, world.settings.rewrite_size)
    return most if per_call is None else min(per_call, most)
