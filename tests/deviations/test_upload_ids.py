"""
Ids and parts of multipart uploads that no service would take as they are meant: nothing is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from asyncstore import InvalidRequestError, Storage
from asyncstore.types import Part
from tests.deviations.server import opened, serving


async def _list_parts(storage: Storage) -> None:
    async for _ in storage.list_parts("t/k", ""):
        pass


WITHOUT_ID: Final[dict[str, Callable[[Storage], Awaitable[Any]]]] = {
    "upload_part": lambda storage: storage.upload_part("t/k", "", 1, b"data"),
    "complete": lambda storage: storage.complete_multipart_upload("t/k", "", [Part(1, "etag", 4)]),
    "abort": lambda storage: storage.abort_multipart_upload("t/k", ""),
    "list_parts": _list_parts,
}

every_provider = pytest.mark.parametrize("provider", ["s3", "gcs", "azure", "oci"])


@every_provider
@pytest.mark.parametrize("verb", WITHOUT_ID)
async def test_empty_id(provider: str, verb: str) -> None:
    """
    A server may take an empty parameter as none, and an abort as the deletion of the object.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        with pytest.raises(InvalidRequestError, match="upload_id is empty"):
            await WITHOUT_ID[verb](storage)

    assert not server.asked


@every_provider
async def test_number_that_is_given_twice(provider: str) -> None:
    """
    Which of the two parts was meant is not known.
    """
    parts = [Part(2, "a", 4), Part(1, "b", 4), Part(2, "c", 4)]
    async with serving(provider) as server, opened(provider, server.url) as storage:
        with pytest.raises(InvalidRequestError, match=r"more often: \[2\]"):
            await storage.complete_multipart_upload("t/k", "u", parts)

    assert not server.asked
