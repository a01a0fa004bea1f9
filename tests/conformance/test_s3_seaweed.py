"""
The shared contract, on S3: SeaweedFS, which is strict about sizes, signatures and checksums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from tests.conformance.s3 import S3Conformance
from tests.servers.s3 import S3Server


@pytest.fixture(scope="module")
def server(seaweed: S3Server) -> S3Server:
    return seaweed


class TestSeaweed(S3Conformance):
    """
    Over http.
    """

    quirks: ClassVar[Mapping[str, str]] = {}
