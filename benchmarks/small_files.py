"""Measure uploads and downloads of many small files through a server that stores them."""

import asyncio
from pathlib import Path

from benchmarks import fixtures, harness, report, servers
from benchmarks.clouds import S3
from benchmarks.contenders import Target, aiobotocore_
from benchmarks.harness import Case
from benchmarks.servers import Server
from benchmarks.units import KiB

NAMES = ("asyncstore", "plain_aiohttp", "aiobotocore", "s3fs", "obstore", "s5cmd")
SIZE = 16 * KiB


def main() -> None:
    """Measure 5,000 files of 16 KiB up and down, 64 in flight, through SeaweedFS."""
    parser = harness.arguments(__doc__, rounds=3, names=NAMES)
    parser.add_argument("--count", type=int, default=5_000)
    args = parser.parse_args()
    with servers.seaweedfs() as server, servers.scratch() as folder:
        asyncio.run(make_bucket(server))
        source, got = folder / "source", folder / "got"
        source.mkdir()
        got.mkdir()
        for number in range(args.count):
            (source / f"file-{number:05d}.bin").write_bytes(fixtures.pattern(SIZE, number))
        cases = [
            Case(name="upload files", question="files_up", args={"folder": str(source)}),
            Case(
                name="download files",
                question="files_down",
                args={"folder": str(source), "into": str(got)},
                before=lambda: _empty(got),
            ),
        ]
        results = harness.measure(cases, args.only, args.rounds, server)
    columns = [report.cpu_per_operation("file"), report.rate("file"), report.peak(), report.spread()]
    title = f"{args.count:,} files of 16 KiB through SeaweedFS, 64 in flight"
    report.write("small_files", title, results, columns, ["plain_aiohttp", "obstore"], print_only=args.print_only)


async def make_bucket(server: Server) -> None:
    target = Target(
        endpoint=server.url,
        bucket=fixtures.BUCKET,
        access_key=S3.access_key,
        secret_key=S3.secret_key,
    )
    contender = await aiobotocore_.connect(target)
    try:
        await contender.make_bucket()
    finally:
        await contender.aclose()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


if __name__ == "__main__":
    main()
