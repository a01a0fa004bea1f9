"""Measure a listing of many keys."""

from benchmarks import harness, report, servers
from benchmarks.harness import Case

KEYS = 100_000


def main() -> None:
    """Measure a listing of 100,000 keys in pages of 1,000."""
    args = harness.arguments(__doc__, rounds=3).parse_args()
    with servers.nginx(keys=KEYS) as server:
        cases = [Case(name=f"list {KEYS:,} keys", question="listing", args={"keys": KEYS})]
        results = harness.measure(cases, args.only, args.rounds, server)
    columns = [report.cpu_per_operation("key"), report.rate("key"), report.peak(), report.spread()]
    report.write(
        "listing", "A long listing", results, columns, ["plain_aiohttp", "obstore"], print_only=args.print_only
    )


if __name__ == "__main__":
    main()
