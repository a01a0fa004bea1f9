"""
A copy that is gone when it is looked at: the error names it, and not its source.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncstore import NotFoundError, Storage
from tests.deviations.good_replies import Asked, Said
from tests.deviations.hostile import Sending
from tests.deviations.server import opened, serving


@pytest.mark.parametrize("verb", [Storage.copy, Storage.move], ids=["copy", "move"])
@pytest.mark.parametrize("provider", ["s3", "azure", "oci"])
async def test_missing_copy(provider: str, verb: Callable[..., Awaitable[Any]]) -> None:
    """
    The copy was reported as made, and is not there; GCS describes it in the reply to the copy itself.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        if asked.method == "HEAD" and asked.path.endswith("target"):
            return Said(404), Sending()
        said = server.good(asked)
        if provider == "azure":
            # Append blobs are copied asynchronously, and then looked at.
            said.headers["x-ms-blob-type"] = "AppendBlob"
            said.headers["x-ms-copy-id"], said.headers["x-ms-copy-status"] = "1", "pending"
        return said, Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        with pytest.raises(NotFoundError) as failure:
            await verb(storage, "source", "target")
        assert str(storage.root / "target") == failure.value.uri
