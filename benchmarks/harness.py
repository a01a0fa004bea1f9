"""
Run the contenders and record the cost of each.

Rounds are interleaved (A B C, A B C, ...), because a machine's speed changes over minutes.
Compare only figures of the same run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.clouds import CLOUDS, S3
from benchmarks.meter import Cost
from benchmarks.servers import Server

WORKER_TIMEOUT = 600.0

_CONFIGURATION = (
    *("AWS_", "S3_", "AZURE_", "OCI_", "OCIFS_", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "GCE_", "GCSFS_", "DEFAULT_GCSFS_"),
    *("STORAGE_", "FSSPEC_"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One row of a table: one question, one server.

    Attributes:
        name: The name in the table.
        question: The name of the work in `benchmarks.work`.
        args: Arguments of the work, besides its target.
        tls: Whether it uses HTTPS.
        before: Called before each process, to remove what the previous one left.
        after: Called after each process; raises AssertionError if the server received the wrong bytes.
        without: Contenders to skip in this case.
    """

    name: str
    question: str
    args: dict[str, Any] = field(default_factory=dict)
    tls: bool = False
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None
    without: frozenset[str] = frozenset()


@dataclass(slots=True)
class Measured:
    """
    The rounds of one contender in one case.

    Attributes:
        units: Operations, bytes or keys in one round.
        problem: Why the contender was not measured; empty if it was.
    """

    units: int = 0
    rounds: list[Cost] = field(default_factory=list)
    problem: str = ""

    def median(self, cost: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(float(measured[cost]) for measured in self.rounds)  # type: ignore[literal-required]


Results = dict[str, dict[str, Measured]]


def arguments(description: str, *, rounds: int, names: Sequence[str] | None = S3.contenders) -> argparse.ArgumentParser:
    """Return the options of every benchmark; without *names* the contenders are those of the cloud."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=names and list(names), help="comma-separated contenders"
    )
    parser.add_argument("--print-only", action="store_true", help="do not change the tables in results/")
    return parser


def add_cloud(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses a cloud."""
    parser.add_argument("--cloud", choices=CLOUDS, default=S3.name, help="the cloud (default: %(default)s)")


def measure(cases: Sequence[Case], names: Sequence[str], rounds: int, server: Server) -> Results:
    """Run every contender in every case, *rounds* times, each time in a new process."""
    results: Results = {case.name: {} for case in cases}
    for case in cases:
        chosen = [name for name in names if name.partition("@")[0] not in case.without]
        results[case.name] = {name: Measured() for name in chosen}
        for round_number in range(rounds):
            for name, measured in results[case.name].items():
                if not measured.problem:
                    print(f"{case.name}: round {round_number + 1} of {rounds}, {name}", file=sys.stderr)
                    _run_once(case, name, server, measured)
    return results


def _run_once(case: Case, name: str, server: Server, measured: Measured) -> None:
    case.before()
    answer = _ask(case, name, server)
    measured.problem = answer.get("unsupported", "")
    if "wall" in answer:
        try:
            case.after()
        except AssertionError as exc:
            measured.problem = str(exc)
            measured.rounds.clear()
            return
        measured.units = answer["units"]
        measured.rounds.append({"wall": answer["wall"], "cpu": answer["cpu"], "rss": answer["rss"]})


def _ask(case: Case, name: str, server: Server) -> dict[str, Any]:
    settings = json.dumps({"target": server.target(tls=case.tls), **case.args})
    args = [sys.executable, "-m", "benchmarks.worker", name, server.cloud.name, case.question, settings]
    env = _environment(server, tls=case.tls)
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=WORKER_TIMEOUT, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        print(f"{case.name}: {name}: {done.stderr.strip()}", file=sys.stderr)
        return {"unsupported": last[0]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _environment(server: Server, *, tls: bool) -> dict[str, str]:
    # The user's own configuration and proxies must not affect a contender.
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_CONFIGURATION) and not name.lower().endswith("_proxy")
    }
    # For contenders without an option to trust a certificate authority.
    return {**env, "SSL_CERT_FILE": str(server.ca)} if tls else env
