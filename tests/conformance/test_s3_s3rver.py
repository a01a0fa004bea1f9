"""
Reading ranges from s3rver, which answers some with other bytes than were asked for: they are never taken for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import pytest

from asyncstore.testing.conformance.ranges import Ranges
from tests.conformance.s3 import S3Harness
from tests.servers.s3 import S3Server

QUIRKS: Final = {
    "[suffix]": "The last bytes, `bytes=-7`, are answered with the first: bytes 0 to 7.",
    "[first-byte]": "The first byte, `bytes=0-0`, is answered with the whole object.",
    "[far-apart]": "The first byte, `bytes=0-0`, is answered with the whole object.",
}


@pytest.fixture(scope="module")
def server(s3rver: S3Server) -> S3Server:
    return s3rver


class TestS3rver(S3Harness, Ranges):
    """
    Over http. Left out is the rest: it lists and aborts no uploads, and its keys are paths.
    """

    quirks: ClassVar[Mapping[str, str]] = QUIRKS
