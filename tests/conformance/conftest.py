"""
A bucket for each class; a module says on which ``server``.
"""

from __future__ import annotations

import pytest

from tests.servers.s3 import S3Server, fresh_bucket


@pytest.fixture(scope="class")
def bucket(server: S3Server) -> str:
    return fresh_bucket(server)
