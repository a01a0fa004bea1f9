"""The configuration of nginx: one file for all clouds, and one for the cloud that is served."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.clouds import S3, Cloud
from benchmarks.fixtures import BUCKET, LARGE_KEY, Digests, digests

TEMPLATES: Final = Path(__file__).with_name("nginx")


def write_config(root: Path, cloud: Cloud, port: int, tls_port: int, *, nopush: bool = True) -> None:
    """Write `nginx.conf` and its includes for *cloud*, for the objects that exist below *root*."""
    bucket = root / "objects" / BUCKET
    # S3 sends no checksums here. Those of the other clouds are looked up by the last part of a key.
    paths = [] if cloud is S3 else [path for path in sorted(bucket.glob("*/*")) if path.is_file()]
    known = {path.name: digests(path) for path in paths}
    (root / "hashes.conf").write_text(_maps(known))
    large = bucket / LARGE_KEY
    size = large.stat().st_size if large.exists() else 0
    values = {
        "@DIR@": str(root),
        "@NOPUSH@": "on" if nopush else "off",
        "@PORT@": str(port),
        "@TLS_PORT@": str(tls_port),
        "@BUCKET@": BUCKET,
        "@ACCOUNT@": cloud.account,
        "@CLOUD@": cloud.name,
        "@LARGE@": str(size),
        "@LAST@": str(size - 1),
        "@LARGE_KEY@": LARGE_KEY,
        "@LARGE_CRC32C@": known[large.name].crc32c if large.name in known else "",
        "@USER@": "user root;" if os.geteuid() == 0 else "",
    }
    for name in ("nginx", cloud.name):
        text = TEMPLATES.joinpath(f"{name}.conf.in").read_text()
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        (root / f"{name}.conf").write_text(text)


def _maps(known: Mapping[str, Digests]) -> str:
    """
    Return maps that set `$crc32c` and `$md5` to the checksums of the requested object.

    A multipart object has the CRC of its bytes, and an MD5 of its parts' MD5s instead of its own.
    """
    small = {name: found for name, found in known.items() if name != LARGE_KEY.rpartition("/")[2]}
    crc32c = "".join(f"    {name} {found.crc32c};\n" for name, found in known.items())
    md5 = "".join(f"    {name} {found.md5};\n" for name, found in small.items())
    parts = "".join(f"    {name} {found.md5}-64;\n" for name, found in known.items() if name not in small)
    return (
        'map $uri $leaf {\n    default "";\n    "~/(?<name>[^/]+)$" $name;\n}\n'
        f'map $leaf $crc32c {{\n    default "";\n{crc32c}}}\n'
        f'map $leaf $md5 {{\n    default "";\n{md5}}}\n'
        f'map $leaf $multipart_md5 {{\n    default "";\n{parts}}}\n'
    )
