"""
The shared contract, on S3: SeaweedFS, which is strict about sizes, signatures and checksums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.conformance.s3 import S3Conformance


class TestSeaweed(S3Conformance):
    """
    Over http.
    """

    server_fixture: ClassVar[str] = "seaweed"
    quirks: ClassVar[Mapping[str, str]] = {}
