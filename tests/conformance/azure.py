"""
The shared contract on an Azure server: a container for each class, a prefix for each test.
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


class AzurePlaces(Harness):
    """
    Where the tests find their storage: on the ``server`` of their module.

    Attributes:
        own_settings: Further settings of the storage.
    """

    own_settings: ClassVar[Mapping[str, Any]] = {}
    # https://learn.microsoft.com/rest/api/storageservices/put-blob
    signed_put_headers: ClassVar[Mapping[str, str]] = {"x-ms-blob-type": "BlockBlob"}

    @pytest.fixture
    def let_in_by(self, server: AzureServer) -> dict[str, Any]:
        """What lets requests in: the account's key, unless a class has another."""
        return {"account_key": server.account_key}

    @pytest.fixture
    async def storage(self, server: AzureServer, container: str, let_in_by: dict[str, Any]) -> AsyncIterator[Storage]:
        settings = {**server.place, **let_in_by, **self.own_settings}
        async with open_storage(f"azure://{container}/{next(_numbers)}/", **settings) as storage:
            yield storage


class AzureConformance(AzurePlaces, StorageConformance):
    """
    All of the contract.
    """
