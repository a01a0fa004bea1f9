"""
The parts of the conformance suite that TLS can affect, on SeaweedFS.
"""

from __future__ import annotations

import pytest

from asyncstore.testing.conformance.access import Access
from asyncstore.testing.conformance.multipart import Multipart
from asyncstore.testing.conformance.ranges import Ranges
from asyncstore.testing.conformance.reading_into import ReadingInto
from tests.conformance.s3 import S3Harness
from tests.servers.s3 import S3Server


@pytest.fixture(scope="module")
def server(seaweed_tls: S3Server) -> S3Server:
    return seaweed_tls


class TestSeaweedOverTLS(S3Harness, Access, Ranges, ReadingInto, Multipart):
    """
    Requests with and without a body, replies in one chunk and in several.
    """
