"""
Part of the shared contract, on S3 over TLS: what a connection can change.
"""

from __future__ import annotations

import pytest

from asyncstore.testing.conformance.access import Access
from asyncstore.testing.conformance.multipart import Multipart
from asyncstore.testing.conformance.ranges import Ranges
from tests.conformance.s3 import S3Places
from tests.servers.s3 import S3Server


@pytest.fixture(scope="module")
def server(seaweed_tls: S3Server) -> S3Server:
    return seaweed_tls


class TestSeaweedOverTLS(S3Places, Access, Ranges, Multipart):
    """
    Requests without and with bytes, replies in one piece and in many.
    """
