"""
The conformance suite on an Azure server: a container for each class, a prefix for each test.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from asyncstore.testing.conformance.harness import Harness
from tests.servers.azure import AzureServer

_numbers = itertools.count(1)


class AzureHarness(Harness):
    """
    Opens the storage of each test on the ``server`` of its module.

    Attributes:
        own_settings: Further settings of the storage.
    """

    storage_class: ClassVar[str | None] = "Cool"

    own_settings: ClassVar[Mapping[str, Any]] = {}
    # https://learn.microsoft.com/rest/api/storageservices/put-blob

    @pytest.fixture
    def credentials(self, server: AzureServer) -> dict[str, Any]:
        """The credentials: the account key, unless a class overrides it."""
        return {"account_key": server.account_key}

    @pytest.fixture
    async def storage(self, server: AzureServer, container: str, credentials: dict[str, Any]) -> AsyncIterator[Storage]:
        settings = {**server.place, **credentials, **self.own_settings}
        async with open_storage(f"azure://{container}/{next(_numbers)}/", **settings) as storage:
            yield storage


class AzureConformance(AzureHarness, StorageConformance):
    """
    The whole suite.
    """
