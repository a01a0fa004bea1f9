"""
A bucket or container for each class, on the ``server`` of its module.
"""

from __future__ import annotations

import pytest

from tests.servers.azure import AzureServer, fresh_container
from tests.servers.s3 import S3Server, blocking_client, fresh_bucket


@pytest.fixture(scope="class")
def bucket(server: S3Server) -> str:
    return fresh_bucket(server)


@pytest.fixture(scope="class")
def container(server: AzureServer) -> str:
    return fresh_container(server)


@pytest.fixture(scope="class")
def versioned_bucket(server: S3Server) -> str:
    name = fresh_bucket(server)
    with blocking_client(server) as client:
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture(scope="class")
def locked_bucket(server: S3Server) -> str:
    return fresh_bucket(server, object_lock=True)
