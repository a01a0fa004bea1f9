"""
The shared contract, on S3: ministack, which is exact about names of keys and their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from tests.conformance.s3 import S3Conformance
from tests.servers.s3 import S3Server


@pytest.fixture(scope="module")
def server(ministack: S3Server) -> S3Server:
    return ministack


class TestMinistack(S3Conformance):
    """
    Over http.
    """

    quirks: ClassVar[Mapping[str, str]] = {}
