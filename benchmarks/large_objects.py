"""Measure the download of one large object to a file, and its upload."""

from pathlib import Path

from benchmarks import fixtures, harness, report, servers
from benchmarks.clouds import CLOUDS, GCS, S3
from benchmarks.harness import Case
from benchmarks.servers import Server
from benchmarks.units import MiB

# Contenders besides those of the cloud.
EXTRA = {S3.name: ("obstore_stream",), GCS.name: ("gcloud_aio_stream",)}


def main() -> None:
    """Measure the download and upload of 1 GiB in parts of 16 MiB, 8 in flight."""
    parser = harness.arguments(__doc__, rounds=3, names=None)
    harness.add_cloud(parser)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--disk", action="store_true", help="keep the client's files on disk, not in memory")
    args = parser.parse_args()
    cloud, size = CLOUDS[args.cloud], args.size * MiB
    names = args.only or (*cloud.contenders, *EXTRA.get(cloud.name, ()))
    with servers.nginx(cloud, large=size) as server, servers.scratch(on_disk=args.disk) as folder:
        served = server.dir / "objects" / fixtures.BUCKET / fixtures.LARGE_KEY
        source = folder / "source"
        fixtures.write_large(source, size) if args.disk else source.symlink_to(served)
        _touch_memory(folder, size)
        cases = [
            case
            for scheme, tls in (("", False), (", TLS", True))[: 2 if cloud is S3 else 1]
            for case in _cases(server, scheme, source, folder / "got", tls=tls)
        ]
        results = harness.measure(cases, names, args.rounds, server)
    where = "on disk" if args.disk else "in memory"
    columns = [report.cpu_per_gigabyte(), report.throughput(), report.peak(), report.spread()]
    report.write(
        "large_objects_disk" if args.disk else "large_objects",
        f"One object of {args.size} MiB and a file {where}: parts of 16 MiB, 8 in flight",
        results,
        columns,
        ["plain_aiohttp", "obstore"] if cloud is S3 else [cloud.sdk],
        cloud=cloud,
        print_only=args.print_only,
    )


def _cases(server: Server, scheme: str, source: Path, got: Path, *, tls: bool) -> list[Case]:
    size = source.stat().st_size

    def check_sent() -> None:
        # SDKs may add framing to the body, so more bytes are fine; fewer are wrong.
        sent = server.part_bytes()
        assert sent >= size, f"sent {sent} bytes of {size}"

    return [
        Case(
            name=f"download to a file{scheme}",
            question="download",
            args={"path": str(got), "source": str(source)},
            before=lambda: got.unlink(missing_ok=True),
            tls=tls,
        ),
        Case(
            name=f"upload from a file{scheme}",
            question="upload",
            args={"source": str(source)},
            before=server.part_bytes,
            after=check_sent,
            without=frozenset({"obstore_stream", "gcloud_aio_stream"}),
            tls=tls,
        ),
    ]


def _touch_memory(folder: Path, size: int) -> None:
    # On a virtual machine the first use of a page waits for the host. That takes three times the
    # CPU of the download itself, and the first contender would pay for all of it.
    warm = folder / "warm"
    fixtures.write_large(warm, 2 * size)
    warm.unlink()


if __name__ == "__main__":
    main()
