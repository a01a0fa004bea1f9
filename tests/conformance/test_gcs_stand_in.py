"""
The shared contract, on the GCS stand-in: with the uploads of the XML API, and with composed ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.conformance.gcs import GCSConformance


class TestGCS(GCSConformance):
    """
    As it is by default.
    """


class TestGCSComposed(GCSConformance):
    """
    Large objects as parts that are composed.
    """

    own_settings: ClassVar[Mapping[str, Any]] = {"multipart": "compose"}
