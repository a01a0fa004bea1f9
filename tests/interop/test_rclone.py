"""
rclone and asyncstore read each other's modification times, and markers of folders.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asyncstore import Storage, TreeOptions, download_tree, open_storage, upload_tree
from tests.servers.azure import AzureServer, fresh_container
from tests.servers.s3 import S3Server, fresh_bucket

AT = 1_600_000_000_123_456_789


@pytest.fixture(params=["seaweed", "azurite"])
def remote(request: pytest.FixtureRequest) -> tuple[str, dict[str, str], str, dict[str, Any]]:
    """An empty bucket: for rclone, its URI and environment; for asyncstore, its URI and settings."""
    server: S3Server | AzureServer = request.getfixturevalue(request.param)
    if isinstance(server, S3Server):
        bucket = fresh_bucket(server)
        keys = {"access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key}
        settings = {"endpoint_url": server.endpoint_url, "region": server.region, **keys}
        environment = {"type": "s3", "provider": "SeaweedFS", "endpoint": server.endpoint_url, **keys}
        uri = f"s3://{bucket}/tree/"
    else:
        bucket = fresh_container(server)
        settings = server.settings
        environment = {
            "type": "azureblob",
            "account": server.account_name,
            "key": server.account_key,
            "endpoint": server.endpoint_url,
        }
        uri = f"azure://{bucket}/tree/"
    variables = {f"RCLONE_CONFIG_IT_{name.upper()}": value for name, value in environment.items()}
    return f"it:{bucket}/tree", variables, uri, settings


def rclone(program: Path, environment: dict[str, str], *arguments: object) -> str:
    command = [str(program), "--config=/dev/null", "--retries=1", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_times_and_folders(
    remote: tuple[str, dict[str, str], str, dict[str, Any]], rclone_program: Path, tmp_path: Path
) -> None:
    """
    What one uploads the other downloads, with the same times and empty directories.
    """
    theirs, environment, uri, settings = remote
    source = tmp_path / "source"
    (source / "a/empty").mkdir(parents=True)
    (source / "a/file").write_bytes(b"data")
    os.utime(source / "a/file", ns=(AT, AT))
    options = TreeOptions(preserve_mtime=True, empty_folders=True)

    async with open_storage(uri, **settings) as storage:
        await upload_tree(source, storage, options=options)
        listed = json.loads(rclone(rclone_program, environment, "lsjson", "-R", "--files-only", theirs))
        rclone(rclone_program, environment, "copy", "--create-empty-src-dirs", theirs, tmp_path / "theirs")
        await _empty(storage)
        rclone(rclone_program, environment, "copy", source, theirs)
        await download_tree(storage, tmp_path / "ours", options=options)

    assert [item["ModTime"].rstrip("Z") for item in listed if item["Path"] == "a/file"] == [
        "2020-09-13T12:26:40.123456789"
    ]
    for copy in ("theirs", "ours"):
        assert (tmp_path / copy / "a/file").read_bytes() == b"data"
        assert (tmp_path / copy / "a/file").stat().st_mtime_ns == AT
    assert (tmp_path / "theirs/a/empty").is_dir()


async def _empty(storage: Storage) -> None:
    await storage.bulk_delete([info.uri async for info in storage.list()])
