"""
The parts of the conformance suite that TLS or a token can affect, on Azurite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import aiohttp
import pytest

from asyncstore.testing.conformance.access import Access
from asyncstore.testing.conformance.copying import Copying
from asyncstore.testing.conformance.deleting import Deleting
from asyncstore.testing.conformance.keys import Keys
from asyncstore.testing.conformance.multipart import Multipart
from asyncstore.testing.conformance.ranges import Ranges
from tests.conformance.azure import AzureHarness
from tests.conformance.test_azure_azurite import QUIRKS
from tests.servers.azure import AzureServer, FakeCredential, trusting
from tests.servers.azure_quirks import BLOCK_SOURCE, SENTENCES


@pytest.fixture(scope="module")
def server(azurite_tls: AzureServer) -> AzureServer:
    return azurite_tls


def _quirks_of(*groups: type) -> dict[str, str]:
    names = {name for group in groups for name in dir(group)}
    return {name: why for name, why in QUIRKS.items() if name.startswith("[") or name.partition("[")[0] in names}


class TestAzuriteOverTLS(AzureHarness, Access, Ranges, Multipart):
    """
    Requests with and without a body, replies in one chunk and in several.
    """

    quirks: ClassVar[Mapping[str, str]] = _quirks_of(Access, Ranges, Multipart)


class TestAzuriteWithAToken(AzureHarness, Access, Copying, Deleting, Multipart, Keys):
    """
    With a Microsoft Entra token, which authenticates copies, batches and presigned URLs in other ways.
    """

    quirks: ClassVar[Mapping[str, str]] = {
        **_quirks_of(Access, Copying, Deleting, Multipart, Keys),
        "test_copy_to_itself_changes_attributes": SENTENCES[BLOCK_SOURCE],
        "test_large_copy": SENTENCES[BLOCK_SOURCE],
        "test_large_copy_of_one_version": SENTENCES[BLOCK_SOURCE],
        "test_large_copy_to_an_existing_object": SENTENCES[BLOCK_SOURCE],
    }

    @pytest.fixture
    def credentials(self) -> dict[str, Any]:
        return {"credential": FakeCredential()}

    @pytest.fixture(autouse=True)
    def _trusting(self, server: AzureServer) -> None:
        self._server = server

    def http_session(self) -> aiohttp.ClientSession:
        return trusting(self._server)
