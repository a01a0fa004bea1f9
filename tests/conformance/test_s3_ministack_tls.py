"""
Part of the shared contract, on S3 over TLS: what a connection can change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from asyncstore.testing.conformance.access import Access
from asyncstore.testing.conformance.multipart import Multipart
from asyncstore.testing.conformance.ranges import Ranges
from tests.conformance.s3 import S3Places
from tests.servers.quirks import EMPTY_SUFFIX, SENTENCES, SMALL_PARTS
from tests.servers.s3 import S3Server


@pytest.fixture(scope="module")
def server(ministack_tls: S3Server) -> S3Server:
    return ministack_tls


class TestMinistackOverTLS(S3Places, Access, Ranges, Multipart):
    """
    Requests without and with bytes, replies in one piece and in many.
    """

    quirks: ClassVar[Mapping[str, str]] = {
        "small-parts": SENTENCES[SMALL_PARTS],
        "test_range_of_an_empty_object[suffix]": SENTENCES[EMPTY_SUFFIX],
    }
