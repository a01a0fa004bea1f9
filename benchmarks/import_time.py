"""Measure how long `import asyncstore` takes, and check that it loads no SDK."""

import argparse
import json
import statistics
import subprocess
import sys

from benchmarks import report

SDKS = ("aiobotocore", "botocore", "boto3", "awscrt", "gcloud", "google.auth", "azure", "oci")
LIMIT_MS = 150

_PROBE = f"""
import sys, time
start = time.perf_counter()
import asyncstore
took = time.perf_counter() - start
loaded = [name for name in {SDKS!r} if name in sys.modules]
import json
print(json.dumps([took, loaded]))
"""


def main() -> None:
    """Measure it in new processes; exit with an error if an SDK is loaded or it takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    probes = [_probe() for _ in range(args.rounds)]
    times = [took * 1_000 for took, _ in probes]
    median, loaded = statistics.median(times), sorted({name for _, found in probes for name in found})
    text = (
        f"# import asyncstore\n\n{report.setting()}\n\nMedian of {args.rounds} processes: {median:.0f} ms "
        f"({min(times):.0f}-{max(times):.0f}); limit {LIMIT_MS} ms. SDKs loaded: {', '.join(loaded) or 'none'}.\n"
    )
    report.save("import_time", text, {"date": report.today(), "median_ms": median, "times_ms": times, "sdks": loaded})
    if loaded or median > LIMIT_MS:
        raise SystemExit("import asyncstore takes too long or loads an SDK")


def _probe() -> tuple[float, list[str]]:
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=True)
    took, loaded = json.loads(done.stdout)
    return took, loaded


if __name__ == "__main__":
    main()
