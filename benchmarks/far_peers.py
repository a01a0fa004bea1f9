"""
Other tools that transfer files to and from the service that is far away, each with its defaults.

boto3 has no transfer of many files: it gets as many threads as its parts have.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import rmtree
from typing import Any

from benchmarks import cache
from benchmarks.meter import Meter

Downloads = Sequence[tuple[str, Path]]
Uploads = Sequence[tuple[Path, str]]

_BOTO3_THREADS = 10


def boto3(url: str, downloads: Downloads, uploads: Uploads) -> tuple[int, dict[str, Any]]:
    """
    Transfer with boto3; return how many items failed, and the cost.
    """
    import boto3 as library
    from botocore.config import Config

    client = library.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=_BOTO3_THREADS**2),
    )

    def moved(work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception:  # noqa: BLE001 - counted
            return False
        return True

    works = [lambda key=key, path=path: client.download_file("bucket", key, str(path)) for key, path in downloads]
    works += [lambda key=key, path=path: client.upload_file(str(path), "bucket", key) for path, key in uploads]
    with Meter() as meter, ThreadPoolExecutor(_BOTO3_THREADS) as pool:
        failed = sum(not done for done in pool.map(moved, works))
    return failed, dict(meter.cost())


def s5cmd(url: str, downloads: Downloads, uploads: Uploads) -> tuple[int, dict[str, Any]]:
    """
    Transfer with s5cmd, by its file of commands.
    """
    lines = [f"cp s3://bucket/{key} {path}" for key, path in downloads]
    lines += [f"cp {path} s3://bucket/{key}" for path, key in uploads]
    env = {
        "S3_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    return _command([cache.command("s5cmd", cache.S5CMD), "run"], env, "\n".join(lines))


def rclone(url: str, downloads: Downloads, uploads: Uploads) -> tuple[int, dict[str, Any]]:
    """
    Transfer with rclone: all files of a folder by their names.
    """
    env = {
        "RCLONE_CONFIG": "",
        "RCLONE_S3_PROVIDER": "Other",
        "RCLONE_S3_ENDPOINT": url,
        "RCLONE_S3_ACCESS_KEY_ID": "key",
        "RCLONE_S3_SECRET_ACCESS_KEY": "secret",
        "RCLONE_S3_REGION": "us-east-1",
    }
    if downloads:
        folder = downloads[0][1].parent / "rclone"
        # It would leave files of an earlier round as they are.
        rmtree(folder, ignore_errors=True)
        names, source, target = [key for key, _ in downloads], ":s3:bucket", str(folder)
    else:
        names, source, target = [path.name for path, _ in uploads], str(uploads[0][0].parent), ":s3:bucket"
    program = cache.command("rclone", cache.RCLONE)
    # The names are known, as they are to the others.
    return _command([program, "copy", "--files-from-raw", "-", "--no-traverse", source, target], env, "\n".join(names))


def _command(args: Sequence[str | Path], env: dict[str, str], text: str) -> tuple[int, dict[str, Any]]:
    with Meter(children=True) as meter:
        done = subprocess.run(args, env={**os.environ, **env}, input=text, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it failed")
    return 0, dict(meter.cost())
