"""
The parts of the conformance suite that TLS can affect, on ministack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from asyncstore.testing.conformance.access import Access
from asyncstore.testing.conformance.multipart import Multipart
from asyncstore.testing.conformance.ranges import Ranges
from tests.conformance.s3 import S3Harness
from tests.servers.quirks import EMPTY_SUFFIX, SENTENCES, SMALL_PARTS
from tests.servers.s3 import S3Server


@pytest.fixture(scope="module")
def server(ministack_tls: S3Server) -> S3Server:
    return ministack_tls


class TestMinistackOverTLS(S3Harness, Access, Ranges, Multipart):
    """
    Requests with and without a body, replies in one chunk and in several.
    """

    quirks: ClassVar[Mapping[str, str]] = {
        "small-parts": SENTENCES[SMALL_PARTS],
        "test_range_of_an_empty_object[suffix]": SENTENCES[EMPTY_SUFFIX],
    }
