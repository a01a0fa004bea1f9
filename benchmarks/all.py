"""Run every benchmark. Takes about 40 minutes."""

import subprocess
import sys

from benchmarks.clouds import CLOUDS, S3

QUESTIONS = ("import_time", "small_objects", "listing", "small_files", "large_objects", "into_memory", "trees")
# Benchmarks of every cloud.
PER_CLOUD = ("small_objects", "large_objects")


def main() -> None:
    """Run all benchmarks, and report the failed ones at the end."""
    questions: list[tuple[str, ...]] = [(name,) for name in QUESTIONS]
    questions += [(name, "--cloud", cloud.name) for cloud in CLOUDS.values() if cloud is not S3 for name in PER_CLOUD]
    failed = [" ".join(question) for question in questions if not _run(*question)]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _run(name: str, *options: str) -> bool:
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode == 0


if __name__ == "__main__":
    main()
