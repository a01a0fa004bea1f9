"""
The conformance suite on the GCS stand-in, with XML API multipart uploads and with composed ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.conformance.gcs import GCSConformance


class TestGCS(GCSConformance):
    """
    With the default settings.
    """


class TestGCSComposed(GCSConformance):
    """
    With composed uploads.
    """

    own_settings: ClassVar[Mapping[str, Any]] = {"multipart": "compose"}
