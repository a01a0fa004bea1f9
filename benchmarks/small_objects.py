"""How much CPU does one small request take, beside the least that Python can do it with?"""

from pathlib import Path

from benchmarks import fixtures, harness, report, servers
from benchmarks.harness import Case

IN_FLIGHT = 64
# A command that starts once for each object is another question.
WITHOUT = frozenset({"s5cmd"})


def main() -> None:
    """Measure 1 KiB GET and PUT at 64 in flight."""
    parser = harness.arguments(__doc__, rounds=3)
    parser.add_argument("--count", type=int, default=5_000, help="requests in one round")
    args = parser.parse_args()
    with servers.nginx() as server:
        put_folder = server.dir / "objects" / fixtures.BUCKET / "put"
        common = {"count": args.count, "in_flight": IN_FLIGHT}
        cases = [
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
        results = harness.measure(cases, args.only, args.rounds, server)
    columns = [report.cpu_per_operation(), report.rate(), report.peak(), report.spread()]
    report.write(
        "small_objects",
        f"Small objects at {IN_FLIGHT} in flight",
        results,
        columns,
        ["plain_aiohttp", "aiobotocore"],
        print_only=args.print_only,
    )


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


if __name__ == "__main__":
    main()
