"""Measure the CPU of one small request, compared with the minimum in Python."""

from pathlib import Path
from typing import Any

from benchmarks import fixtures, harness, report, servers
from benchmarks.clouds import CLOUDS, S3
from benchmarks.harness import Case
from benchmarks.servers import Server

IN_FLIGHT = 64
# It would start a process for each object, which is not comparable.
WITHOUT = frozenset({"s5cmd"})


def main() -> None:
    """Measure 1 KiB GET and PUT at 64 in flight."""
    parser = harness.arguments(__doc__, rounds=3, names=None)
    harness.add_cloud(parser)
    parser.add_argument("--count", type=int, default=5_000, help="requests in one round")
    args = parser.parse_args()
    cloud = CLOUDS[args.cloud]
    with servers.nginx(cloud) as server:
        cases = (_s3_cases if cloud is S3 else _cases)(server, {"count": args.count, "in_flight": IN_FLIGHT})
        results = harness.measure(cases, args.only or cloud.contenders, args.rounds, server)
    columns = [report.cpu_per_operation(), report.rate(), report.peak(), report.spread()]
    report.write(
        "small_objects",
        f"Small objects at {IN_FLIGHT} in flight",
        results,
        columns,
        ["plain_aiohttp", "aiobotocore"] if cloud is S3 else [cloud.sdk],
        cloud=cloud,
        print_only=args.print_only,
    )


def _s3_cases(server: Server, common: dict[str, Any]) -> list[Case]:
    put_folder = server.dir / "objects" / fixtures.BUCKET / "put"
    return [
        Case(name="GET 1 KiB", question="small_get", args=common, without=WITHOUT),
        Case(name="GET 1 KiB, TLS", question="small_get", args=common, without=WITHOUT, tls=True),
        Case(
            name="PUT 1 KiB",
            question="small_put",
            args={**common, "folder": str(put_folder)},
            before=lambda: _empty(put_folder),
            without=WITHOUT,
        ),
    ]


def _cases(server: Server, common: dict[str, Any]) -> list[Case]:
    def check_sent() -> None:
        # Some contenders add framing to the body, so more bytes are fine; fewer are wrong.
        sent = [length for length in server.received() if length >= fixtures.SMALL_SIZE]
        assert len(sent) >= common["count"], f"{len(sent)} objects of {common['count']}"

    return [
        Case(name="GET 1 KiB", question="small_get", args=common),
        Case(name="PUT 1 KiB", question="small_put", args=common, before=server.received, after=check_sent),
    ]


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


if __name__ == "__main__":
    main()
