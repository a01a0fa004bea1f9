"""
Upload and download a tree of large and small files with every provider, compare the bytes and measure memory.

The servers are those of the tests: SeaweedFS, Azurite, and the test servers for GCS and OCI. Each keeps
the whole tree in memory or on disk, so this needs three times the size of the tree in total.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from tests.servers import azure, azurite, gcs, s3, seaweed, tls

COMMAND = "import sys; from asyncstore.cli import main; sys.exit(main())"
_NOT_OURS = ("AWS_", "AZURE_", "GOOGLE_", "STORAGE_", "OCI_", "ASYNCSTORE_")


@dataclass(frozen=True, slots=True)
class Place:
    """
    The destination of one tree.

    Attributes:
        settings: Environment variables of the command.
    """

    uri: str
    settings: dict[str, str]


def main() -> None:
    """Run `asyncstore demo` through every provider."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="2GiB", help="size of the tree")
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PLACES), help="comma-separated names")
    parser.add_argument("--print-only", action="store_true", help="do not change the tables in results/")
    args = parser.parse_args()
    records = {}
    for name in args.only:
        print(f"{args.size} through {name} ...", file=sys.stderr)
        with PLACES[name]() as place:
            records[name] = _demo(place, args.size, args.files)
    lines = [
        f"| {args.size} in {args.files} files | identical | upload MB/s | download MB/s | retries | peak RSS MiB |",
        "|---|---|---|---|---|---|",
        *(_row(name, record) for name, record in records.items()),
    ]
    text = f"# Upload and download of a tree with every provider\n\n{report.setting()}\n\n" + "\n".join(lines) + "\n"
    data = {"date": report.today(), "setting": report.setting(), "runs": records}
    report.save("trees", text, data, print_only=args.print_only)
    if any(not record["ok"] for record in records.values()):
        raise SystemExit("a downloaded tree differs from the uploaded one")


def _row(name: str, record: dict[str, Any]) -> str:
    up, down = record["upload_megabytes_per_second"], record["download_megabytes_per_second"]
    peak = record["peak_memory_bytes"] / 2**20
    return f"| {name} | {'yes' if record['ok'] else 'no'} | {up} | {down} | {record['retries']} | {peak:.1f} |"


def _demo(place: Place, size: str, files: int) -> dict[str, Any]:
    args = [sys.executable, "-c", COMMAND, "demo", "--to", place.uri, "--size", size, "--files", str(files), "--json"]
    own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
    env = {**own, **place.settings}
    done = subprocess.run(args, env=env, stdout=subprocess.PIPE, text=True, check=False)
    record: dict[str, Any] = json.loads((done.stdout.splitlines() or ["{}"])[-1])
    if record.get("type") != "summary":
        raise SystemExit(f"asyncstore demo --to {place.uri} did not finish")
    return record


@contextlib.contextmanager
def _s3() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        process = seaweed.start_seaweed(tls.make_ca(Path(folder)))
        try:
            server = seaweed.over_http(process)
            settings = {
                "ASYNCSTORE_ENDPOINT_URL": server.endpoint_url,
                "AWS_ACCESS_KEY_ID": server.access_key_id,
                "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
                "AWS_REGION": "us-east-1",
            }
            yield Place(f"s3://{s3.fresh_bucket(server)}", settings)
        finally:
            process.stop()


@contextlib.contextmanager
def _gcs() -> Iterator[Place]:
    process = gcs.start_gcs()
    try:
        server = gcs.endpoint(process)
        yield Place(f"gs://{gcs.fresh_bucket(server)}", {"STORAGE_EMULATOR_HOST": server.url})
    finally:
        process.stop()


@contextlib.contextmanager
def _azure() -> Iterator[Place]:
    process = azurite.start_azurite()
    try:
        server = azurite.server_of("azurite", process)
        container = azure.fresh_container(server)
        settings = {
            "ASYNCSTORE_ENDPOINT_URL": server.endpoint_url,
            "ASYNCSTORE_ACCOUNT_KEY": server.account_key,
        }
        yield Place(f"az://{server.account_name}/{container}", settings)
    finally:
        process.stop()


@contextlib.contextmanager
def _oci() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        args = [sys.executable, "-m", "asyncstore.testing.servers", "oci", "--folder", folder]
        with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().strip()
                namespace = process.stdout.readline().partition(": ")[2].strip()
                config = process.stdout.readline().partition(": ")[2].strip()
                _make_oci_bucket(url, namespace, config)
                settings = {"ASYNCSTORE_ENDPOINT_URL": url, "OCI_CONFIG_FILE": config}
                yield Place(f"oci://{namespace}/tree", settings)
            finally:
                process.kill()


def _make_oci_bucket(url: str, namespace: str, config: str) -> None:
    import oci

    client = oci.object_storage.ObjectStorageClient(oci.config.from_file(config), service_endpoint=url)
    details = oci.object_storage.models.CreateBucketDetails(name="tree", compartment_id="ocid1.compartment.oc1..fake")
    client.create_bucket(namespace, details)


PLACES: dict[str, Callable[[], contextlib.AbstractContextManager[Place]]] = {
    "s3": _s3,
    "gcs": _gcs,
    "azure": _azure,
    "oci": _oci,
}

if __name__ == "__main__":
    main()
