"""What the servers serve: objects, and the pages of a long listing."""

import base64
import hashlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from awscrt.checksums import crc32c

from benchmarks.units import KiB, MiB

BUCKET = "bench"
SMALL_KEY = "small/{:04d}"
SMALL_KEYS = 256
SMALL_SIZE = KiB
LARGE_KEY = "large/object"
LIST_PREFIX = "list/"
PAGE_SIZE = 1_000

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    f"<Name>{BUCKET}</Name><Prefix>{LIST_PREFIX}</Prefix>"
)
_ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-{day:02d}T08:15:{second:02d}.000Z</LastModified>"
    "<ETag>&quot;{etag}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
    "<ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def write_objects(bucket: Path, large: int) -> None:
    """Write the small objects, and one of *large* bytes unless that is zero."""
    (bucket / "small").mkdir(parents=True)
    (bucket / "put").mkdir()
    for number in range(SMALL_KEYS):
        (bucket / SMALL_KEY.format(number)).write_bytes(pattern(SMALL_SIZE, number))
    if large:
        (bucket / LARGE_KEY).parent.mkdir()
        write_large(bucket / LARGE_KEY, large)


def write_large(path: Path, size: int) -> None:
    """Write *size* bytes in which every MiB differs from its neighbours."""
    with path.open("wb") as file:
        for number in range(0, size, MiB):
            file.write(pattern(min(MiB, size - number), number))


@dataclass(frozen=True, slots=True)
class Digests:
    """The checksums that a service stores with an object, in base64."""

    crc32c: str
    md5: str


def digests(path: Path) -> Digests:
    """Return the checksums that a service would store for a file."""
    crc, md5 = 0, hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(8 * MiB):
            crc = crc32c(block, crc)
            md5.update(block)
    return Digests(base64.b64encode(crc.to_bytes(4, "big")).decode(), base64.b64encode(md5.digest()).decode())


def write_pages(folder: Path, keys: int) -> None:
    """Write ListObjectsV2 replies for *keys* keys, each with the token of the next page."""
    folder.mkdir(parents=True)
    entries = (_entry(number) for number in range(keys))
    pages = -(-keys // PAGE_SIZE)
    for page in range(pages):
        chunk = list(islice(entries, PAGE_SIZE))
        last = page == pages - 1
        token = "" if last else f"<NextContinuationToken>p{page + 1:03d}</NextContinuationToken>"
        text = (
            f"{_HEAD}<KeyCount>{len(chunk)}</KeyCount><MaxKeys>{PAGE_SIZE}</MaxKeys>"
            f"<IsTruncated>{str(not last).lower()}</IsTruncated>{token}{''.join(chunk)}</ListBucketResult>"
        )
        (folder / f"{page:03d}.xml").write_text(text)


def pattern(size: int, seed: int) -> bytes:
    """Return *size* bytes that depend only on *seed* and do not compress well."""
    block = hashlib.sha512(str(seed).encode()).digest() * (KiB // 64)
    return (block * -(-size // len(block)))[:size]


def _entry(number: int) -> str:
    digest = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
    day = number // 5_000 + 1
    key = f"{LIST_PREFIX}events/year=2026/month=11/day={day:02d}/part-{number:08d}-{digest[:12]}.snappy.parquet"
    return _ENTRY.format(key=key, day=day, second=number % 60, etag=digest, size=4096 + number)
