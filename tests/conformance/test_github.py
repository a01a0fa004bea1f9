"""
The shared contract, on GitHub releases.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Final

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer

_numbers = itertools.count(1)


class TestGitHubDrafts(StorageConformance):
    """
    Drafts, which have no git tags, so that there may be ``a/b`` beside ``a``.
    """

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with GitHubServer(rate_limit=1_000_000) as server:
            async with open_storage(
                f"github://octocat/hello/releases/{next(_numbers)}/",
                endpoint_url=server.api_url,
                token=FAKE_TOKEN,
                create_release=True,
                draft=True,
            ) as storage:
                yield storage
