"""
The shared contract, on S3: ministack, which is exact about names of keys and their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.conformance.s3 import S3Conformance


class TestMinistack(S3Conformance):
    """
    Over http.
    """

    server_fixture: ClassVar[str] = "ministack"
    quirks: ClassVar[Mapping[str, str]] = {}
