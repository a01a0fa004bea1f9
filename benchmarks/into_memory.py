"""Measure the read of one large object into memory, and random reads of it through an open file."""

from benchmarks import fixtures, harness, report, servers
from benchmarks.clouds import S3
from benchmarks.harness import Case
from benchmarks.units import MiB

CONTENDERS = ("asyncstore", "obstore", "s3fs")


def main() -> None:
    """Measure 1 GiB into memory, and 2,000 reads of 64 KiB, one after the other."""
    parser = harness.arguments(__doc__, rounds=3, names=CONTENDERS)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--count", type=int, default=2_000, help="random reads in one round")
    args = parser.parse_args()
    with servers.nginx(S3, large=args.size * MiB, nopush=False) as server:
        source = str(server.dir / "objects" / fixtures.BUCKET / fixtures.LARGE_KEY)
        whole = [
            Case(
                name=f"into {'used' if used else 'new'} memory{', TLS' * tls}",
                question="into_memory",
                args={"source": source, "used": used},
                tls=tls,
            )
            for tls in (False, True)
            for used in (False, True)
        ]
        at_random = Case(name="random reads", question="random_reads", args={"source": source, "count": args.count})
        large = harness.measure(whole, args.only, args.rounds, server)
        small = harness.measure([at_random], args.only, args.rounds, server)
    report.write(
        "into_memory",
        f"One object of {args.size} MiB into memory",
        large,
        [report.cpu_per_gigabyte(), report.throughput(), report.peak(), report.spread()],
        ["obstore"],
        print_only=args.print_only,
    )
    report.write(
        "random_reads",
        f"{args.count:,} reads of 64 KiB at random places of an open file, one after the other",
        small,
        [report.cpu_per_operation("read"), report.rate("read"), report.peak(), report.spread()],
        ["obstore"],
        print_only=args.print_only,
    )


if __name__ == "__main__":
    main()
