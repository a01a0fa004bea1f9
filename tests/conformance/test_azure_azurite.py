"""
The shared contract, on Azure: Azurite, the only server of it that can be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from tests.conformance.azure import AzureConformance
from tests.servers.azure import AzureServer


@pytest.fixture(scope="module")
def server(azurite: AzureServer) -> AzureServer:
    return azurite


class TestAzurite(AzureConformance):
    """
    Over http, by the account's key.
    """

    quirks: ClassVar[Mapping[str, str]] = {}
