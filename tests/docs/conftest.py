"""
The servers that the programs of the pages talk to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncstore.testing.servers.github import FAKE_TOKEN
from tests.docs.blocks import ROOT
from tests.servers.azure import AzureServer
from tests.servers.azure import blocking_client as azure_client
from tests.servers.gcs import GCSEndpoint, create_bucket
from tests.servers.oci import RunningOCI, running_oci
from tests.servers.s3 import S3Server, blocking_client


@pytest.fixture(scope="session")
def github_url() -> Iterator[str]:
    """The URL of the GitHub stand-in, started from the command line."""
    command = [sys.executable, "-m", "asyncstore.testing.servers", "github"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="session")
def oci() -> Iterator[RunningOCI]:
    """
    An OCI stand-in with a bucket called "models".
    """
    with running_oci() as server:
        server.server.create_bucket("models")
        yield server


@pytest.fixture(scope="session")
def gcs(gcs_endpoint: GCSEndpoint) -> GCSEndpoint:
    """
    A GCS stand-in with a bucket called "models".
    """
    create_bucket(gcs_endpoint, "models")
    return gcs_endpoint


@pytest.fixture
def environment(
    seaweed: S3Server, azurite: AzureServer, oci: RunningOCI, gcs: GCSEndpoint, github_url: str, tmp_path: Path
) -> dict[str, str]:
    """
    A user's shell: an empty home, and credentials of servers that each have a bucket or container "models".
    """
    oci.user.write_config(tmp_path / ".oci", oci.region)
    with azure_client(azurite) as azure:
        if not azure.get_container_client("models").exists():
            azure.create_container("models")
    with blocking_client(seaweed) as client:
        if "models" not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket="models")
    command = tmp_path / "bin" / "asyncstore"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m asyncstore.cli "$@"\n', "utf-8")
    command.chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(command.parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL_S3": seaweed.endpoint_url,
        "AWS_ACCESS_KEY_ID": seaweed.keys.access_key_id,
        "AWS_SECRET_ACCESS_KEY": seaweed.keys.secret_access_key,
        "AWS_REGION": seaweed.region,
        "AWS_DEFAULT_REGION": seaweed.region,
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string,
        "GITHUB_API_URL": github_url,
        "GH_TOKEN": FAKE_TOKEN,
        "OCI_CLI_ENDPOINT": oci.server.url,
        "STORAGE_EMULATOR_HOST": gcs.url,
    }
