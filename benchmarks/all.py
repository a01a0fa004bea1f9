"""Every question, one after the other. Takes about 20 minutes."""

import subprocess
import sys

QUESTIONS = ("import_time", "small_objects", "listing", "small_files", "large_objects", "trees")


def main() -> None:
    """Run them all, and say at the end which did not succeed."""
    failed = [name for name in QUESTIONS if not _run(name)]
    if failed:
        raise SystemExit(f"did not succeed: {', '.join(failed)}")


def _run(name: str) -> bool:
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode == 0


if __name__ == "__main__":
    main()
